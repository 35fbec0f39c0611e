"""File writers: what came, with the prediction's columns added, as CSV or Parquet; or the predictions as JSON.

A spreadsheet runs a cell that begins with = + - @ as a formula, so in CSV such text gets an apostrophe in
front (OWASP, "CSV injection"). Numbers are left alone, and Parquet and JSON carry everything as it is.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pyarrow.types import is_floating

from ml.schema import arrow_cells
from ml.schema.cells import NUMBER
from ml.schema.rows import Rows
from ml.schema.schema import Schema
from serving.scoring import responses as answers
from serving.scoring.json_rows import ID_KEY
from serving.scoring.score import Scored
from serving.scoring.upload import Part, Upload

# Also the full-width signs, which spreadsheets read as the plain ones, and a semicolon, which ends a cell in some.
# A sign alone ("-" for no value) is no formula.
FORMULA = r"(?s)^(?:[=@\t\r\n;＝＠]|[+\-＋－].)"
_FORMULA = re.compile(FORMULA)


# Columns of an answer.
LABEL, PROBABILITY, POSITIVE, WARNINGS = "label", "probability", "positive_probability", "warnings"
ACTION, PROPENSITY = "action", "propensity"  # only where the settings have a policy
OF_CLASS = "probability_"  # and the class's name


class Writer(Protocol):
    """Writes scored parts to a stream, then what comes last."""

    mimetype: str
    ending: str
    out: BinaryIO

    def add(self, part: Part, scored: Scored) -> None: ...

    def close(self, summary: dict[str, Any]) -> None: ...


class Csv:
    """As the upload was written: with commas the lines as they came, where nothing in them needs escaping, otherwise
    written anew; with other delimiters the same delimiter, decimal mark, and mark of UTF-8 at the begin."""

    mimetype = "text/csv; charset=utf-8"
    ending = ".csv"

    def __init__(self, out: BinaryIO, upload: Upload):
        self.out = out
        self._upload = upload
        self._begun = False

    def add(self, part: Part, scored: Scored) -> None:
        """Append the rows of `part`, and first of all the header."""
        added = answer_columns(scored, part.table.column_names)
        delimiter, decimal, bom, _ = self._upload.dialect
        if delimiter != ",":
            self._begin((*part.table.column_names, *added.column_names), delimiter, bom=bom)
            self.out.write(
                as_csv(with_answer(part.table, added), _numbers(scored), delimiter=delimiter, decimal=decimal)
            )
            return
        self._begin((*part.table.column_names, *added.column_names))
        answers = added if _is_ours(part, scored) else _escaped(added)
        numbers = _numbers(scored)
        if part.raw is not None and not _has_formula(part.table, numbers):
            tails = _line_array(answers)
            if len(tails) == len(part.raw):  # else a class or a warning has a line end in it
                lines = pc.binary_join_element_wise(part.raw, tails, "")
                _, offsets, content = lines.buffers()
                last = np.frombuffer(offsets, np.int32)[len(lines)]
                self.out.write(memoryview(content)[:last])
                return
        joined = [*_escaped(_as_written(part.table, scored.schema), numbers).columns, *answers.columns]
        self.out.write(_lines(pa.table(joined, names=[str(i) for i in range(len(joined))])))

    def _begin(self, names: Sequence[str], delimiter: str = ",", *, bom: bool = False) -> None:
        if self._begun:
            return
        self.out.write(_header(names, delimiter, bom=bom))
        self._begun = True

    def close(self, summary: dict[str, Any]) -> None:
        """Nothing comes last."""


class Parquet:
    """One row group a part."""

    mimetype = "application/vnd.apache.parquet"
    ending = ".parquet"

    def __init__(self, out: BinaryIO, upload: Upload):
        self.out = out
        self._writer: pq.ParquetWriter | None = None

    def add(self, part: Part, scored: Scored) -> None:
        """Append the rows of `part`."""
        added = answer_columns(scored, part.table.column_names)
        table = with_answer(part.table, added)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.out, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self, summary: dict[str, Any]) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()


class Json:
    """`{"predictions": […], …summary}`; the rows themselves are not repeated."""

    mimetype = "application/json"
    ending = ".json"

    def __init__(self, out: BinaryIO, upload: Upload):
        self.out = out
        self._begun = False

    def add(self, part: Part, scored: Scored) -> None:
        """Append the predictions of `part`."""
        content = msgspec.json.encode(answers.predictions(scored))[1:-1]
        self.out.write(b"," if self._begun else b'{"predictions":[')
        self.out.write(content)
        self._begun = True

    def close(self, summary: dict[str, Any]) -> None:
        """Write the summary after the predictions."""
        self.out.write(b"]," + msgspec.json.encode(summary)[1:])


WRITERS: dict[str, type[Csv] | type[Parquet] | type[Json]] = {"csv": Csv, "parquet": Parquet, "json": Json}


def with_answer(given: pa.Table, added: pa.Table) -> pa.Table:
    """What came, and behind it the columns of the answer."""
    return pa.table([*given.columns, *added.columns], names=[*given.column_names, *added.column_names])


def _header(names: Sequence[str], delimiter: str, *, bom: bool) -> bytes:
    """The first line of a CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n", delimiter=delimiter).writerow(map(safe_name, names))
    return line.getvalue().encode("utf-8-sig" if bom else "utf-8")


