"""Brings old days into Parquet files: what leaves the database by age.

Whole days (UTC) that ended before a moment go, each into a file below the archive's address (`database.archive`). A
file is written whole, read back and held against the rows that are still in the database by count and by hash; then
the file's line in `archived`, and the rows' end, are one transaction. A kill in between leaves the rows where they
were, and a file that no line names, which the next run deletes. Labels and keys stay in the database until their
retention: an id that comes again is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from ml.errors import RefitError, StoreUnavailable
from ml.messages import message
from ml.predictions import postgresql
from ml.predictions.archive import NAMES, reachable
from ml.predictions.postgresql import DAY_S
from ml.predictions.tables import archived, layouts, prediction_keys, predictions
from ml.settings import Settings
from ml.storage import database, file_systems, locks
from ml.storage import files as storage

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("refit.predictions")

GROUP_ROWS = 50_000  # of a row group, and in memory at once; our choice
LAYOUTS = b"refit_layouts"  # in a file's metadata, so that it can be read without the database
_PACKED = ("inputs", "probabilities")


def archive(settings: Settings, before: float) -> int:
    """Move the days that ended before this moment (seconds) into files; returns how many rows.

    Raises
    ------
    StoreUnavailable
        Database or archive do not answer; what has been moved is whole, the rest is where it was.
    """
    engine, moved = database.engine(settings), 0
    with locks.exclusive(settings, "prediction-archive", timeout_s=1.0):
        with reachable(file_systems.without_keys(database.archive(settings))):
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
        with contextlib.suppress(locks.Busy), lock, reachable(file_systems.without_keys(database.archive(settings))):
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
        with reachable(name):
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
    schema = pa.schema([(name, types.get(name, pa.string())) for name in NAMES])
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
            for j, name in enumerate(NAMES):
                if name in _PACKED:
                    columns[j] = [value if isinstance(value, bytes) else value.encode() for value in columns[j]]
            table = pa.table(columns, schema=schema)
            if writer is None:
                stream = _opened(place, path)
                writer = pq.ParquetWriter(stream, schema, compression="zstd")
            writer.write_table(table)
            _update(digest, table)
            moments = columns[NAMES.index("time")]
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
    for name in NAMES:
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
