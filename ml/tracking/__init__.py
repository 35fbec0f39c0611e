"""MLflow: where it is (`connection`), and the runs that the pipeline logs there (`runs`).

| module | what is in it |
|---|---|
| `connection` | Which MLflow, and a client of it |
| `runs` | One parent run a run key, found again by its tag; trials as nested runs, each sent in one batch |
| `server` | MLflow's server, which a page of another origin can ask for nothing that changes |
| `trial_log` | Sends finished trials to MLflow behind the search |
"""

from ml.tracking.connection import artifact_root, client, errors, local_uri, uri
from ml.tracking.runs import (
    PARENT,
    RUN_KEY,
    child,
    children,
    end,
    experiment,
    link,
    log,
    log_files,
    log_snapshot,
    log_text,
    run,
)

__all__ = [
    "PARENT",
    "RUN_KEY",
    "artifact_root",
    "child",
    "children",
    "client",
    "end",
    "errors",
    "experiment",
    "link",
    "local_uri",
    "log",
    "log_files",
    "log_snapshot",
    "log_text",
    "run",
    "uri",
]
