"""Old days in Parquet files, read as if they had not left the database: `ml.predictions.archiver` brings them there.

Labels and keys stay in the database until their retention: a label that comes later finds its row in the archive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from ml.errors import StoreUnavailable
from ml.messages import message
from ml.predictions import postgresql
from ml.predictions.tables import ArchivedFile, actions, archived, feedback, prediction_keys, predictions
from ml.storage import database, file_systems

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = [column.name for column in predictions.c]  # of a file's columns
ID, TIME = 0, 1  # places in a row

Row = tuple[Any, ...]  # the columns of `predictions`, the latest label and its moment, what followed


class Wanted(NamedTuple):
    """Which rows a window has: as `ml.predictions.window` says."""

    since: float | None = None
    until: float | None = None
    version: str | None = None
    sha256: str = ""
    labelled_only: bool = False
    labels_after: float | None = None
    labels_before: float | None = None


class _Labels(NamedTuple):
    """Of an archived file's predictions, by id: the first label's moment, and the latest label with its."""

    first: dict[str, float]
    latest: dict[str, tuple[str, float]]


def files(engine: sa.Engine, *, since: float | None = None, until: float | None = None) -> list[ArchivedFile]:
    """Those that have answers of a stretch of time, the newest first.

    Parameters
    ----------
    engine
        Of the prediction log.
    since, until
        Seconds since the epoch; None: no bound.
    """
    c = archived.c
    query = sa.select(archived).order_by(c.until.desc())
    if since is not None:
        query = query.where(c.until >= since)
    if until is not None:
        query = query.where(c.since < until)
    with database.unavailable_as_transient(), engine.connect() as connection:
        return [ArchivedFile(**row) for row in connection.execute(query).mappings()]


def with_files(
    engine: sa.Engine, found: list[Row], listed: Sequence[ArchivedFile], wanted: Wanted, rows: int | None
) -> list[Row]:
    """A window's rows from the database, with those of the archive among them.

    Parameters
    ----------
    found
        Of the database, the newest first; at most `rows`. Read before `listed`: a day that went to the archive in
        between is there twice, and taken once.
    rows
        At most so many, the newest: a file whose last answer is older than they all are is not read.
    """
    merged = {row[ID]: row for row in found}
    for file in listed:
        if rows is not None and len(merged) >= rows:
            newest = sorted((row[TIME] for row in merged.values()), reverse=True)[:rows]
            if not newest or file.until < newest[-1]:
                break
        for row in _rows(engine, file, wanted):
            merged.setdefault(row[ID], row)
    return sorted(merged.values(), key=lambda row: (row[TIME], row[ID]), reverse=True)[:rows]


def with_first_labels(
    engine: sa.Engine, found: list[Row], listed: Sequence[ArchivedFile], wanted: Wanted, rows: int | None
) -> list[Row]:
    """As `with_files`, of rows (id, answered at, first label's moment).

    Parameters
    ----------
    engine
        Of the prediction log.
    found
        Of the database, the newest first.
    listed
        The files, the newest first.
    rows
        At most so many, the newest; None: all.
    """
    merged = {row[ID]: row for row in found}
    for file in listed:
        if rows is not None and len(merged) >= rows:
            newest = sorted((row[TIME] for row in merged.values()), reverse=True)[:rows]
            if not newest or file.until < newest[-1]:
                break
        labels = _labels(engine, file)
        table = _read(engine, file, ["prediction_id", "time"], wanted)
        for key, moment in zip(table["prediction_id"].to_pylist(), table["time"].to_pylist(), strict=True):
            merged.setdefault(key, (key, moment, labels.first.get(key)))
    return sorted(merged.values(), key=lambda row: row[TIME], reverse=True)[:rows]


def _rows(engine: sa.Engine, file: ArchivedFile, wanted: Wanted) -> Iterator[Row]:
    """A file's part of a window, with the labels that are in the database."""
    labels = _labels(engine, file)
    after, before = wanted.labels_after, wanted.labels_before
    ids: list[str] | None = None
    if wanted.labelled_only or after is not None or before is not None:
        ids = [
            key
            for key, (_, at) in labels.latest.items()
            if (before is None or at < before) and (after is None or labels.first[key] > after)
        ]
    if ids == []:
        return
    table, followed = _read(engine, file, NAMES, wanted, ids), _actions(engine, file)
    for row in zip(*(table[name].to_pylist() for name in NAMES), strict=True):
        yield *row, *labels.latest.get(row[ID], (None, None)), *followed.get(row[ID], (None, None, None))


def _actions(engine: sa.Engine, file: ArchivedFile) -> dict[str, tuple[Any, ...]]:
    """Id → action, propensity, label propensity, of a file's predictions."""
    a, k = actions.c, prediction_keys.c
    query = sa.select(a.prediction_id, a.action, a.propensity, a.label_propensity)
    query = query.join(prediction_keys, k.prediction_id == a.prediction_id)
    query = query.where(k.time >= file.since, k.time <= file.until)
    with database.unavailable_as_transient(), engine.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query)}


def _labels(engine: sa.Engine, file: ArchivedFile) -> _Labels:
    f, k = feedback.c, prediction_keys.c
    query = sa.select(f.prediction_id, f.label, f.received_at).order_by(f.received_at, f.id)
    if postgresql.is_used(engine):
        query = query.where(f.answered >= file.since, f.answered <= file.until)
    else:
        keys = sa.select(k.prediction_id).where(k.time >= file.since, k.time <= file.until)
        query = query.where(f.prediction_id.in_(keys))
    found = _Labels({}, {})
    with database.unavailable_as_transient(), engine.connect() as connection:
        for key, label, at in connection.execute(query):
            found.first.setdefault(key, at)
            found.latest[key] = label, at
    return found


def _read(
    engine: sa.Engine, file: ArchivedFile, columns: list[str], wanted: Wanted, ids: list[str] | None = None
) -> pa.Table:
    """What is wanted of a file, the labels left aside; `ids`: only these."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    bounds: list[Any] = []
    if wanted.since is not None:
        bounds.append(pc.field("time") >= wanted.since)
    if wanted.until is not None:
        bounds.append(pc.field("time") < wanted.until)
    if wanted.version is not None:
        bounds.append(pc.field("model_version") == wanted.version)
    if wanted.sha256:
        bounds.append(pc.field("model_sha256").isin([wanted.sha256, ""]))
    if ids is not None:
        bounds.append(pc.field("prediction_id").isin(ids))
    condition = None
    for bound in bounds:
        condition = bound if condition is None else condition & bound
    with reachable(file.name):
        place, folder = file_systems.place(str(engine.get_execution_options()["archive"]))
        return pq.read_table(f"{folder}/{file.name}", filesystem=place, columns=columns, filters=condition)


@contextlib.contextmanager
def reachable(name: str) -> Iterator[None]:
    """A file that cannot be read now is a database that cannot be read now."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(message("requests.archive_silent", name=name, error=str(error))) from error
