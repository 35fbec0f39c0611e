#!/usr/bin/env bash
# Set up what is missing, start the stack, run the retraining loop on Airflow. See ./run_pipeline.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/ops/setup.sh"
for argument in "$@"; do
  case "$argument" in
    # Help needs nothing installed.
    -h | --help) exec "$system_python" -m ops --help ;;
  esac
done
"$system_python" "$root/ops/environment.py"
exec "$venv_python" -m ops "$@"
