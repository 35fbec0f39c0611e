"""The stack of the demonstration: its own home and ports, so that the user's own model is left alone."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path

import msgspec

import demo
from ml.settings import Settings, load
from ops import command, stack
from ops.layout import Layout
from ops.terminal import Terminal

PORT_OFFSET = 100
# A first champion in a moment, verdicts every half minute: what is shown is the loop, not the search.
CHOICES = {
    "REFIT_DATA__SOURCE": "customers",
    "REFIT_CUSTOMERS__N_SAMPLES": "4000",
    "REFIT_TRAIN__FAMILIES": "logistic,hist_gradient_boosting",
    "REFIT_TUNE__MAX_EVALS": "5",
    "REFIT_TUNE__FOLDS": "3",
    "REFIT_DRIFT__MIN_ROWS": "600",
    "REFIT_SCHEDULE__WATCH_INTERVAL_S": "2",
    "REFIT_DRIFT__REPORT_ROWS": "1000",
    "REFIT_DRIFT__COOLDOWN_S": "20",
}


def prepare(settings: Settings, environ: MutableMapping[str, str] = os.environ) -> Path:
    """Point the environment, from which every program of the stack reads, at a fresh home under `var/demo`."""
    home = settings.var / "demo"
    stack.stop(Layout(msgspec.structs.replace(settings, home=home)))  # what a killed demonstration left running
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for name in [n for n in environ if n.startswith(("REFIT_DATA__", "REFIT_DRIFT__", "REFIT_SCHEDULE__"))]:
        del environ[name]
    environ.update(CHOICES)
    environ["REFIT_HOME"] = str(home)
    for name, port in (
        ("REFIT_SERVING_PORT", settings.serving_port),
        ("REFIT_AIRFLOW_PORT", settings.airflow_port),
        ("REFIT_MLFLOW_PORT", settings.mlflow_port),
    ):
        environ[name] = str(port + PORT_OFFSET)
    return home


def run() -> int:
    """Start the stack, play the demonstration on it with the picture among the user's own reports, and stop it.

    Raises
    ------
    StackError
        The stack does not start.
    """
    mine, terminal = load(), Terminal()
    prepare(mine)
    own = Layout(load())
    # A TERM ends it as Ctrl-C does: through the `finally` below, so that no stack is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with command.only_one(own):
            command.ensure_running(own, terminal)
        command.close_loop(own, terminal)
        return demo.run(own.settings, reports=mine.var / "reports")
    finally:
        stack.stop(own)
