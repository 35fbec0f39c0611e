"""A file's result as a workbook: a column is of numbers or of texts, whatever its thousands are like."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from ml.data.inference.number_marks import Evidence, Marks, MixedMarks
from ml.schema.cells import LIKE_MARKS, grouped
from serving.scoring.file_writers import is_formula
from serving.scoring.upload import Dialect

MAX_CELLS = 400_000  # about 2 s of a core; our choice
# What a spreadsheet shows as it stands: no leading zero, no more digits than it keeps, no exponent but a small one's.
_PLAIN = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.0*\d{1,17})?(?:e-\d+)?")


def as_workbook(path: Path, out: BinaryIO, dialect: Dialect, numbers: int = 0) -> None:
    """Write a result as .xlsx: numbers as numbers where nothing of their text is lost, every other cell as text.

    Parameters
    ----------
    path
        At most MAX_CELLS cells.
    dialect
        How the result is written.
    numbers
        The columns that the model reads as numbers, as bits: 1 is the first, 4 the third.

    Raises
    ------
    ValueError
        It is not written so: its rows have other numbers of cells than its header.
    """
    import xlsxwriter

    with path.open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=dialect.delimiter)
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path.name} is not written as {dialect}")
    known = Marks(dialect.decimal, dialect.thousands)
    marks = [
        known if numbers >> j & 1 else marks_of(column, dialect)
        for j, column in enumerate(zip(*rows, strict=True) if rows else ())
    ]
    plain = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = xlsxwriter.Workbook(out, plain)
    sheet = book.add_worksheet()
    for i, row in enumerate([header, *rows]):
        for j, cell in enumerate(row):
            figure = _figure(cell, marks[j]) if i else ""
            if figure:
                sheet.write_number(i, j, float(figure))
            elif cell:
                text = cell[1:] if cell[0] == "'" and is_formula(cell[1:]) else cell  # text is no formula there
                sheet.write_string(i, j, text[:32_767])  # what a cell of Excel holds
    sheet.freeze_panes(1, 0)
    book.close()


def marks_of(column: Sequence[str], dialect: Dialect) -> Marks | None:
    """The marks of a column that the model does not read, by its own cells; None: each of its cells is a text.

    `1.239,54` cannot be but a number. `1.234` beside `999` may be an id, and no cell says otherwise.
    """
    plain, evidence = Marks(dialect.decimal), Evidence()
    evidence.add("", pa.array(column, pa.string()))
    try:
        decimal = evidence.marks(default=plain).decimal
    except MixedMarks:
        return plain
    marks = evidence.marks(decimal)
    if marks.thousands or marks.decimal != dialect.decimal:
        says = any(decimal in cell for cell in column)
        fits = all(not cell or _figure(cell, marks) for cell in column)
        return marks if says and fits else None
    doubtful = evidence.decided is None and evidence.either and dialect.delimiter == ";"
    return None if doubtful and dialect.decimal == "." else plain


@functools.cache
def _grouped(marks: Marks) -> re.Pattern[str]:
    return re.compile(grouped(*marks))


def _figure(cell: str, marks: Marks | None) -> str:
    """The number that a cell is, as Python writes it; "" where it is a text."""
    if marks is None:
        return ""
    if marks.thousands:
        for like in LIKE_MARKS.get(marks.thousands, ""):
            cell = cell.replace(like, marks.thousands)
        cell = cell.replace(marks.thousands, "") if _grouped(marks).match(cell) else cell
    if marks.decimal != ".":
        cell = cell.replace(marks.decimal, ".") if "." not in cell else ""
    return cell if _PLAIN.fullmatch(cell) else ""
