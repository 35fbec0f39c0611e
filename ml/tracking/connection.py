"""Which MLflow, and a client of it.

The configured one; else the server on `mlflow_port` where it serves this home's store; else that store itself
(SQLite under `var/mlflow`). Artifacts of the local store are plain files with absolute paths, so that server
(`--no-serve-artifacts`) and direct clients can be used side by side.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import http
from ml.errors import RefitError, RegistryError, RegistryUnavailable
from ml.messages import message
from ml.settings import Settings
from ml.storage import locks
from ml.storage.files import keep_private, make_private

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PROBE_S = 10.0  # how long the answer to "does our server run?" is believed; a wrong one costs nothing but time
_STORES = ("boto3", "botocore", "s3transfer", "azure", "google", "gcsfs")
_PASSING = (408, 425, 429)  # of the answers below 500 that an object store gives
_probed: dict[tuple[str, Path, str], tuple[float, bool]] = {}


def uri(settings: Settings) -> str:
    """The tracking and registry URI in force."""
    if settings.registry.tracking_uri:
        return settings.registry.tracking_uri
    server = f"http://127.0.0.1:{settings.mlflow_port}"
    key = (server, settings.home, settings.registry.experiment)
    asked, answer = _probed.get(key, (-math.inf, False))
    if time.monotonic() - asked > _PROBE_S:
        answer = _serves_this_home(server, settings)
        _probed[key] = (time.monotonic(), answer)
    return server if answer else local_uri(settings)


def local_uri(settings: Settings) -> str:
    """The SQLite store under `var/mlflow`."""
    return f"sqlite:///{settings.var / 'mlflow' / 'mlflow.db'}"


def artifact_root(settings: Settings) -> Path:
    """Where the local store keeps artifacts."""
    return settings.var / "mlflow" / "artifacts"


def client(settings: Settings) -> MlflowClient:
    """A client with bounded waiting. Also makes this process's default URI the same, which MLflow's
    registry needs for `models:/` sources.

    Raises
    ------
    RegistryUnavailable
        The store cannot be opened.
    """
    address = uri(settings)
    with errors(address):
        if address != local_uri(settings):
            return _as_default(address)
        # Two processes that made the tables of a new store at the same time would break it.
        with locks.exclusive(settings, "mlflow-store"):
            _prepare_local(settings.var)
            return _as_default(address)


@contextlib.contextmanager
def errors(address: str) -> Iterator[None]:
    """Turn MLflow's exceptions into ours: out of reach may pass, an answered refusal stays."""
    try:
        yield
    except RefitError:
        raise
    except Exception as error:
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        where = _without_password(address)
        if isinstance(error, MlflowException) and _is_refusal(error):
            raise RegistryError(message("connections.mlflow_refuses", address=where, error=error.message)) from error
        if _of_store(error) and _refuses(error):
            raise RegistryError(message("connections.mlflow_refuses", address=where, error=str(error))) from error
        passing = MlflowException | requests.RequestException | SQLAlchemyError | OSError | sqlite3.Error
        if isinstance(error, passing) or _of_store(error):
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RegistryUnavailable(message("connections.mlflow_silent", address=where, error=first)) from error
        raise


def _quiet_environment() -> None:
    """MLflow's own switches, before its first import: bounded retries, no telemetry, no printing."""
    defaults = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _as_default(address: str) -> MlflowClient:
    client = _client(address)
    import mlflow

    if mlflow.get_tracking_uri() != address:
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
    return client


@functools.cache
def _client(address: str) -> MlflowClient:
    _quiet_environment()
    import logging

    import mlflow

    for noisy in ("mlflow.store", "mlflow.utils", "alembic", "mlflow.tracking", "mlflow.types"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    client = mlflow.MlflowClient(address, registry_uri=address)
    client.search_experiments(max_results=1)  # opens the store here, where an error is understood
    return client


def _prepare_local(var: Path) -> None:
    """Make the SQLite file once, in WAL mode: a reader then never waits for a writer (the mode stays in the file)."""
    database = var / "mlflow" / "mlflow.db"
    if database.exists():
        keep_private(database)
        return
    (var / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    make_private(database)
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _serves_this_home(server: str, settings: Settings) -> bool:
    """Does the server's experiment keep its artifacts under this home? Another home may use the same port."""
    query = urllib.parse.urlencode({"experiment_name": settings.registry.experiment})
    try:
        response = http.get(f"{server}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout_s=3)
        location = response["experiment"]["artifact_location"]
    except (http.HttpError, KeyError, TypeError):
        return False
    path = urllib.parse.urlsplit(str(location)).path
    return Path(path).is_relative_to(settings.home)


def _of_store(error: BaseException) -> bool:
    """Whether the client of an object store raised it, in which MLflow's artifacts are: its errors have no base of
    Python's own, and none of its modules need be installed."""
    return any(kind.__module__.partition(".")[0] in _STORES for kind in type(error).__mro__) or (
        isinstance(error.__cause__, Exception) and _of_store(error.__cause__)
    )


def _refuses(error: BaseException) -> bool:
    """Whether the store answered, and said no to these keys or this bucket; what it says of its own state passes."""
    answer = getattr(error, "response", None)
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    status = status or getattr(error, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in _PASSING
    return isinstance(error.__cause__, Exception) and _of_store(error.__cause__) and _refuses(error.__cause__)


def _is_refusal(error: Any) -> bool:
    return bool(400 <= error.get_http_status_code() < 500)


def _without_password(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return address.replace(f":{parts.password}@", ":…@") if parts.password else address
