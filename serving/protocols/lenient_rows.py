"""Rows from clients that were written for a looser server: what pandas would have taken is taken.

A number column takes numbers, booleans and text that spells a number, NaN and null as missing; a category
column takes anything, by its text. Columns that the model does not know are passed over, as MLflow does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.schema.cells import NUMBER, as_level
from ml.schema.rows import RowReader, Rows
from ml.schema.validation import MAX_FAULTS, Fault, RowsError, shown

_NUMBER = re.compile(NUMBER)


def rows(reader: RowReader, columns: Mapping[str, Any], n: int) -> Rows:
    """Rows from columns of `n` cells (lists or arrays); every column of the schema must be there.

    Raises
    ------
    RowsError
        A cell of a number column that is no number.
    """
    schema = reader.schema
    markers = {"", *(marker.strip() for marker in schema.missing_markers)}
    faults: list[Fault] = []
    numbers = np.full((n, len(reader.number_columns)), np.nan)
    texts = np.full((n, len(reader.category_columns)), "", object)
    for j, column in enumerate(reader.number_columns):
        cells = columns[column.name]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            numbers[:, j] = cells
            continue
        for i, cell in enumerate(cells):
            number = _number(cell, markers)
            if number is None:
                faults.append(Fault(i, column.name, "a number", f"'{shown(cell)}'"))
                if len(faults) > MAX_FAULTS:
                    raise RowsError(faults)
            else:
                numbers[i, j] = number
    for j, column in enumerate(reader.category_columns):
        levels = reader.levels[j]
        for i, cell in enumerate(columns[column.name]):
            texts[i, j] = _text(cell, levels)
    if faults:
        raise RowsError(faults)
    return reader.arrays(numbers, texts)


def _number(cell: Any, markers: set[str]) -> float | None:
    """A float, NaN for missing, or None for what is no number."""
    if cell is None:
        return float("nan")
    if isinstance(cell, bool | int | float | np.number | np.bool_):
        try:
            return float(cell)
        except OverflowError:
            return float("inf") if cell > 0 else float("-inf")
    if isinstance(cell, str):
        cell = cell.strip()
        if cell in markers:
            return float("nan")
        return float(cell) if _NUMBER.match(cell) else None
    return None


def _text(cell: Any, levels: Mapping[Any, str]) -> str:
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, str):
        return cell.encode("utf-8", "replace").decode()  # a lone surrogate cannot be given to the model
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # a missing cell elsewhere made a column of whole numbers floating
    return as_level(cell, levels) or str(cell)