def _numbers(scored: Scored) -> frozenset[str]:
    return frozenset(scored.schema.numbers)


def answer_columns(scored: Scored, taken: list[str]) -> pa.Table:
    """The columns that are added; one whose name is taken is called `predicted_…`.

    `prediction_id` (unless the caller's own ids came in a column of that name), `label`, `probability` (of the
    label), `positive_probability` (where there is a positive label), `probability_<class>`, `action` and `propensity`
    (where the settings have a policy), and `warnings`, empty where there are none.
    """
    probabilities = scored.probabilities.astype("float64")
    columns: dict[str, Any] = {
        ID_KEY: pa.array(scored.ids, pa.string()),
        LABEL: pa.array(scored.labels, pa.string()),
        PROBABILITY: pa.array(scored.chosen.astype("float64")),
        **({} if scored.positive is None else {POSITIVE: pa.array(probabilities[:, scored.positive])}),
        **{f"{OF_CLASS}{name}": pa.array(probabilities[:, j]) for j, name in enumerate(scored.schema.classes)},
        **_actions(scored),
        WARNINGS: warning_texts(scored.rows),
    }
    names = answer_names(scored, taken)
    return pa.table([columns[kind] for kind in names.values()], names=list(names))


def answer_names(scored: Scored, taken: list[str]) -> dict[str, str]:
    """Name → kind of the columns that `answer_columns` adds, in their order."""
    positive = [] if scored.positive is None else [POSITIVE]
    classes = [f"{OF_CLASS}{name}" for name in scored.schema.classes]
    acted = [ACTION, PROPENSITY] if scored.actions else []
    kinds = [ID_KEY, LABEL, PROBABILITY, *positive, *classes, *acted, WARNINGS]
    if ID_KEY in taken and not any(column.name == ID_KEY for column in scored.schema.columns):
        kinds.remove(ID_KEY)
    names: dict[str, str] = {}
    for kind in kinds:
        name = kind
        while name in taken or name in names:
            name = f"predicted_{name}"
        names[name] = kind
    return names


def _actions(scored: Scored) -> dict[str, pa.Array]:
    if not scored.actions:
        return {}
    return {
        ACTION: pa.array([action and action.name for action in scored.actions], pa.string()),
        PROPENSITY: pa.array([action and action.propensity for action in scored.actions], pa.float64()),
    }


def warning_texts(rows: Rows) -> pa.Array:
    """What is unusual in each row, in one text; empty where nothing is."""
    if not rows.warnings:
        return pa.repeat(pa.scalar("", pa.string()), len(rows))
    texts = [
        "; ".join(f"{warning.column}: {warning.message}" for warning in warnings) if warnings else ""
        for warnings in rows.warnings
    ]
    return pa.array(texts, pa.string())


