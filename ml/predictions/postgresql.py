"""The prediction log in PostgreSQL: COPY into a staging table, days that are dropped whole, and keys.

A batch is one transaction: COPY into a temporary table, then one statement that takes from it what is new. What is new
the key decides (`prediction_keys`), whose unique index holds over all days; so a repetition costs nothing, whichever
machine it comes from. A label and its prediction may come at the same moment from two machines: both lock the key, in
the order of the ids, and whoever comes second sees the first. Then either the label finds the moment of its prediction,
or the prediction finds the label that waits. Keys are locked before all else and in one order, so that no two writers
wait for each other.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from ml.errors import StoreUnavailable
from ml.messages import message
from ml.predictions.tables import ActionRow, FeedbackRow, PredictionRow

BATCH_ROWS = 10_000  # of one COPY; our choice: a commit costs a sync, and 10,000 rows are 3 MB
DAY_S = 86_400.0  # seconds
NO_DAY = -1  # of labels whose prediction has not come
WAIT_S = 5  # for the lock to drop a day, while writers wait behind it; our choice

_HEAD = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!II", 0, 0)  # of COPY's binary format: no flags, no extension
_NULL = struct.pack("!i", -1)
_TAIL = struct.pack("!h", -1)
_LENGTH = struct.Struct("!I").pack
_FIRST = struct.Struct("!hI").pack
_DOUBLE = struct.Struct("!Id").pack

_COLUMNS = "prediction_id, time, model_version, inputs, label, probability, probabilities, flags, model_sha256, row_id"
_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS {0} ({1}) ON COMMIT DELETE ROWS"
_STAGED_ROWS = (
    "prediction_id text, time float8, model_version text, inputs bytea, label text, probability float8,"
    " probabilities bytea, flags text, model_sha256 text, row_id text"
)
_STAGED_ACTIONS = "prediction_id text, action text, propensity float8, label_propensity float8"
_STAGED_LABELS = "id text, prediction_id text, label text, received_at float8"

_TAKE_ROWS = f"""
WITH fresh AS (
    INSERT INTO prediction_keys AS k (prediction_id, time)
    SELECT prediction_id, time FROM staged_predictions ORDER BY prediction_id
    ON CONFLICT (prediction_id) DO UPDATE SET time = excluded.time WHERE k.time < 0
    RETURNING k.prediction_id, k.xmax::text <> '0' AS awaited
), taken AS (
    INSERT INTO predictions ({_COLUMNS})
    SELECT {_COLUMNS} FROM staged_predictions JOIN fresh USING (prediction_id)
)
SELECT prediction_id FROM fresh WHERE awaited
"""
_TAKE_ACTIONS = """
INSERT INTO actions (prediction_id, action, propensity, label_propensity, told_at)
SELECT prediction_id, action, propensity, label_propensity, 0 FROM staged_actions ORDER BY prediction_id
ON CONFLICT DO NOTHING
"""
_JOIN_WAITING = """
UPDATE feedback AS f SET answered = s.time FROM staged_predictions s
WHERE s.prediction_id = ANY(%s) AND f.answered = -1 AND f.prediction_id = s.prediction_id
"""
# In this order: the keys' locks, then what they lead to, each statement with what others have committed until then.
_TAKE_LABELS = (
    """
INSERT INTO prediction_keys AS k (prediction_id, time)
SELECT DISTINCT prediction_id, -1 FROM staged_labels ORDER BY prediction_id
ON CONFLICT (prediction_id) DO UPDATE SET time = k.time WHERE k.time < 0
""",
    """
INSERT INTO feedback (id, prediction_id, label, received_at, answered)
SELECT s.id, s.prediction_id, s.label, s.received_at, k.time
FROM staged_labels s JOIN prediction_keys k USING (prediction_id)
ON CONFLICT DO NOTHING
""",
    """
WITH back AS (
    DELETE FROM repeated_labels r USING (SELECT DISTINCT prediction_id FROM staged_labels) s
    WHERE r.prediction_id = s.prediction_id RETURNING r.id, r.prediction_id, r.label, r.received_at
)
INSERT INTO feedback (id, prediction_id, label, received_at, answered)
SELECT b.id, b.prediction_id, b.label, b.received_at, k.time FROM back b JOIN prediction_keys k USING (prediction_id)
ON CONFLICT DO NOTHING
""",
    """
