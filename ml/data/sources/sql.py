"""Tables from any database that SQLAlchemy knows: one SELECT, in a transaction that only reads."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ml.data.blocks.disk_table import Scratch
from ml.data.blocks.gathering import Gathering
from ml.errors import DataError, Transient
from ml.messages import message
from ml.schema import arrow_cells
from ml.schema.coerce import shown
from ml.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

_BATCH_ROWS, _BATCH_CELLS = 50_000, 1_000_000  # fetched at once, at most: cells as Python has them; our choice
# Quoted text and comments, in which a semicolon or a word means nothing.
_LITERAL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def read(settings: Settings, scratch: Scratch | None = None) -> Any:
    """All rows of `data.query` on `data.url`; as `opened`, and an error where there are none or too many.

    A frame; with a `scratch`, a table of more than `BLOCK_ROWS` rows is a `DiskTable` there.
    """
    place = without_password(settings.data.url)
    size = 0
    with opened(settings) as (names, batches), Gathering(scratch) as gathering:
        for rows in batches:
            table = pa.table([arrow_cells.flat(cells) for cells in zip(*rows, strict=True)], names)
            size += table.nbytes
            if size > settings.data.max_bytes:  # stops early instead of filling the disk
                raise DataError(message("files.sql_too_large", limit=settings.data.max_bytes), file=place)
            gathering.add(table)
        if not gathering.rows:
            raise DataError(message("files.sql_no_rows"), file=place)
        return gathering.finish(attrs={"file": place})


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[tuple[list[str], Iterator[Sequence[sa.Row[Any]]]]]:
    """The columns of `data.query` on `data.url`, and its rows in batches. Nothing is ever committed.

    Raises
    ------
    DataError
        No URL or query, a query that is not one SELECT, that gives no column or two of one name, an unknown driver, or
        the database's own complaint.
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
            # no_parameters: a percent sign or a colon in the query stays what it is.
            options = {"stream_results": True, "no_parameters": True}
            result = _read_only(connection).exec_driver_sql(query, execution_options=options)
            names = list(result.keys())
            _check_names(names, query, place)
            rows = max(1, min(_BATCH_ROWS, _BATCH_CELLS // len(names)))
            yield names, iter(lambda: result.fetchmany(rows), [])
    except sa.exc.SQLAlchemyError as error:
        raise DataError(message("files.sql_refused", error=_reason(error)), file=place) from error
    finally:
        engine.dispose()


def _check_names(names: Sequence[str], query: str, place: str) -> None:
    """Before a row is fetched: a table of such columns cannot be read, however long it is."""
    if not names:
        raise DataError(message("files.sql_no_columns", query=shown(query)), file=place)
    stripped = [name.strip() for name in names]
    if doubles := sorted({name for name in stripped if stripped.count(name) > 1}):
        examples = [f"'{shown(name)}'" for name in doubles[:5]]
        raise DataError(message("files.sql_doubles", columns=examples, query=shown(query)), file=place)


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