def _is_ours(part: Part, scored: Scored) -> bool:
    """Whether no text of the answer came from outside and the classes are harmless: then nothing needs escaping."""
    names = {*scored.schema.classes, *(action.name for action in scored.actions if action is not None)}
    return part.ids is None and not scored.rows.warnings and not any(map(_FORMULA.match, names))


def _has_formula(table: pa.Table, numbers: frozenset[str]) -> bool:
    """Whether some text cell would be run as a formula; `numbers` are columns of numbers only."""
    texts = [
        column
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name not in numbers and _is_text(column.type)
    ]
    return any(pc.any(_formulas(column)).as_py() for column in texts)


def _formulas(column: pa.ChunkedArray) -> Any:
    """(n,) bool: text that begins as a formula does, and is no number."""
    starting = pc.match_substring_regex(column, FORMULA)
    if not pc.any(starting).as_py():
        return starting
    return pc.and_(starting, pc.invert(pc.match_substring_regex(column, NUMBER)))


def _escaped(table: pa.Table, numbers: frozenset[str] = frozenset()) -> pa.Table:
    """The table as CSV may show it: formula cells made text, NaN empty, what Arrow cannot write by its text."""
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        elif not _is_text(column.type) and not _is_plain(column.type):
            texts = [None if cell is None else str(cell) for cell in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        if _is_text(column.type) and name not in numbers:
            column = pc.if_else(_formulas(column), pc.binary_join_element_wise("'", column, ""), column)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether Arrow's CSV writer takes the type as it is."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind)
    )


def safe_name(name: str) -> str:
    """A column's name as CSV may show it."""
    return f"'{name}" if is_formula(name) else name


def _as_written(table: pa.Table, schema: Schema) -> pa.Table:
    """Numbers with the decimal mark of the model's tables, so that the file can be sent again as it is."""
    return _with_mark(table, schema.numbers, schema.decimal)


def _with_mark(table: pa.Table, names: Sequence[str], decimal: str) -> pa.Table:
    """The table with the floats of some columns as text with this decimal mark."""
    if decimal == ".":
        return table
    for place, column in enumerate(table.columns):
        if table.column_names[place] in names and is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            texts = arrow_cells.swapped(arrow_cells.flat(column.cast(pa.string())), ".", decimal)
            table = table.set_column(place, table.column_names[place], texts)
    return table


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell of this text."""
    return _FORMULA.match(text) is not None and re.match(NUMBER, text) is None


def as_csv(table: pa.Table, numbers: frozenset[str], *, delimiter: str, decimal: str) -> bytes:
    """CSV lines without a header of any table: all numbers with one decimal mark, formula cells made text.

    Parameters
    ----------
    numbers
        Columns of numbers only: a sign there begins no formula.
    """
    floats = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if is_floating(kind)]
    escaped = _escaped(_with_mark(table, floats, decimal), numbers | set(floats))
    return _lines(pa.table(escaped.columns, names=[str(i) for i in range(escaped.num_columns)]), delimiter)


def _lines(table: pa.Table, delimiter: str = ",") -> bytes:
    """CSV lines without a header, quoted only where some cell needs it."""
    try:
        return _written(table, "none", delimiter)
    except pa.ArrowInvalid:  # a cell holds a delimiter, a quote or a line end
        return _written(table, "needed", delimiter)


def _line_array(table: pa.Table) -> pa.Array:
    """(n,) strings: `_lines`, each with its end."""
    content = _lines(table)
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(content))


def _written(table: pa.Table, quoting: str, delimiter: str) -> bytes:
    out = io.BytesIO()
    options = pacsv.WriteOptions(include_header=False, quoting_style=quoting, delimiter=delimiter)
    pacsv.write_csv(table, out, options)
    return out.getvalue()
