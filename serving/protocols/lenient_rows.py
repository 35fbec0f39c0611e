"""Rows from clients that were written for a looser server: what pandas would have taken is taken.

Cells are read by the rules of `ml.schema.cells`, as those of a file are: a few words in a number column are missing
values. NaN and infinity are missing too, and what is no single value is a category by its text. Columns that the model
does not know are passed over, as MLflow does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.messages import message
from ml.schema.cells import is_written_number, level
from ml.schema.rows import RowReader, Rows
from ml.schema.schema import Column
from ml.schema.validation_errors import MAX_ERRORS, ValidationError, Words, shown
from ml.schema.warnings import RowWarnings, word


def rows(reader: RowReader, columns: Mapping[str, Any], n: int) -> Rows:
    """Rows from columns of `n` cells (lists or arrays); every column of the schema must be there.

    Parameters
    ----------
    columns
        Column → its cells; others than the schema's are passed over.

    Raises
    ------
    RowsError
        Cells of a number column that are no numbers, more than a few.
    """
    numbers = np.full((n, len(reader.number_columns)), np.nan)
    texts = np.full((n, len(reader.category_columns)), "", object)
    words, warnings = Words(reader.schema.max_bad_share), RowWarnings()
    for j, column in enumerate(reader.number_columns):
        cells = columns[column.name]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub" and column.kind == "number":
            numbers[:, j] = cells
        else:
            _numbers(reader, column, cells, numbers[:, j], words, warnings)
    words.check()
    for j, column in enumerate(reader.category_columns):
        texts[:, j] = [_text(cell) for cell in columns[column.name]]
    return reader.identified(reader.arrays(numbers, texts, warnings), columns)


def _numbers(
    reader: RowReader,
    column: Column,
    cells: Sequence[Any],
    out: npt.NDArray[np.float64],
    words: Words,
    warnings: RowWarnings,
) -> None:
    """The numbers of one column; what is none is counted and flagged."""
    name, expected = column.name, message("rows.a_date" if column.kind == "date" else "rows.number")
    wrong: list[int] = []
    for i, cell in enumerate(cells):
        parsed = reader.number(cell, column)
        if parsed is None:
            wrong.append(i)
            warnings.setdefault(i, []).append(word(name, cell))
        else:
            out[i] = parsed
    lost = [i for i in wrong if not isinstance(cells[i], str) or is_written_number(cells[i], column.kind)]
    errors = [ValidationError(i, name, expected, f"'{shown(cells[i])}'") for i in (lost or wrong)[:MAX_ERRORS]]
    words.add(name, int((~np.isnan(out)).sum()), len(wrong), errors, refused=bool(lost))


def _text(cell: Any) -> str:
    category = level(cell)
    return category if category is not None else level(str(cell)) or ""
