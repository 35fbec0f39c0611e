"""What writes the prediction log. The log shipper calls this, so it is light to import.

Here is SQLite's way, and what both have in common; `ml.predictions.postgresql` is the other.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from ml.predictions import postgresql
from ml.predictions.tables import (
    ActionRow,
    FeedbackRow,
    LayoutRow,
    MeaningRow,
    PredictionRow,
    actions,
    feedback,
    layouts,
    meanings,
    prediction_keys,
    predictions,
    repeated_labels,
)
from ml.settings import Settings
from ml.storage import database

# Rows of one INSERT … VALUES round; bounds memory, and how long other writers wait for SQLite's lock.
BATCH_ROWS = 2_000

T = TypeVar("T")


def insert(engine: sa.Engine, records: Iterable[Mapping[str, Any] | PredictionRow]) -> None:
    """Write answered predictions; one whose `prediction_id` is already there is left as it is.

    Parameters
    ----------
    records
        Rows, or mappings with `prediction_id`, `time` (seconds since 1970 UTC, or an aware datetime), `model_version`,
        `inputs` (mapping column → value, or its JSON), `label`, `probability`, `probabilities` (mapping class →
        probability, or its JSON) and, optionally, `flags` (list of text, or its JSON), `model_sha256`, `row_id` and
        what the policy let follow: `action` with its `propensity` and `label_propensity`.

    Raises
    ------
    StoreUnavailable
        The database cannot be reached or stays locked; nothing of the batch in flight was written, and
        the same call may be made again.
    """
    write, most = (postgresql.insert, postgresql.BATCH_ROWS) if postgresql.is_used(engine) else (_insert, BATCH_ROWS)
    made = (record if isinstance(record, PredictionRow) else _prediction(record) for record in records)
    for rows in _batches(made, most):
        with database.unavailable_as_transient():
            write(engine, rows)


def insert_actions(engine: sa.Engine, records: Iterable[Mapping[str, Any]]) -> None:
    """Write what callers say that followed their predictions: it stands before what the policy gave, the latest wins.

    Parameters
    ----------
    records
        Mappings with `prediction_id`, `action`, `propensity`, `label_propensity` (see `ml.exploration.policy`) and
        `told_at` (as `time` above).
    """
    statement = database.insert(actions, engine.dialect.name)
    new = {name: statement.excluded[name] for name in ("action", "propensity", "label_propensity", "told_at")}
    statement = statement.on_conflict_do_update(
        index_elements=[actions.c.prediction_id], set_=new, where=statement.excluded.told_at >= actions.c.told_at
    )
    for batch in _batches(_action(record) for record in records):
        batch.sort(key=lambda row: row.prediction_id)  # one order of locks for all writers; stable, as the latest wins
        with database.unavailable_as_transient(), engine.begin() as connection:
            connection.execute(statement, [msgspec.structs.asdict(row) for row in batch])


def insert_meanings(engine: sa.Engine, found: Mapping[str, bytes]) -> None:
    """Write what the rows of bundles mean: SHA-256 → schema.json. One that is there already is left as it is."""
    _write(engine, meanings, (MeaningRow(sha256=key, schema=text.decode()) for key, text in found.items() if key))


def insert_layouts(engine: sa.Engine, found: Mapping[bytes, bytes]) -> None:
    """Write layouts of packed inputs: key → content."""
    _write(engine, layouts, (LayoutRow(key=key.hex(), content=content.decode()) for key, content in found.items()))


def insert_feedback(engine: sa.Engine, records: Iterable[Mapping[str, Any]]) -> None:
    """Write labels that came for predictions. History is kept, one row a change; readers take a prediction's latest.

    A label may come before its prediction is in the database, twice, or corrected later, in any order. Of a run of
    equal labels the first stays, with the moment it came; those that repeat it are put aside, in the same transaction,
    and come back when a label that was given between them does.

    Parameters
    ----------
    records
        Mappings with `prediction_id`, `label`, `received_at` (as `time` above) and, optionally, `id`: the same
        `id` is written once. Without it, the same label at the same moment is written once.
    """
    fast = postgresql.is_used(engine)
    write, most = (postgresql.insert_labels, postgresql.BATCH_ROWS) if fast else (_insert_labels, BATCH_ROWS)
    for rows in _batches((_feedback(record) for record in records), most):
        with database.unavailable_as_transient():
            write(engine, rows)


def purge(settings: Settings, older_than: float) -> int:
    """Delete predictions answered before `older_than` (seconds), with their labels; return how many.

    In SQLite in short transactions: the service's writer is never kept waiting for long. In PostgreSQL by whole days
    (UTC). Labels whose prediction never came are deleted by their own age. What is in the archive is not counted.
    """
    engine = database.engine(settings)
    repeated = sa.delete(repeated_labels).where(repeated_labels.c.received_at < older_than)
    if postgresql.is_used(engine):
        with database.unavailable_as_transient():
            gone = postgresql.purge(engine, older_than)
    else:
        gone = _purge(engine, older_than)
    with database.unavailable_as_transient(), engine.begin() as connection:
        connection.execute(repeated)
    return gone


def _purge(engine: sa.Engine, older_than: float) -> int:
    p, f, k, gone = predictions.c, feedback.c, prediction_keys.c, 0
    while True:
        with database.unavailable_as_transient(), engine.begin() as connection:
            ids = list(connection.execute(sa.select(p.prediction_id).where(p.time < older_than).limit(500)).scalars())
            gone += len(ids)
            old = sa.select(k.prediction_id).where(k.time < older_than).limit(500)
            archived_ids = list(connection.execute(old).scalars())
            connection.execute(sa.delete(feedback).where(f.prediction_id.in_(ids + archived_ids)))
            connection.execute(sa.delete(actions).where(actions.c.prediction_id.in_(ids + archived_ids)))
            connection.execute(sa.delete(predictions).where(p.prediction_id.in_(ids)))
            connection.execute(sa.delete(prediction_keys).where(k.prediction_id.in_(archived_ids)))
            if not ids and not archived_ids:
                known = sa.exists().where(p.prediction_id == f.prediction_id)
                in_archive = sa.exists().where(k.prediction_id == f.prediction_id)
                connection.execute(sa.delete(feedback).where(f.received_at < older_than, ~known, ~in_archive))
                known = sa.exists().where(p.prediction_id == actions.c.prediction_id)
                in_archive = sa.exists().where(k.prediction_id == actions.c.prediction_id)
                told = actions.c.told_at
                connection.execute(sa.delete(actions).where(told > 0, told < older_than, ~known, ~in_archive))
                return gone


def _insert(engine: sa.Engine, rows: list[PredictionRow]) -> None:
    with engine.begin() as connection:
        # At first the write, which takes SQLite's lock: no other writer comes between it and the look.
        names = [column.name for column in predictions.c]
        values = [{name: getattr(row, name) for name in names} for row in rows]
        connection.execute(database.insert_ignore(predictions, "sqlite"), values)
        if followed := [msgspec.structs.asdict(row.followed) for row in rows if row.followed is not None]:
            connection.execute(database.insert_ignore(actions, "sqlite"), followed)
        in_archive = sa.select(prediction_keys.c.prediction_id).where(
            prediction_keys.c.prediction_id.in_([row.prediction_id for row in rows])
        )
        for key in connection.execute(in_archive).scalars().all():
            connection.execute(sa.delete(predictions).where(predictions.c.prediction_id == key))


def _insert_labels(engine: sa.Engine, rows: list[FeedbackRow]) -> None:
    ignore = database.insert_ignore
    ids = sorted({row.prediction_id for row in rows})
    f, r = feedback.c, repeated_labels.c
    with engine.begin() as connection:
        connection.execute(ignore(feedback, "sqlite"), [msgspec.structs.asdict(row) for row in rows])
        back = connection.execute(sa.select(repeated_labels).where(r.prediction_id.in_(ids))).mappings().all()
        if back:
            connection.execute(ignore(feedback, "sqlite"), [dict(row) for row in back])
            connection.execute(sa.delete(repeated_labels).where(r.prediction_id.in_(ids)))
        before = sa.func.lag(f.label).over(partition_by=f.prediction_id, order_by=(f.received_at, f.id))
        columns = (f.id, f.prediction_id, f.label, f.received_at)
        ranked = sa.select(*columns, before.label("before")).where(f.prediction_id.in_(ids)).subquery()
        repeats = connection.execute(sa.select(ranked).where(ranked.c.label == ranked.c.before)).all()
        if repeats:
            names = [column.name for column in columns]
            aside = [dict(zip(names, row, strict=False)) for row in repeats]
            connection.execute(ignore(repeated_labels, "sqlite"), aside)
            connection.execute(sa.delete(feedback).where(f.id.in_([row.id for row in repeats])))


def _write(engine: sa.Engine, table: sa.Table, rows: Iterable[msgspec.Struct]) -> None:
    statement = database.insert_ignore(table, engine.dialect.name)
    for batch in _batches(rows):
        with database.unavailable_as_transient(), engine.begin() as connection:
            connection.execute(statement, [msgspec.structs.asdict(row) for row in batch])


def _batches(rows: Iterable[T], most: int = BATCH_ROWS) -> Iterator[list[T]]:
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, most)):
        yield batch


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
        followed=_action(record) if record.get("action") else None,
    )


def _action(record: Mapping[str, Any]) -> ActionRow:
    return ActionRow(
        prediction_id=record["prediction_id"],
        action=record["action"],
        propensity=record.get("propensity"),
        label_propensity=record.get("label_propensity"),
        told_at=_seconds(record.get("told_at") or 0.0),
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
