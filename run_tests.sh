#!/usr/bin/env bash
# Set up what is missing and run the checks and the tests. Arguments go to pytest:
#   ./run_tests.sh                      everything
#   ./run_tests.sh -m "not stack"       without the tests that start real servers
#   ./run_tests.sh tests/dags -k params one room
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/ops/setup.sh"
"$system_python" "$root/ops/environment.py" --dev
"$root/ops/chromium.sh"
cd "$root"
if [ $# -eq 0 ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
  # One process has the tests of the real stack, the others the rest: tests/conftest.py.
  set -- --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25
fi
exec "$venv_python" -m pytest "$@"
