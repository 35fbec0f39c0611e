"""Old days in Parquet files: what leaves the database by age, and is read as if it had not.

Whole days (UTC) that ended before a moment go, each into a file below the archive's address (`database.archive`). A
file is written whole, read back and held against the rows that are still in the database by count and by hash; then
the file's line in `archived`, and the rows' end, are one transaction. A kill in between leaves the rows where they
were, and a file that no line names, which the next run deletes. Labels and keys stay in the database until their
retention: a label that comes later finds its row in the archive, and an id that comes again is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from ml.errors import RefitError, StoreUnavailable
from ml.messages import message
from ml.predictions import postgresql
from ml.predictions.postgresql import DAY_S
from ml.predictions.tables import ArchivedFile, actions, archived, feedback, layouts, prediction_keys, predictions
from ml.settings import Settings
from ml.storage import database, file_systems, locks
from ml.storage import files as storage

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("refit.predictions")

GROUP_ROWS = 50_000  # of a row group, and in memory at once; our choice
LAYOUTS = b"refit_layouts"  # in a file's metadata, so that it can be read without the database
_NAMES = [column.name for column in predictions.c]
_PACKED = ("inputs", "probabilities")
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


# Reading


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
    table, followed = _read(engine, file, _NAMES, wanted, ids), _actions(engine, file)
    for row in zip(*(table[name].to_pylist() for name in _NAMES), strict=True):
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
    with _reachable(file.name):
        place, folder = file_systems.place(str(engine.get_execution_options()["archive"]))
        return pq.read_table(f"{folder}/{file.name}", filesystem=place, columns=columns, filters=condition)


@contextlib.contextmanager
def _reachable(name: str) -> Iterator[None]:
    """A file that cannot be read now is a database that cannot be read now."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(message("requests.archive_silent", name=name, error=str(error))) from error


# Writing


def archive(settings: Settings, before: float) -> int:
    """Move the days that ended before this moment (seconds) into files; returns how many rows.

    Raises
    ------
    StoreUnavailable
        Database or archive do not answer; what has been moved is whole, the rest is where it was.
    """
    engine, moved = database.engine(settings), 0
    with locks.exclusive(settings, "prediction-archive", timeout_s=1.0):
        with _reachable(file_systems.without_keys(database.archive(settings))):
            _delete_unnamed(engine)
        for day in _days(engine, before):
            moved += _archive_day(engine, day)
    return moved


def run(settings: Settings, before: float) -> None:
    """`archive`, as a process of its own: what goes wrong is logged, and tried again the next day."""
    try:
        archive(settings, before)
    except RefitError as error:
        log.warning("%s", error)
    except Exception:
        log.exception("predictions could not be archived; it is tried again")


def purge(settings: Settings, older_than: float) -> int:
    """Delete the files whose last answer is older (seconds); returns how many rows they had."""
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.begin() as connection:
        old = archived.c.until < older_than
        rows = connection.execute(sa.select(sa.func.sum(archived.c.rows)).where(old)).scalar()
        connection.execute(sa.delete(archived).where(old))
    if rows:
        # A run that holds the lock for long is no reason to wait: what no line names is not read, and goes next time.
        lock = locks.exclusive(settings, "prediction-archive", timeout_s=1.0)
        with contextlib.suppress(locks.Busy), lock, _reachable(file_systems.without_keys(database.archive(settings))):
            _delete_unnamed(engine)
    return int(rows or 0)


