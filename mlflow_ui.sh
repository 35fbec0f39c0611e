#!/usr/bin/env bash
# Open MLflow on the store that the pipeline writes to, also when nothing else runs. See --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/ops/setup.sh"
"$system_python" "$root/ops/environment.py"
exec "$venv_python" -m ops.mlflow_ui "$@"
