"""The sources of raw tables. A new source is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from ml.data.blocks.disk_table import Scratch
from ml.data.sources import customers, files, sql, synthetic
from ml.settings import Settings

SOURCES: dict[str, Callable[[Settings], pd.DataFrame]] = {
    "synthetic": synthetic.read,
    "customers": customers.read,
    "file": files.read,
    "sql": sql.read,
}
READ_BY_BLOCKS: dict[str, Callable[[Settings, Scratch], Any]] = {"file": files.read, "sql": sql.read}


def read(settings: Settings) -> pd.DataFrame:
    """The raw table that `[data]` describes; findings made on the way are in `frame.attrs["findings"]`.

    Raises
    ------
    DataError
        The table cannot be read; the message names the file and, where known, the line.
    """
    return SOURCES[settings.data.source](settings)


def read_large(settings: Settings, scratch: Scratch) -> Any:
    """As `read`; a large table of a file or a database is a `DiskTable` in `scratch`, never in memory as a whole."""
    if settings.data.source in READ_BY_BLOCKS:
        return READ_BY_BLOCKS[settings.data.source](settings, scratch)
    return read(settings)


def describe(settings: Settings) -> dict[str, str]:
    """What the manifest says about the source; a password in a URL is left out."""
    data = settings.data
    described: dict[str, str] = {"source": data.source}
    if data.source == "file":
        described["path"] = files.without_password(data.path)
    if data.source == "sql":
        described |= {"url": sql.without_password(data.url), "query": data.query}
    return described
