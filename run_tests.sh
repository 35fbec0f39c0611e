#!/usr/bin/env bash
# Set up what is missing and run the checks and the tests. Arguments go to pytest:
#   ./run_tests.sh                      everything
#   ./run_tests.sh -m "not stack"       without the tests that start real servers
#   ./run_tests.sh tests/dags -k params one room
#   ./run_tests.sh --compose            docker-compose.yaml on a container engine, and faults in it; nothing else
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/ops/setup.sh"
"$system_python" "$root/ops/environment.py" --dev
if [ "${1-}" = --compose ]; then
  shift
  "$root/ops/test_packages.sh" --compose
  cd "$root"
  exec "$venv_python" -m pytest --durations 0 tests/compose "$@"
fi
"$root/ops/test_packages.sh"
cd "$root"
if [ $# -eq 0 ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  # Beside the tests, which leave a core idle now and then; shown at the end.
  types="$(mktemp)"
  .venv/bin/mypy >"$types" 2>&1 &
  mypy=$!
  trap 'kill "$mypy" 2>/dev/null || true; rm -f "$types"' EXIT
  # One process has the tests of the real stack, which often waits; the others have the rest: tests/conftest.py.
  processes=$(($(getconf _NPROCESSORS_ONLN) + 1))
  failed=0
  "$venv_python" -m pytest --numprocesses "$((processes > 4 ? 4 : processes))" --dist loadfile \
    --no-loadscope-reorder --durations 25 || failed=$?
  wait "$mypy" || failed=$((failed ? failed : $?))
  cat "$types"
  exit "$failed"
fi
exec "$venv_python" -m pytest "$@"
