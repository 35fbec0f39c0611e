"""One parent run a run key, found again by its tag; trials as nested runs, each sent in one batch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.settings import Settings
from ml.storage import locks
from ml.tracking import connection
from ml.tracking.connection import errors, uri

if TYPE_CHECKING:
    from mlflow.entities import Metric

RUN_KEY = "refit.run_key"
PARENT = "mlflow.parentRunId"
_METRICS_A_BATCH = 1000  # MLflow's own limits of one log_batch call
_PARAMS_A_BATCH = 100  # the same
_PARAM_CHARS = 6000  # the same, of one value


def experiment(settings: Settings) -> str:
    """Id of the experiment, made where it is missing."""
    client = connection.client(settings)
    name = settings.registry.experiment
    with errors(uri(settings)):
        if existing := client.get_experiment_by_name(name):
            return str(existing.experiment_id)
        # A server of ours and direct clients share absolute file paths; another server decides for itself.
        elsewhere = settings.registry.tracking_uri.startswith("http")
        location = None if elsewhere else str(connection.artifact_root(settings))
        with locks.exclusive(settings, "experiment"):
            if existing := client.get_experiment_by_name(name):
                return str(existing.experiment_id)
            return str(client.create_experiment(name, artifact_location=location))


def run(settings: Settings, run_key: str, *, tags: Mapping[str, str] | None = None) -> str:
    """Id of the parent run of a run key, made where it is missing. The same key gives the same run.

    Parameters
    ----------
    tags
        Set where the run is made; a run that is there keeps its own.
    """
    found, where = connection.client(settings), experiment(settings)
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

    Parameters
    ----------
    params
        May be nested; one that the run has already is left as it is (MLflow refuses another value for it).
    metrics
        Finite numbers; others are left out.
    history
        One mapping an epoch; each numeric entry becomes a curve.
    tags
        Values that are not text are kept as JSON.
    model_id
        The logged model that the metrics are of.

    Raises
    ------
    RegistryUnavailable
        MLflow does not answer; the call may be made again.
    """
    from mlflow.entities import Param, RunTag

    client = connection.client(settings)
    points = _points(metrics or {}, history, model_id=model_id, run_id=run_id)
    with errors(uri(settings)):
        known = client.get_run(run_id).data.params if params else {}
        new = [Param(k, _text(v)) for k, v in _flat(params or {}).items() if k not in known]
        labels = [RunTag(k, _text(v)) for k, v in (tags or {}).items()]
        rounds = max(-(-len(points) // _METRICS_A_BATCH), -(-len(new) // _PARAMS_A_BATCH), 1 if labels else 0)
        for i in range(rounds):
            client.log_batch(
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
    model: Path | None = None,
) -> str:
    """One finished nested run: made, filled by one batch, and ended.

    Parameters
    ----------
    parent
        The id of the run it is nested in.
    params, metrics, history, tags
        As `log`, but cut at what one batch takes: 1,000 points and 100 parameters.
    failed
        Ends as FAILED.
    started
        Seconds since 1970; now by default.
    model
        A folder whose files become its artifacts.

    Returns
    -------
    Its id.

    Raises
    ------
    RegistryUnavailable
        MLflow does not answer.
    """
    from mlflow.entities import Param

    found, where = connection.client(settings), experiment(settings)
    with errors(uri(settings)):
        begin = int((started or time.time()) * 1000)
        labels = {PARENT: parent, "refit.kind": "trial", **{k: _text(v) for k, v in (tags or {}).items()}}
        created = found.create_run(where, start_time=begin, tags=labels, run_name=name)
        run_id = str(created.info.run_id)
        found.log_batch(
            run_id,
            metrics=_points(metrics, history)[:_METRICS_A_BATCH],
            params=[Param(k, _text(v)) for k, v in _flat(params).items()][:_PARAMS_A_BATCH],
        )
        if model is not None:
            found.log_artifacts(run_id, str(model), "model")
        found.set_terminated(run_id, "FAILED" if failed else "FINISHED")
        return run_id


def children(settings: Settings, parent: str, tag: str) -> set[str]:
    """Values of `tag` over the nested runs of a parent: what has been logged already."""
    found, where = connection.client(settings), experiment(settings)
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
            connection.client(settings).log_artifacts(run_id, str(folder), into)


def log_text(settings: Settings, run_id: str, text: str, name: str) -> None:
    """Upload a text (or a rendered table: JSON that MLflow's UI shows) as an artifact.

    Parameters
    ----------
    name
        Path of the artifact in the run.
    """
    with errors(uri(settings)):
        connection.client(settings).log_text(run_id, text, name)


def log_snapshot(settings: Settings, run_id: str, path: Path, *, rows: int, columns: Sequence[str]) -> None:
    """`mlflow.log_input` of a snapshot: its hash, where it lies and its size.

    Parameters
    ----------
    path
        The snapshot's file, whose stem is its hash.
    rows, columns
        How many, and their names.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=f"snapshot-{path.stem}",
        digest=path.stem,
        source_type="local",
        source=json.dumps({"uri": str(path)}),
        profile=json.dumps({"rows": rows, "columns": columns}),
    )
    with errors(uri(settings)):
        connection.client(settings).log_inputs(
            run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        )


def end(settings: Settings, run_id: str, status: str = "FINISHED") -> None:
    """End a parent run: FINISHED or FAILED."""
    with errors(uri(settings)):
        connection.client(settings).set_terminated(run_id, status)


def link(settings: Settings, run_id: str) -> str:
    """Where a person finds the run in MLflow's pages; the query asks for the mode that shows the registry."""
    base = uri(settings) if uri(settings).startswith("http") else f"http://127.0.0.1:{settings.mlflow_port}"
    return f"{base}/?workflowType=machine_learning#/experiments/{experiment(settings)}/runs/{run_id}"


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
    steps = [int(entry.get("epoch", number)) for number, entry in enumerate(history)]
    # MLflow shows the value of the highest step: the result stands after the curve of its name.
    after = {name: step + 1 for step, entry in zip(steps, history, strict=True) for name in entry}
    points = [Metric(k, float(v), now, after.get(k, 0), **extra) for k, v in metrics.items() if _is_number(v)]
    for step, entry in zip(steps, history, strict=True):
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
