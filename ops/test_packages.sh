#!/usr/bin/env bash
# Install Debian's Chromium for the browser tests where that is possible; say so where it is not.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "No Chromium here and no right to install it: the browser tests will fail. Install it (apt install chromium)" \
    "or leave them out: ./run_tests.sh -m 'not browser'" >&2
  exit 0
fi
echo "Installing Chromium for the browser tests …"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
  >"$log" 2>&1; then
  echo "apt-get could not install Chromium; the browser tests will fail. Its last lines:" >&2
  tail -n 5 "$log" >&2
fi
