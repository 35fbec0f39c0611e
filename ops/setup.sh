# Sourced by the commands at the top level: sets `root`, finds Python 3.11, makes .venv what it must be,
# and sets `venv_python`. Usage: source ops/setup.sh [--dev]
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "Refit needs Python 3.11 with its venv module, and found none on PATH: install it (Debian 12: apt install" \
    "python3.11 python3.11-venv), or name it, as in PYTHON=/path/to/python3.11 $0" >&2
  return 1
}

system_python="$(find_python)" || exit 1
# The checkout is importable from any working directory, and the working directory is not.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
venv_python="$root/.venv/bin/python"
