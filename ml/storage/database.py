"""The database of predictions, labels, checks and ledger: SQLite in WAL mode, or PostgreSQL by settings.

Every moment in it is a float: seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from ml.errors import StoreUnavailable
from ml.messages import message
from ml.settings import Settings
from ml.storage import file_systems
from ml.storage.files import keep_private

metadata = sa.MetaData()
before_tables: list[Callable[[sa.Engine], None]] = []  # what brings an older layout to what tables are made for


def url(settings: Settings) -> str:
    """The SQLAlchemy URL in force: the configured one, else `var/refit.db`."""
    return settings.database_url or f"sqlite:///{settings.var / 'refit.db'}"


def engine(settings: Settings) -> sa.Engine:
    """One engine a URL and process; the tables that are known by now are made where they are missing."""
    if not settings.database_url:
        settings.var.mkdir(parents=True, exist_ok=True)
    engine = _engine(url(settings))
    if not settings.database_url:
        keep_private(settings.var / "refit.db")
    engine.update_execution_options(archive=archive(settings))
    with unavailable_as_transient():
        _prepare(engine, len(before_tables))
        _make_tables(engine)
    return engine


def archive(settings: Settings) -> str:
    """Where rows go that leave the database by age: a folder, or the address of any Arrow file system.

    An engine has it among its execution options, so that who reads the log finds the rest of it.
    """
    shared = file_systems.below(settings.storage.url, "archive") if settings.storage.url else ""
    return settings.log.archive_url or shared or str(settings.var / "archive")


@functools.cache
def _prepare(found: sa.Engine, known: int) -> None:
    for step in before_tables[:known]:
        step(found)


def _make_tables(found: sa.Engine) -> None:
    """Make what is missing; other processes that start at this moment may be a table ahead."""
    missing: set[str] | None = None
    while True:
        try:
            metadata.create_all(found, checkfirst=True)
            break
        except DBAPIError:
            # The check and the CREATE are two steps, and PostgreSQL's IF NOT EXISTS is not safe from this either. Its
            # words for it are in the server's language: what counts is whether tables come.
            missing, before = metadata.tables.keys() - sa.inspect(found).get_table_names(), missing
            if missing == before:
                raise
    _add_columns(found, len(metadata.tables))


@functools.cache
def _add_columns(found: sa.Engine, tables: int) -> None:
    """Columns that a newer version of Refit has and the database lacks; each has a default of the server's."""
    inspector = sa.inspect(found)
    for table in metadata.tables.values():
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                column_ddl = sa.schema.CreateColumn(column).compile(dialect=found.dialect)
                try:
                    with found.begin() as connection:
                        connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {column_ddl}"))
                except DBAPIError:
                    if column.name not in {c["name"] for c in sa.inspect(found).get_columns(table.name)}:
                        raise  # else another process was faster


@functools.cache
def _engine(address: str) -> sa.Engine:
    new_engine = sa.create_engine(address, pool_pre_ping=not address.startswith("sqlite"))
    if new_engine.dialect.name == "sqlite":
        event.listen(new_engine, "connect", _sqlite_pragmas)
    elif new_engine.dialect.name == "postgresql":
        event.listen(new_engine, "connect", _durable_commits)
    return new_engine


def _durable_commits(connection: Any, _record: Any) -> None:
    """A commit is on PostgreSQL's disk when it returns, also where its server or role has that switched off: a segment
    is deleted after it."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit TO on")
    connection.commit()


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    # WAL: readers never wait for the writer. FULL: a commit is on the disk when it returns. With NORMAL a power cut
    # may lose the last ones, of which a segment that was deleted since held the only other copy.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def insert_ignore(table: sa.Table, dialect: str) -> Any:
    """An INSERT that leaves an existing row with the same key as it is, in both dialects."""
    return insert(table, dialect).on_conflict_do_nothing()


def insert(table: sa.Table, dialect: str) -> Any:
    """The dialect's own INSERT, which can say what to do on a conflict."""
    made: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    return made(table)


@contextlib.contextmanager
def unavailable_as_transient() -> Iterator[None]:
    """Turn the driver's connection and lock errors into `StoreUnavailable`."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
            raise StoreUnavailable(message("requests.database_silent", error=str(error.orig))) from error
        raise
