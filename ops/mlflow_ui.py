"""`./mlflow_ui.sh`: MLflow on this project's store."""

from __future__ import annotations

import argparse
import os
import sys

from ml.commands import spoken
from ml.settings import from_values, load
from ml.settings.addresses import mlflow_page
from ops import stack, supervision
from ops.layout import Layout


def main(argv: list[str] | None = None) -> int:
    """Serve MLflow until it is interrupted; only says the address when the stack serves it already."""
    parser = argparse.ArgumentParser(prog=spoken("./mlflow_ui.sh"), description=__doc__)
    parser.add_argument("--port", type=int, help="instead of REFIT_MLFLOW_PORT")
    arguments = parser.parse_args(argv)
    layout = Layout(load())
    port = arguments.port or layout.ports["mlflow"]
    name = layout.settings.registry.model_name
    if any(state.name == "mlflow" and state.running for state in supervision.states(layout)):
        print(f"MLflow runs already: {mlflow_page(layout.settings, f'models/{name}')}")
        return 0
    if stack.listens(port):
        print(f"Port {port} is taken: name another with --port", file=sys.stderr)
        return 1
    (layout.mlflow_home / "artifacts").mkdir(parents=True, exist_ok=True)
    program = supervision.mlflow(layout, port=port)
    here = from_values({"mlflow_port": port, "registry": {"model_name": name}})
    print(f"MLflow: {mlflow_page(here, f'models/{name}')}   (Ctrl-C ends it)", flush=True)
    os.execve(program.command[0], program.command, stack.environment(layout) | program.environment)


if __name__ == "__main__":
    sys.exit(main())
