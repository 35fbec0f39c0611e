"""Tables from any database that SQLAlchemy knows: one read-only SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ml.errors import DataError
from ml.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

_BATCH_ROWS = 50_000


def read(settings: Settings) -> pd.DataFrame:
    """Run `data.query` on `data.url`. Nothing is ever committed.

    Raises
    ------
    DataError
        No URL or query, a query that is no SELECT, an unknown driver, or the database's own complaint.
    """
    import sqlalchemy as sa

    data = settings.data
    if not data.url or not data.query:
        raise DataError('data.source = "sql" needs data.url (a SQLAlchemy URL) and data.query (a SELECT)')
    if data.query.lstrip(" \t\r\n(").split(None, 1)[:1] == [] or not _is_select(data.query):
        raise DataError(f"data.query must be one SELECT (or WITH … SELECT), got '{data.query.strip()[:60]}'")
    place = without_password(data.url)
    try:
        engine = sa.create_engine(data.url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise DataError(f"data.url: {error}; expected a SQLAlchemy URL such as postgresql+psycopg2://…") from error
    try:
        with engine.connect() as connection:
            return _fetch(connection, data.query, data.max_bytes, place)
    except sa.exc.SQLAlchemyError as error:
        raise DataError(f"{getattr(error, 'orig', None) or error}", file=place) from error
    finally:
        engine.dispose()


def _is_select(query: str) -> bool:
    text = query.strip().rstrip(";").lstrip("( \t\r\n")
    return text[:6].casefold() in ("select", "values") or text[:4].casefold() == "with"


def _fetch(connection: sa.Connection, query: str, max_bytes: int, place: str) -> pd.DataFrame:
    """Batches, so that a table over the limit stops early instead of filling the memory."""
    import sqlalchemy as sa

    parts: list[pd.DataFrame] = []
    size = 0
    chunks = pd.read_sql_query(
        sa.text(query.strip().rstrip(";")), connection.execution_options(stream_results=True), chunksize=_BATCH_ROWS
    )
    for part in chunks:
        size += int(part.memory_usage(deep=True).sum())
        if size > max_bytes:
            raise DataError(f"the query gives more than {max_bytes:,} bytes (data.max_bytes)", file=place)
        parts.append(part)
    if not parts or not sum(len(part) for part in parts):
        raise DataError("the query gives no rows", file=place)
    return pd.concat(parts, ignore_index=True)


def without_password(url: str) -> str:
    """The URL as messages and manifests may show it."""
    import sqlalchemy as sa

    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "data.url"
