"""Read by every Airflow process at its start; makes those that run tasks warm.

A task's process is forked from the scheduler (LocalExecutor) or from the Celery worker. What is imported
there is imported once, and a task starts in a fraction of a second instead of the 5 to 10 s that torch,
scikit-learn, MLflow and the rest cost together. Only imports: no thread is started and no file is opened
before the fork.
"""

from __future__ import annotations

import os
import signal
import sys


def _warm() -> None:
    import importlib

    for name in (
        "mlflow", "mlflow.tracking", "pandas", "pyarrow.parquet", "sklearn.linear_model", "sklearn.ensemble",
        "sklearn.pipeline", "torch", "onnx", "onnxruntime", "hyperopt",
        "ml.pipeline.pipeline", "ml.drift",
    ):  # fmt: skip
        importlib.import_module(name)


def _die_with_parent() -> None:
    """A worker must not go on when its scheduler was killed: the next scheduler runs the task again."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1  # <linux/prctl.h>
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)


if "scheduler" in sys.argv[1:2]:
    os.register_at_fork(after_in_child=_die_with_parent)
    _warm()
elif sys.argv[1:3] == ["celery", "worker"]:
    _warm()

# What Airflow takes from here are its own hooks, of which there are none.
__all__: list[str] = []