def _days(engine: sa.Engine, before: float) -> list[int]:
    last = int(before // DAY_S)
    with database.unavailable_as_transient(), engine.connect() as connection:
        if postgresql.is_used(engine):
            return [day for day in postgresql.days(connection) if day < last]
        first = connection.execute(sa.select(sa.func.min(predictions.c.time))).scalar()
        return [] if first is None else list(range(int(first // DAY_S), last))


def _archive_day(engine: sa.Engine, day: int) -> int:
    name = f"{datetime.fromtimestamp(day * DAY_S, UTC):%Y-%m-%d}-{uuid.uuid4().hex[:12]}.parquet"
    place, folder = file_systems.place(str(engine.get_execution_options()["archive"]))
    with database.unavailable_as_transient(), engine.begin() as connection:
        if postgresql.is_used(engine):
            # Readers go on; a row of that day that comes now waits, and gets a new partition. In SQLite, which would
            # keep all writers waiting, such a row is found by the count at the end, and the day stays for another time.
            connection.exec_driver_sql(f"LOCK TABLE {postgresql.name('predictions', day)} IN SHARE MODE")
        with _reachable(name):
            written = _write(connection, day, place, f"{folder}/{name}")
            if written is None:
                return _forget(connection, day)
            read = _digest_of(place, f"{folder}/{name}")
        if read != written:
            place.delete_file(f"{folder}/{name}")
            raise StoreUnavailable(message("requests.archive_silent", name=name, error="other rows than written"))
        rows, digest, since, until = written
        values = {"name": name, "day": day, "rows": rows, "sha256": digest, "since": since, "until": until}
        connection.execute(sa.insert(archived).values(**values, archived_at=time.time()))
        _leave(connection, day, rows)
    log.info("a day of predictions is in the archive", extra={"rows": rows, "file": name})
    return rows


def _leave(connection: sa.Connection, day: int, rows: int) -> None:
    """Take a day's rows from the database; they must be as many as were written."""
    if connection.dialect.name == "postgresql":
        table = postgresql.name("predictions", day)
        count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
        postgresql.drop(connection, [table])
    else:
        p, k = predictions.c, prediction_keys
        mine = (p.time >= day * DAY_S) & (p.time < (day + 1) * DAY_S)
        names = ["prediction_id", "time"]
        keys = database.insert_ignore(k, "sqlite").from_select(names, sa.select(p.prediction_id, p.time).where(mine))
        connection.execute(keys)
        count = connection.execute(sa.delete(predictions).where(mine)).rowcount
    if count != rows:
        raise StoreUnavailable(message("requests.archive_silent", name=str(day), error=f"{count} rows, not {rows}"))


def _forget(connection: sa.Connection, day: int) -> int:
    """A day without rows needs no file, and no partition."""
    if connection.dialect.name == "postgresql":
        postgresql.drop(connection, [postgresql.name("predictions", day)])
    return 0


def _write(connection: sa.Connection, day: int, place: Any, path: str) -> tuple[int, str, float, float] | None:
    """Write a day's rows; (how many, their hash, first moment, last), None where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"time": pa.float64(), "probability": pa.float64()} | dict.fromkeys(_PACKED, pa.large_binary())
    schema = pa.schema([(name, types.get(name, pa.string())) for name in _NAMES])
    known = {row.key: row.content for row in connection.execute(sa.select(layouts))}
    schema = schema.with_metadata({LAYOUTS: msgspec.json.encode(known)})
    p = predictions.c
    query = sa.select(predictions).where(p.time >= day * DAY_S, p.time < (day + 1) * DAY_S)
    query = query.order_by(p.time, p.prediction_id).execution_options(yield_per=GROUP_ROWS)
    rows, digest, since, until = 0, hashlib.sha256(), math.inf, -math.inf
    writer = None
    try:
        for part in connection.execute(query).partitions():
            columns = [list(column) for column in zip(*part, strict=True)]
            for j, name in enumerate(_NAMES):
                if name in _PACKED:
                    columns[j] = [value if isinstance(value, bytes) else value.encode() for value in columns[j]]
            table = pa.table(columns, schema=schema)
            if writer is None:
                stream = _opened(place, path)
                writer = pq.ParquetWriter(stream, schema, compression="zstd")
            writer.write_table(table)
            _update(digest, table)
            moments = columns[_NAMES.index("time")]
            rows, since, until = rows + len(part), min(since, moments[0]), max(until, moments[-1])
        if writer is None:
            return None
        writer.close()
        stream.close()
    except BaseException:
        if writer is not None:
            with contextlib.suppress(OSError):
                place.delete_file(path)
        raise
    if place.type_name == "local":
        storage.sync_file(path)
        storage.sync_folder(Path(path).parent)
    return rows, digest.hexdigest(), since, until


def _opened(place: Any, path: str) -> Any:
    if place.type_name == "local":
        storage.make_folder(Path(path).parent)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # as the database: its owner's alone
    return place.open_output_stream(path)


def _digest_of(place: Any, path: str) -> tuple[int, str, float, float]:
    """As `_write` says, of what is read back."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows, digest, since, until = 0, hashlib.sha256(), math.inf, -math.inf
    with place.open_input_file(path) as source, pq.ParquetFile(source) as file:
        for batch in file.iter_batches(GROUP_ROWS):
            table = pa.Table.from_batches([batch])
            _update(digest, table)
            ends = pc.min_max(table["time"]).as_py()
            rows, since, until = rows + table.num_rows, min(since, ends["min"]), max(until, ends["max"])
    return rows, digest.hexdigest(), since, until


def _update(digest: Any, table: pa.Table) -> None:
    """Of the values of `GROUP_ROWS` rows: each one's number of bytes and bytes, column by column."""
    for name in _NAMES:
        for value in table[name].to_pylist():
            content = value if isinstance(value, bytes) else str(value).encode()
            digest.update(b"%d:" % len(content) + content)


def _delete_unnamed(engine: sa.Engine) -> None:
    """Files that a run left which was killed, or whose lines are deleted."""
    import pyarrow.fs as pafs

    place, folder = file_systems.place(str(engine.get_execution_options()["archive"]))
    with database.unavailable_as_transient(), engine.connect() as connection:
        named = set(connection.execute(sa.select(archived.c.name)).scalars())
    for info in place.get_file_info(pafs.FileSelector(folder, allow_not_found=True)):
        if info.is_file and info.base_name.endswith(".parquet") and info.base_name not in named:
            place.delete_file(info.path)
