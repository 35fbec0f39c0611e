"""Naming places in a frame, and checking that the columns of the settings are there.

A frame that was read from a text file carries the physical line numbers as its index, named `line`,
and the file's name in `attrs["file"]`: that is how a finding made long after reading names the place.
"""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from ml.errors import DataError
from ml.messages import message
from ml.schema.coerce import Place, listing, suggestion
from ml.schema.schema import RESERVED
from ml.settings import Data


class Table(Protocol):
    """What the reading of a table asks of it: a frame has it, and so has one whose columns lie on disk."""

    @property
    def columns(self) -> Any:
        """Names."""
        ...

    @property
    def index(self) -> Any:
        """(n_rows,); named `line` where it holds the lines of a file."""
        ...

    @property
    def attrs(self) -> Any:
        """`file`, and what else a reader noted."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def set_axis(self, labels: Any, *, axis: Any) -> Any:
        """The table with other names."""
        ...


def select(table: Any, names: list[str]) -> Any:
    """The table with these of its columns, in this order."""
    return table[names] if isinstance(table, pd.DataFrame) else table.select(names)


def first(table: Any, name: str, rows: int) -> Any:
    """The first cells of a column; of a table on disk no others are read for it.

    Parameters
    ----------
    table
        Raw, in memory or on disk.
    name
        Of the column.
    rows
        At most so many.
    """
    return table[name].iloc[:rows] if isinstance(table, pd.DataFrame) else table.first(name, rows)


def place_of(frame: Table, file: str | None = None) -> Place:
    """File and lines of a frame's rows, as far as they are known."""
    return Place(file or frame.attrs.get("file"), frame.index.to_numpy() if frame.index.name == "line" else None)


def check_names(frame: Table, data: Data) -> Any:
    """The frame with text column names, once every column that the settings name was found.

    Raises
    ------
    DataError
        No rows, two columns of one name, too many columns, or a named column that is not there.
    """
    file = frame.attrs.get("file")
    names = [str(name).strip() for name in frame.columns]
    doubles = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubles:
        raise DataError(message("data.doubles", columns=listing(doubles)), file=file)
    if reserved := [name for name in names if name.startswith(RESERVED)]:
        raise DataError(message("data.reserved", columns=listing(reserved), prefix=RESERVED), file=file)
    if len(names) > data.max_columns:
        raise DataError(message("data.too_many_columns", n=len(names), limit=data.max_columns), file=file)
    if not len(frame):
        raise DataError(message("data.no_rows"), file=file)
    named = {"target": (data.target,), "id_columns": data.id_columns, "exclude": data.exclude}
    named |= {"time_column": (data.time_column,), "weight_column": (data.weight_column,), "kinds": tuple(data.kinds)}
    for setting, wanted in named.items():
        for name in wanted:
            if name and name not in names:
                known = {"setting": setting, "column": name, "suggestion": suggestion(name, names)}
                raise DataError(message("data.no_such_column", **known), file=file)
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)
