"""MLflow runs: one parent run a run key, found again by its tag; trials as nested runs, each sent in one batch.

Which MLflow: the configured one; else the server on `mlflow_port` where it serves this home's store; else
that store itself (SQLite under `var/mlflow`). Artifacts of the local store are plain files with absolute
paths, so that server (`--no-serve-artifacts`) and direct clients can be used side by side.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import locks
from ml.errors import RefitError, RegistryError, RegistryUnavailable
from ml.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

RUN_KEY = "refit.run_key"
PARENT = "mlflow.parentRunId"
_METRICS_A_BATCH = 1000  # MLflow's own limits of one log_batch call
_PARAMS_A_BATCH = 100
_PARAM_CHARS = 6000
_PROBE_S = 10.0  # how long the answer to "does our server run?" is believed; a wrong one costs nothing but time
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


def quiet_environment() -> None:
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
    made = _client(address)
    import mlflow

    if mlflow.get_tracking_uri() != address:
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
    return made


@functools.cache
def _client(address: str) -> MlflowClient:
    quiet_environment()
    import logging

    import mlflow

    for noisy in ("mlflow.store", "mlflow.utils", "alembic", "mlflow.tracking", "mlflow.types"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    made = mlflow.MlflowClient(address, registry_uri=address)
    made.search_experiments(max_results=1)  # opens the store here, where an error is understood
    return made


def _prepare_local(var: Path) -> None:
    """Make the SQLite file once, in WAL mode: a reader then never waits for a writer (the mode stays in the file)."""
    database = var / "mlflow" / "mlflow.db"
    if database.exists():
        return
    (var / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def experiment(settings: Settings) -> str:
    """Id of the experiment, made where it is missing."""
    found = client(settings)
    name = settings.registry.experiment
    with errors(uri(settings)):
        if existing := found.get_experiment_by_name(name):
            return str(existing.experiment_id)
        # A server of ours and direct clients share absolute file paths; another server decides for itself.
        elsewhere = settings.registry.tracking_uri.startswith("http")
        location = None if elsewhere else str(artifact_root(settings))
        with locks.exclusive(settings, "experiment"):
            if existing := found.get_experiment_by_name(name):
                return str(existing.experiment_id)
            return str(found.create_experiment(name, artifact_location=location))


def run(settings: Settings, run_key: str, *, tags: Mapping[str, str] | None = None) -> str:
    """Id of the parent run of a run key, made where it is missing. The same key gives the same run."""
    found, where = client(settings), experiment(settings)
    with errors(uri(settings)), locks.exclusive(settings, f"run-{run_key}"):
        existing = found.search_runs([where], f"tags.`{RUN_KEY}` = '{run_key}'", max_results=1)
        if existing:
            return str(existing[0].info.run_id)
        tagged = {RUN_KEY: run_key, **(tags or {})}
        return str(found.create_run(where, tags=tagged, run_name=run_key).info.run_id)


def log(
    settings: Settings,
    run_id: str,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    tags: Mapping[str, Any] | None = None,
    model_id: str | None = None,
) -> None:
    """Log everything in as few batches as MLflow takes.

    A parameter that the run has already is left as it is (MLflow refuses another value for it).
    `history` has one mapping an epoch; each numeric entry becomes a curve.
    """
    from mlflow.entities import Param, RunTag

    found = client(settings)
    points = _points(metrics or {}, history, model_id=model_id, run_id=run_id)
    with errors(uri(settings)):
        known = found.get_run(run_id).data.params if params else {}
        new = [Param(k, _text(v)) for k, v in _flat(params or {}).items() if k not in known]
        labels = [RunTag(k, _text(v)) for k, v in (tags or {}).items()]
        rounds = max(-(-len(points) // _METRICS_A_BATCH), -(-len(new) // _PARAMS_A_BATCH), 1 if labels else 0)
        for i in range(rounds):
            found.log_batch(
                run_id,
                metrics=points[i * _METRICS_A_BATCH : (i + 1) * _METRICS_A_BATCH],
                params=new[i * _PARAMS_A_BATCH : (i + 1) * _PARAMS_A_BATCH],
                tags=labels if i == 0 else [],
            )


def child(
    settings: Settings,
    parent: str,
    name: str,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    history: Sequence[Mapping[str, Any]] = (),
    tags: Mapping[str, Any] | None = None,
    failed: bool = False,
    started: float | None = None,
) -> str:
    """One finished nested run: made, filled by one batch, and ended. Returns its id."""
    from mlflow.entities import Param, RunTag

    found, where = client(settings), experiment(settings)
    with errors(uri(settings)):
        begin = int((started or time.time()) * 1000)
        labels = {PARENT: parent, **{k: _text(v) for k, v in (tags or {}).items()}}
        made = found.create_run(where, start_time=begin, tags=labels, run_name=name)
        run_id = str(made.info.run_id)
        found.log_batch(
            run_id,
            metrics=_points(metrics, history)[:_METRICS_A_BATCH],
            params=[Param(k, _text(v)) for k, v in _flat(params).items()][:_PARAMS_A_BATCH],
            tags=[RunTag("refit.kind", "trial")],
        )
        found.set_terminated(run_id, "FAILED" if failed else "FINISHED")
        return run_id


def children(settings: Settings, parent: str, tag: str) -> set[str]:
    """Values of `tag` over the nested runs of a parent: what has been logged already."""
    found, where = client(settings), experiment(settings)
    with errors(uri(settings)):
        values: set[str] = set()
        token: str | None = None
        while True:
            page = found.search_runs([where], f"tags.`{PARENT}` = '{parent}'", max_results=1000, page_token=token)
            values.update(r.data.tags[tag] for r in page if tag in r.data.tags)
            token = page.token
            if not token:
                return values


def log_files(settings: Settings, run_id: str, folder: Path, into: str) -> None:
    """Upload every file of a folder as artifacts under `into`."""
    if folder.is_dir() and any(folder.iterdir()):
        with errors(uri(settings)):
            client(settings).log_artifacts(run_id, str(folder), into)


def log_text(settings: Settings, run_id: str, text: str, name: str) -> None:
    """Upload a text (or a rendered table: JSON that MLflow's UI shows) as an artifact."""
    with errors(uri(settings)):
        client(settings).log_text(run_id, text, name)


def log_snapshot(settings: Settings, run_id: str, snapshot_id: str, manifest: Mapping[str, Any], path: Path) -> None:
    """`mlflow.log_input` of a snapshot: its hash, where it lies and its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {k: manifest[k] for k in ("rows", "columns") if k in manifest}
    dataset = Dataset(
        name=f"snapshot-{snapshot_id}",
        digest=snapshot_id,
        source_type="local",
        source=json.dumps({"uri": str(path)}),
        profile=json.dumps(profile, default=str),
    )
    with errors(uri(settings)):
        client(settings).log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def end(settings: Settings, run_id: str, status: str = "FINISHED") -> None:
    """End a parent run: FINISHED or FAILED."""
    with errors(uri(settings)):
        client(settings).set_terminated(run_id, status)


def link(settings: Settings, run_id: str) -> str:
    """Where a person finds the run in MLflow's pages; the query asks for the mode that shows the registry."""
    base = uri(settings) if uri(settings).startswith("http") else f"http://127.0.0.1:{settings.mlflow_port}"
    return f"{base}/?workflowType=machine_learning#/experiments/{experiment(settings)}/runs/{run_id}"


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
            raise RegistryError(f"MLflow at {where}: {error.message}") from error
        if isinstance(error, MlflowException | requests.RequestException | SQLAlchemyError | OSError | sqlite3.Error):
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RegistryUnavailable(f"MLflow at {where} does not answer: {first}") from error
        raise


def _is_refusal(error: Any) -> bool:
    return bool(400 <= error.get_http_status_code() < 500)


def _points(
    metrics: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
    *,
    model_id: str | None = None,
    run_id: str | None = None,
) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    extra = {"model_id": model_id, "run_id": run_id} if model_id else {}
    points = [Metric(k, float(v), now, 0, **extra) for k, v in metrics.items() if _is_number(v)]
    for epoch, entry in enumerate(history):
        step = int(entry.get("epoch", epoch))
        points += [Metric(k, float(v), now, step) for k, v in entry.items() if k != "epoch" and _is_number(v)]
    return points


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested parameters as dotted names, in the characters that MLflow allows."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{k}": v for k, v in _flat(value).items()})
        else:
            flat[str(key)] = value
    return flat


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text[: _PARAM_CHARS - 1] + "…" if len(text) > _PARAM_CHARS else text


def _without_password(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return address.replace(f":{parts.password}@", ":…@") if parts.password else address


def _serves_this_home(server: str, settings: Settings) -> bool:
    """Does the server's experiment keep its artifacts under this home? Another home may use the same port."""
    query = urllib.parse.urlencode({"experiment_name": settings.registry.experiment})
    try:
        with urllib.request.urlopen(f"{server}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=3) as answer:
            location = json.load(answer)["experiment"]["artifact_location"]
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
        return False
    path = urllib.parse.urlsplit(str(location)).path
    return Path(path).is_relative_to(settings.home)
