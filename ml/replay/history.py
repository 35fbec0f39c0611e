"""A table of the past in time order, cut into windows, and when the labels of each window had come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.errors import DataError, SettingsError
from ml.messages import message
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


class History(NamedTuple):
    """The rows as text, oldest first, and their moments: (n_rows,) datetime64[us], or float64 of plain numbers."""

    frame: pd.DataFrame
    moments: NDArray[Any]


def read(settings: Settings) -> History:
    """The configured table in the order of `data.time_column`.

    Raises
    ------
    DataError
        It cannot be read, or has no such column.
    """
    from ml.data import row_metadata
    from ml.data.sources import registry

    data, frame = settings.data, registry.read(settings)
    for column in (data.time_column, data.target):
        if column not in frame:
            raise DataError(message("files.no_column"), file=data.path, column=column)
    moments = row_metadata.times(frame, data.time_column, data)
    order = np.argsort(moments, kind="stable")
    return History(frame.iloc[order].reset_index(drop=True), moments[order])


def delay(text: str, moments: NDArray[Any]) -> Any:
    """How long a label takes, in what the moments are counted in: `30d` of dates, a number of plain numbers.

    Raises
    ------
    SettingsError
        It is neither, or the other.

    >>> delay("36h", np.array(["2026-01-01"], dtype="datetime64[us]"))
    np.timedelta64(129600000000,'us')
    >>> delay("5", np.array([1.0, 2.0]))
    5.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    dated = moments.dtype.kind == "M"
    if found is None or (bool(found[2]) != dated and float(found[1])):
        expected = "30d, 12h, 2w" if dated else "100"
        raise SettingsError(message("replay.no_delay", got=repr(text), expected=expected))
    seconds = float(found[1]) * _UNITS.get(found[2], 1.0)
    return np.timedelta64(round(seconds * 1e6), "us") if dated else seconds


def bounds(n_rows: int, n_windows: int) -> NDArray[np.int64]:
    """(n_windows + 1,) row numbers at which windows of nearly equal size begin and end.

    >>> bounds(10, 3).tolist()
    [0, 4, 7, 10]
    """
    return np.cumsum([0, *(len(part) for part in np.array_split(np.arange(n_rows), n_windows))])


def arrivals(moments: NDArray[Any], edges: NDArray[np.int64], late: Any) -> list[int]:
    """Window → the window at whose end the labels of all its rows have come; the number of windows where none is.

    Parameters
    ----------
    moments
        (n_rows,) in order.
    edges
        (n_windows + 1,) row numbers, as `bounds` gives them.
    late
        How long a label takes, as `delay` gives it.

    >>> arrivals(np.arange(10.0), np.array([0, 4, 7, 10]), 3.0)
    [1, 2, 3]
    """
    ends = moments[edges[1:] - 1]
    return [int(np.searchsorted(ends, end + late)) for end in ends]
