"""Small helpers for naming places in a table.

A frame that was read from a text file carries the physical line numbers as its index, named `line`:
that is how a finding made long after reading still names the line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import pandas as pd

from ml.errors import DataError
from ml.settings import Data


def line_of(frame: pd.DataFrame, position: int) -> int | None:
    """The line of a row in its file, or None where the table has no lines."""
    return int(frame.index[position]) if frame.index.name == "line" else None


def place_of(frame: pd.DataFrame, position: int) -> str:
    """`line 17` in a file, else `row 15`, counted from 1."""
    line = line_of(frame, position)
    return f"line {line}" if line is not None else f"row {position + 1}"


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names for a message, shortened: `'a', 'b' and 12 more`."""
    names = [f"'{name[:60]}'" for name in names]
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def suggestion(name: str, existing: Iterable[str]) -> str:
    """`did you mean 'Churn'?`, or what there is, for a name that is not there."""
    existing = list(existing)
    folded = {other.strip().casefold(): other for other in existing}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {listing(folded[match] for match in near)}?"
    return f"the table has {len(existing)} columns: {listing(existing)}"


def check_names(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The frame with text column names, once every column that the settings name was found.

    Raises
    ------
    DataError
        Two columns of one name, too many columns, or a named column that is not there.
    """
    names = [str(name).strip() for name in frame.columns]
    doubles = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubles:
        raise DataError(f"two columns of one name: {listing(doubles)}; give every column its own name")
    if len(names) > data.max_columns:
        raise DataError(
            f"{len(names):,} columns are more than the limit of {data.max_columns:,} (data.max_columns); "
            "leave out what is not needed, or raise the limit"
        )
    if not len(frame):
        raise DataError("the table has a header but no rows")
    named = {"data.target": (data.target,), "data.id_columns": data.id_columns, "data.exclude": data.exclude}
    named |= {"data.time_column": (data.time_column,), "data.weight_column": (data.weight_column,)}
    named |= {"data.kinds": tuple(data.kinds)}
    for setting, wanted in named.items():
        for name in wanted:
            if name and name not in names:
                hint = suggestion(name, names)
                raise DataError(f"{setting} names the column '{name}', which the table does not have; {hint}")
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)
