"""Tables from any database that SQLAlchemy knows: one SELECT, in a transaction that only reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ml.errors import DataError, Transient
from ml.messages import message
from ml.schema.coerce import shown
from ml.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

_BATCH_ROWS = 50_000  # fetched at once; our choice
# Quoted text and comments, in which a semicolon or a word means nothing.
_LITERAL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def read(settings: Settings) -> pd.DataFrame:
    """Run `data.query` on `data.url`. Nothing is ever committed.

    Raises
    ------
    DataError
        No URL or query, a query that is not one SELECT, an unknown driver, or the database's own complaint.
    Transient
        The database cannot be reached.
    """
    import sqlalchemy as sa

    data = settings.data
    if not data.url or not data.query:
        raise DataError(message("files.sql_needs"))
    query = data.query.strip().rstrip("; \n\t")
    bare = _LITERAL.sub(" ", query).strip(" (\t\r\n")
    if ";" in bare or not re.match(r"(select|with|values|table)\b", bare, re.IGNORECASE):
        raise DataError(message("files.sql_no_select", query=shown(query)))
    place = without_password(data.url)
    engine = _engine(data.url, place)
    try:
        connection = engine.connect()
    except sa.exc.SQLAlchemyError as error:
        raise Transient(message("files.unreachable", place=place, error=_reason(error))) from error
    try:
        with connection:
            return _fetch(_read_only(connection), query, data.max_bytes, place)
    except sa.exc.SQLAlchemyError as error:
        raise DataError(message("files.sql_refused", error=_reason(error)), file=place) from error
    finally:
        engine.dispose()


def _engine(url: str, place: str) -> sa.Engine:
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise DataError(message("files.sql_url", error=_reason(error))) from error
    database = engine.url.database
    if engine.dialect.name == "sqlite" and database and database != ":memory:" and not Path(database).exists():
        raise DataError(message("files.no_database"), file=place)  # SQLite would make an empty one
    return engine


def _read_only(connection: sa.Connection) -> sa.Connection:
    """As far as each database offers it; with the others, only what is never committed protects."""
    if connection.dialect.name == "postgresql":
        return connection.execution_options(postgresql_readonly=True)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    return connection


def _fetch(connection: sa.Connection, query: str, max_bytes: int, place: str) -> pd.DataFrame:
    """Batches, so that a table over the limit stops early instead of filling the memory."""
    # no_parameters: a percent sign or a colon in the query stays what it is.
    options = {"stream_results": True, "no_parameters": True}
    result = connection.exec_driver_sql(query, execution_options=options)
    names, parts, size = list(result.keys()), [], 0
    while rows := result.fetchmany(_BATCH_ROWS):
        part = pd.DataFrame([tuple(row) for row in rows], columns=names)
        size += int(part.memory_usage(deep=True).sum())
        if size > max_bytes:
            raise DataError(message("files.sql_too_large", limit=max_bytes), file=place)
        parts.append(part)
    if not parts:
        raise DataError(message("files.sql_no_rows"), file=place)
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["file"] = place
    return frame


def _reason(error: Exception) -> str:
    """The driver's own words, on one line; SQLAlchemy's add the whole query."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def without_password(url: str) -> str:
    """The URL as messages and manifests may show it."""
    import sqlalchemy as sa

    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "data.url"
