"""The tables of the prediction log, and what writes them. The log shipper calls this, so it is light to import."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from ml.settings import Settings
from ml.storage import database

predictions = sa.Table(
    "predictions",
    database.metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("time", sa.Double, nullable=False),  # answered at
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),  # JSON object: column → value, null for missing
    sa.Column("label", sa.Text, nullable=False),  # predicted
    sa.Column("probability", sa.Double, nullable=False),  # of the predicted or positive label, as answered
    sa.Column("probabilities", sa.Text, nullable=False),  # JSON object: class → probability
    sa.Column("flags", sa.Text, nullable=False),  # JSON list of warnings, as answered
    sa.Column("model_sha256", sa.Text, nullable=False, server_default=""),  # of the bundle that answered: see meanings
    sa.Column("row_id", sa.Text, nullable=False, server_default=""),  # `ml.schema.schema.identity`; "" where no id came
    sa.Index("predictions_by_version_and_time", "model_version", "time"),
    sa.Index("predictions_by_time", "time"),
)
feedback = sa.Table(
    "feedback",
    database.metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),  # what turned out to be true
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Index("feedback_by_prediction", "prediction_id", "received_at", "id"),
)

# What a logged row means, by the content hash of the bundle that answered it: never taken from today's settings.
meanings = sa.Table(
    "meanings",
    database.metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("schema", sa.Text, nullable=False),  # schema.json: target, classes in order, ids, time, reading rules
)

# Rows of one INSERT … VALUES round; bounds memory, and how long other writers wait for SQLite's lock.
BATCH_ROWS = 2_000


class PredictionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `predictions`."""

    prediction_id: str
    time: float
    model_version: str
    inputs: str
    label: str
    probability: float
    probabilities: str
    flags: str
    model_sha256: str = ""
    row_id: str = ""


class MeaningRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `meanings`."""

    sha256: str
    schema: str


class FeedbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `feedback`."""

    id: str
    prediction_id: str
    label: str
    received_at: float


def insert(engine: sa.Engine, records: Iterable[Mapping[str, Any]]) -> None:
    """Write answered predictions; one whose `prediction_id` is already there is left as it is.

    Parameters
    ----------
    records
        Mappings with `prediction_id`, `time` (seconds since 1970 UTC, or an aware datetime), `model_version`,
        `inputs` (mapping column → value, or its JSON), `label`, `probability`, `probabilities` (mapping class →
        probability, or its JSON) and, optionally, `flags` (list of text, or its JSON), `model_sha256` and `row_id`.

    Raises
    ------
    StoreUnavailable
        The database cannot be reached or stays locked; nothing of the batch in flight was written, and
        the same call may be made again.
    """
    _write(engine, predictions, (_prediction(record) for record in records))


def insert_meanings(engine: sa.Engine, found: Mapping[str, bytes]) -> None:
    """Write what the rows of bundles mean: SHA-256 → schema.json. One that is there already is left as it is."""
    _write(engine, meanings, (MeaningRow(sha256=key, schema=text.decode()) for key, text in found.items() if key))


def insert_feedback(engine: sa.Engine, records: Iterable[Mapping[str, Any]]) -> None:
    """Write labels that came for predictions. History is kept; readers take the latest of a prediction.

    A label may come before its prediction is in the database, twice, or corrected later.

    Parameters
    ----------
    records
        Mappings with `prediction_id`, `label`, `received_at` (as `time` above) and, optionally, `id`: the same
        `id` is written once. Without it, the same label at the same moment is written once.
    """
    _write(engine, feedback, (_feedback(record) for record in records))


def drop_repeated_labels(engine: sa.Engine, prediction_ids: Iterable[str] | None = None) -> int:
    """Delete labels that repeat the one before them, so that history has one row a change; return how many.

    The first of a run of equal labels stays, with the moment it came. To be called when the labels of a stretch of
    time are all there, as each is compared with the one before it in time.

    Parameters
    ----------
    prediction_ids
        Only the labels of these; without it, all.
    """
    if prediction_ids is None:
        return _drop_repeated(engine, None)
    ids = sorted(set(prediction_ids))
    return sum(_drop_repeated(engine, ids[i : i + BATCH_ROWS]) for i in range(0, len(ids), BATCH_ROWS))


def purge(settings: Settings, older_than: float) -> int:
    """Delete predictions answered before `older_than` (seconds), with their labels; return how many.

    In short transactions: the service's writer is never kept waiting for long. Labels whose prediction never
    came are deleted by their own age.
    """
    engine, gone = database.engine(settings), 0
    p, f = predictions.c, feedback.c
    while True:
        with database.unavailable_as_transient(), engine.begin() as connection:
            ids = list(connection.execute(sa.select(p.prediction_id).where(p.time < older_than).limit(500)).scalars())
            connection.execute(sa.delete(feedback).where(f.prediction_id.in_(ids)))
            connection.execute(sa.delete(predictions).where(p.prediction_id.in_(ids)))
            if not ids:
                orphan = ~sa.exists().where(p.prediction_id == f.prediction_id)
                connection.execute(sa.delete(feedback).where(f.received_at < older_than, orphan))
                return gone
            gone += len(ids)


def _drop_repeated(engine: sa.Engine, ids: list[str] | None) -> int:
    f = feedback.c
    before = sa.func.lag(f.label).over(partition_by=f.prediction_id, order_by=(f.received_at, f.id)).label("before")
    runs = sa.select(f.id, f.label, before)
    if ids is not None:
        runs = runs.where(f.prediction_id.in_(ids))
    ranked = runs.subquery()
    query = sa.select(ranked.c.id).where(ranked.c.label == ranked.c.before)
    with database.unavailable_as_transient(), engine.begin() as connection:
        repeated = list(connection.execute(query).scalars())
        for i in range(0, len(repeated), BATCH_ROWS):
            connection.execute(sa.delete(feedback).where(f.id.in_(repeated[i : i + BATCH_ROWS])))
    return len(repeated)


def _write(engine: sa.Engine, table: sa.Table, rows: Iterable[msgspec.Struct]) -> None:
    statement = database.insert_ignore(table, engine.dialect.name)
    remaining = iter(rows)
    while batch := [msgspec.structs.asdict(row) for row in itertools.islice(remaining, BATCH_ROWS)]:
        with database.unavailable_as_transient(), engine.begin() as connection:
            connection.execute(statement, batch)


def _prediction(record: Mapping[str, Any]) -> PredictionRow:
    return PredictionRow(
        prediction_id=record["prediction_id"],
        time=_seconds(record["time"]),
        model_version=str(record["model_version"]),
        inputs=_json(record["inputs"]),
        label=str(record["label"]),
        probability=float(record["probability"]),
        probabilities=_json(record["probabilities"]),
        flags=_json(record.get("flags") or []),
        model_sha256=record.get("model_sha256") or "",
        row_id=record.get("row_id") or "",
    )


def _feedback(record: Mapping[str, Any]) -> FeedbackRow:
    prediction_id, label, moment = record["prediction_id"], str(record["label"]), _seconds(record["received_at"])
    digest = hashlib.sha256(f"{prediction_id}\x00{label}\x00{moment}".encode()).hexdigest()[:32]
    return FeedbackRow(id=str(record.get("id") or digest), prediction_id=prediction_id, label=label, received_at=moment)


def _seconds(moment: float | datetime) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def _json(value: Any) -> str:
    """JSON text; a non-finite number becomes null, which is what a missing number is in the log."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8")
