"""MLflow: where it is (`connection`), and the runs that the pipeline logs there (`runs`)."""

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
