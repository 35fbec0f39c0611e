#!/usr/bin/env bash
# Install what the tests need of the system, Debian's Chromium, PostgreSQL, Redis, HAProxy and Prometheus, or with
# --compose a container engine, where that is possible; say so where it is not.
set -euo pipefail
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

install() { # PACKAGES TESTS: the tests fail without them
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "No $1 here and no right to install it: $2 will fail. Install it (apt install $1)." >&2
    return
  fi
  echo "Installing $1 for $2 …"
  # shellcheck disable=SC2086 # may be several names
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1; } \
    >"$log" 2>&1; then
    echo "apt-get could not install $1; $2 will fail. Its last lines:" >&2
    tail -n 5 "$log" >&2
  fi
}

if [ "${1-}" = --compose ]; then
  if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null 2>&1; then
    # Debian's; its service starts with the package where the machine has an init system.
    install "docker.io docker-compose" "the tests of docker-compose.yaml"
  fi
  exit
fi
if ! command -v chromium chromium-browser google-chrome >/dev/null 2>&1; then
  install chromium "the browser tests (leave them out: ./run_tests.sh -m 'not browser')"
fi
if ! command -v initdb >/dev/null 2>&1 && ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then
  # The tests make servers of their own: none of the package's is made or started.
  clusters=/etc/postgresql-common/createcluster.conf
  if [ "$(id -u)" -eq 0 ] && [ ! -e "$clusters" ]; then
    mkdir -p "$(dirname "$clusters")"
    echo "create_main_cluster = false" >"$clusters"
  fi
  install postgresql "the test of PostgreSQL's power cut"
fi
if ! command -v haproxy >/dev/null 2>&1; then
  install haproxy "the tests of services behind a balancer"
fi
unstarted() { # SERVICE: the package's own would listen on a port
  unit="/etc/systemd/system/$1.service"
  if [ "$(id -u)" -eq 0 ] && [ -d "$(dirname "$unit")" ] && [ ! -e "$unit" ]; then
    ln -s /dev/null "$unit"
  fi
}

if ! command -v redis-server >/dev/null 2>&1; then
  unstarted redis-server
  install redis-server "the test of the queue on Redis"
fi
if ! command -v prometheus >/dev/null 2>&1; then
  unstarted prometheus
  install prometheus "the tests of what Prometheus and Grafana show"
fi