WITH ranked AS (
    SELECT f.id, f.answered, f.label,
        lag(f.label) OVER (PARTITION BY f.prediction_id ORDER BY f.received_at, f.id) AS before
    FROM (SELECT DISTINCT prediction_id FROM staged_labels) s
    JOIN prediction_keys k USING (prediction_id)
    JOIN feedback f ON f.prediction_id = k.prediction_id AND f.answered = k.time
), aside AS (
    DELETE FROM feedback f USING ranked r WHERE r.label = r.before AND f.id = r.id AND f.answered = r.answered
    RETURNING f.id, f.prediction_id, f.label, f.received_at
)
INSERT INTO repeated_labels (id, prediction_id, label, received_at)
SELECT id, prediction_id, label, received_at FROM aside ON CONFLICT DO NOTHING
""",
)


def is_used(engine: sa.Engine) -> bool:
    """Whether this is the engine's dialect."""
    return engine.dialect.name == "postgresql"


def insert(engine: sa.Engine, rows: list[PredictionRow]) -> None:
    """Write rows; one whose id is known is left as it is."""
    first: dict[str, PredictionRow] = {}
    for row in rows:
        first.setdefault(row.prediction_id, row)
    content = _copied_rows(first.values())
    followed = [row.followed for row in first.values() if row.followed is not None]

    def take(connection: sa.Connection) -> None:
        _copy(connection, "staged_predictions", _STAGED_ROWS, content)
        awaited = connection.exec_driver_sql(_TAKE_ROWS).scalars().all()
        if awaited:
            connection.exec_driver_sql(_JOIN_WAITING, (list(awaited),))
        if followed:
            _copy(connection, "staged_actions", _STAGED_ACTIONS, _copied_actions(followed))
            connection.exec_driver_sql(_TAKE_ACTIONS)

    _with_days(engine, {int(row.time // DAY_S) for row in rows}, take)


def insert_labels(engine: sa.Engine, rows: list[FeedbackRow]) -> None:
    """Write labels, each beside its prediction, and put aside what repeats the one before it."""
    content = _copied_labels({row.id: row for row in rows}.values())

    def take(connection: sa.Connection) -> None:
        _copy(connection, "staged_labels", _STAGED_LABELS, content)
        # What was staged has no statistics: the planner would read all keys for it.
        connection.exec_driver_sql("SET LOCAL enable_hashjoin = off")
        connection.exec_driver_sql("SET LOCAL enable_mergejoin = off")
        for statement in _TAKE_LABELS:
            connection.exec_driver_sql(statement)

    _with_days(engine, {NO_DAY}, take)


def _with_days(engine: sa.Engine, days: set[int], take: Callable[[sa.Connection], None]) -> None:
    """Run a transaction whose days are there; twice, where one was dropped since it was last seen."""
    known = _seen.setdefault(str(engine.url), set())
    for last in (False, True):
        if days - known:
            with engine.begin() as connection:
                make_days(connection, days - known)
            known |= days
        try:
            with engine.begin() as connection, _translated(engine):
                take(connection)
            return
        except sa.exc.DBAPIError as error:  # its words for a partition that is not there depend on the moment
            if last or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
                raise
            known.clear()


_seen: dict[str, set[int]] = {}  # days whose partitions this process has seen, by database


def make_days(connection: sa.Connection, days: set[int]) -> None:
    """Make the partitions of these days (since 1970; `NO_DAY`: of labels that wait) where they are missing.

    Beside, then attached: that waits for no reader and no writer.
    """
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('refit.prediction_log.days'))")
    there = partitions(connection)
    for day in sorted(days):
        for table in ("predictions", "feedback") if day != NO_DAY else ("feedback",):
            if (made := name(table, day)) in there:
                continue
            bounds = (repr(day * DAY_S), repr((day + 1) * DAY_S)) if day != NO_DAY else ("MINVALUE", "0.0")
            connection.exec_driver_sql(f"CREATE TABLE {made} (LIKE {table} INCLUDING DEFAULTS)")
            attach = f"ALTER TABLE {table} ATTACH PARTITION {made} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
            connection.exec_driver_sql(attach)


def partitions(connection: sa.Connection) -> set[str]:
    """The names of all that there are."""
    query = (
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent IN (to_regclass('predictions'), to_regclass('feedback'))"
    )
    return set(connection.exec_driver_sql(query).scalars())


def name(table: str, day: int) -> str:
    """Of a day's partition: `predictions_20600` is the 20,600th day since 1970."""
    return f"{table}_{day}" if day != NO_DAY else f"{table}_waiting"


def days(connection: sa.Connection, table: str = "predictions") -> list[int]:
    """Days that have a partition, the oldest first."""
    found = [one.rpartition("_")[2] for one in partitions(connection) if one.startswith(f"{table}_")]
    return sorted(int(day) for day in found if day.isdigit())


def purge(engine: sa.Engine, older_than: float) -> int:
    """Drop the days that ended before `older_than`, with their labels and keys; return how many rows were in them."""
    with engine.begin() as connection:
        old = [day for day in days(connection, "feedback") if (day + 1) * DAY_S <= older_than]
        with_rows = [day for day in days(connection) if day in old]
        counts = [connection.exec_driver_sql(f"SELECT count(*) FROM {name('predictions', day)}") for day in with_rows]
        gone = sum(int(count.scalar() or 0) for count in counts)
    if old:
        with engine.begin() as connection:  # at first: a label that comes now waits as one whose prediction never came
            end = (old[-1] + 1) * DAY_S
            connection.exec_driver_sql(
                "DELETE FROM actions a USING prediction_keys k"
                " WHERE a.prediction_id = k.prediction_id AND k.time >= 0 AND k.time < %s",
                (end,),
            )
            connection.exec_driver_sql("DELETE FROM prediction_keys WHERE time >= 0 AND time < %s", (end,))
        with engine.begin() as connection:
            drop(connection, [name("predictions", day) for day in with_rows] + [name("feedback", day) for day in old])
        _seen.pop(str(engine.url), None)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM feedback WHERE answered = -1 AND received_at < %s", (older_than,))
        connection.exec_driver_sql(
            "DELETE FROM actions a WHERE told_at > 0 AND told_at < %s AND NOT EXISTS"
            " (SELECT FROM prediction_keys k WHERE k.prediction_id = a.prediction_id AND k.time >= 0)",
            (older_than,),
        )
        # Locked, and then looked at again: a label that comes in between locks the key too.
        orphans = "SELECT k.prediction_id FROM prediction_keys k WHERE k.time < 0 AND NOT EXISTS {0}"
        label = "(SELECT FROM feedback f WHERE f.answered = -1 AND f.prediction_id = k.prediction_id)"
        locked = connection.exec_driver_sql(f"{orphans.format(label)} FOR UPDATE SKIP LOCKED").scalars().all()
        connection.exec_driver_sql(
            f"DELETE FROM prediction_keys k WHERE k.prediction_id = ANY(%s) AND k.time < 0 AND NOT EXISTS {label}",
            (list(locked),),
        )
    return gone


def drop(connection: sa.Connection, tables: list[str]) -> None:
    """Drop partitions, if their locks can be had within `WAIT_S`: writers that come meanwhile wait behind."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
    for table in tables:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


def _copy(connection: sa.Connection, table: str, columns: str, content: bytes) -> None:
    connection.exec_driver_sql(_STAGE.format(table, columns))
    statement = f"COPY {table} FROM STDIN (FORMAT binary)"
    driver = connection.connection.driver_connection
    if driver is None:
        raise StoreUnavailable(message("requests.database_silent", error="no connection"))
    with contextlib.closing(driver.cursor()) as cursor:
        if hasattr(cursor, "copy_expert"):  # psycopg2
            cursor.copy_expert(statement, io.BytesIO(content))
        else:
            with cursor.copy(statement) as copy:
                copy.write(content)


@contextlib.contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    """The driver's own errors of a COPY, which SQLAlchemy does not see, as SQLAlchemy's are."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except (driver.OperationalError, driver.InterfaceError) as error:
        raise StoreUnavailable(message("requests.database_silent", error=str(error))) from error


def _copied_rows(rows: Iterable[PredictionRow]) -> bytes:
    """In COPY's binary format: per row the number of fields, then length and bytes of each."""
    texts: dict[str, bytes] = {}
    parts = [_HEAD]
    for row in rows:
        key, inputs, probabilities = row.prediction_id.encode(), _bytes(row.inputs), _bytes(row.probabilities)
        for text in (row.model_version, row.label, row.flags, row.model_sha256, row.row_id):
            if text not in texts:
                texts[text] = _field(text)
        parts += (
            _FIRST(10, len(key)),
            key,
            _DOUBLE(8, row.time),
            texts[row.model_version],
            _LENGTH(len(inputs)),
            inputs,
            texts[row.label],
            _DOUBLE(8, row.probability),
            _LENGTH(len(probabilities)),
            probabilities,
            texts[row.flags],
            texts[row.model_sha256],
            texts[row.row_id],
        )
    return b"".join([*parts, _TAIL])


def _copied_actions(rows: Iterable[ActionRow]) -> bytes:
    parts = [_HEAD]
    for row in rows:
        key = row.prediction_id.encode()
        parts += (_FIRST(4, len(key)), key, _field(row.action), _number(row.propensity), _number(row.label_propensity))
    return b"".join([*parts, _TAIL])


def _number(value: float | None) -> bytes:
    return _NULL if value is None else _DOUBLE(8, value)


def _copied_labels(rows: Iterable[FeedbackRow]) -> bytes:
    parts = [_HEAD]
    for row in rows:
        key = row.id.encode()
        parts += (_FIRST(4, len(key)), key, _field(row.prediction_id), _field(row.label), _DOUBLE(8, row.received_at))
    return b"".join([*parts, _TAIL])


def _field(text: str) -> bytes:
    content = text.encode()
    return _LENGTH(len(content)) + content


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
