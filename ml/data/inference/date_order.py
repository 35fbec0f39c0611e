"""Date order: whether a table writes its dates with the day or the month first, by the evidence of its own cells.

`31/01/2026` has the day first, whoever wrote it, and so has a date with points; `03/04/2026` alone decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ml.data.inference import column_heuristics
from ml.schema import arrow_cells
from ml.schema.schema import DateOrder
from ml.settings import Data

if TYPE_CHECKING:
    from ml.schema.frames import Table

_SAMPLE = 1_000  # cells by which a column of dates is told from others; our choice
_PARTS = r"^\s*(?P<one>\d{1,2})(?P<sign>[-/.])(?P<other>\d{1,2})[-/.]\d{4}"


def settled(frame: Table, names: Iterable[str], data: Data) -> Data:
    """The settings with the order that some columns show, where the settings leave it open.

    Parameters
    ----------
    frame
        Raw.
    names
        The columns to ask; those of other things than dates say nothing.
    """
    if data.dates:
        return data
    return msgspec.structs.replace(data, dates=find(frame, names))


def find(frame: Table, names: Iterable[str]) -> DateOrder:
    """The order that some cell of the columns decides; "" where none does, or they contradict each other."""
    from ml.schema import frames  # pandas, which the service does without

    found: set[DateOrder] = set()
    for name in names:
        if _are_dates(arrow_cells.flat(frames.first(frame, name, _SAMPLE))):
            found |= decided(arrow_cells.flat(frame[name]))
    return found.pop() if len(found) == 1 else ""


def _are_dates(array: pa.Array) -> bool:
    """Whether the first cells of a text column are dates, so that it is worth to read all of them."""
    if not arrow_cells.is_text(array):
        return False
    some = [cell for cell in pc.unique(array).to_pylist() if cell and cell.strip()]
    return bool(some) and column_heuristics.is_dates(array, some)


def decided(cells: pa.Array) -> set[DateOrder]:
    """The orders that some cell decides: none, one, or both."""
    if not arrow_cells.is_text(cells):
        return set()
    parts = pc.drop_null(pc.extract_regex(pc.unique(cells), _PARTS))
    if not len(parts):
        return set()
    one, other = (pc.max(pc.cast(pc.struct_field(parts, name), pa.int32())).as_py() for name in ("one", "other"))
    found: set[DateOrder] = set()
    if one > 12 or pc.any(pc.equal(pc.struct_field(parts, "sign"), ".")).as_py():
        found.add("day-first")
    if other > 12:
        found.add("month-first")
    return found
