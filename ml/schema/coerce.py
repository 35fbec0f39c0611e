"""Coercion: a raw table's columns against a schema, with errors that name the line.

Light (numpy and pyarrow): training, drift and the service's file prediction share it, so that a file
means the same to each of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.errors import DataError, SchemaError
from ml.messages import Message, message
from ml.schema import arrow_cells
from ml.schema.cells import is_written_number, level
from ml.schema.findings import Report
from ml.schema.schema import Column, Schema
from ml.schema.validation_errors import printable

# A single row may well lack a value; a whole file without any value of a usual column is broken.
_ENOUGH_ROWS = 20
_SHOWN_CHARS = 60  # of a cell in a message


class Place(NamedTuple):
    """Where a column came from: the file's name, and (n_rows,) lines where it is text."""

    file: str | None = None
    lines: Sequence[int] | NDArray[np.int64] | None = None

    def line(self, position: int) -> int | None:
        """The line of a row, or None."""
        return None if self.lines is None else int(self.lines[position])

    def words(self, position: int) -> Message:
        """`line 17` in a file, else `row 15`, counted from 1."""
        line = self.line(position)
        return message("files.row", n=position + 1) if line is None else message("files.line", n=line)

    def error(self, what: Message, position: int, column: str, kind: type[DataError] = DataError) -> DataError:
        """An error that names the file, and the line where there are lines.

        Parameters
        ----------
        position
            Row, from 0.
        kind
            Class of the error.
        """
        return kind(what, file=self.file, line=self.line(position), column=column)


def match_names(names: Iterable[Any], schema: Schema, report: Report, file: str | None = None) -> list[str]:
    """The names without surrounding space, once every input column was found exactly once.

    Parameters
    ----------
    names
        The table's columns, in order.
    report
        Gets the columns that the schema does not have.
    """
    stripped = [str(name).strip() for name in names]
    present = set(stripped)
    if len(present) < len(stripped):
        doubles = sorted({name for name in stripped if stripped.count(name) > 1})
        raise SchemaError(message("data.doubles", columns=listing(doubles)), file=file)
    absent = [column.name for column in schema.columns if column.name not in present]
    if absent:
        known = {"columns": listing(absent), "suggestion": suggestion(absent[0], stripped)}
        raise SchemaError(message("data.lacks_columns", n=len(schema.columns), **known), file=file)
    unknown = [n for n in stripped if n not in schema.ignored and n not in {c.name for c in schema.columns}]
    if unknown:
        report.warn(message("findings.unknown_columns", columns=listing(unknown)))
    return stripped


def number_column(
    raw: Any,
    column: Column,
    schema: Schema,
    place: Place,
    report: Report,
    numbers: arrow_cells.Numbers | None = None,
) -> NDArray[np.float32]:
    """(n_rows,) float32; a few words become missing with a warning, more are an error.

    Parameters
    ----------
    raw
        Cells as the source has them: a pandas series or an Arrow array, of text or numbers.
    place
        Where they stand, for errors.
    report
        Gets what became missing, was infinite, or was cut to float32's range.
    numbers
        As `read_numbers` gives them, where the cells were read already.
    """
    array = arrow_cells.flat(raw)
    cells, bad = numbers or read_numbers(array, column, schema)
    if bad.any():
        _judge_words(array, bad, int((~np.isnan(cells)).sum()), column, schema, place, report)
    infinite, clipped = arrow_cells.beyond_float32(cells)
    if infinite:
        report.warn(message("findings.infinite", n=infinite), column.name)
    if clipped > infinite:
        report.warn(message("findings.cut", n=clipped - infinite), column.name)
    if len(cells) >= _ENOUGH_ROWS and column.missing_share <= 0.5 and not np.isfinite(cells).any():
        _judge_empty(array, column, place, report)
    return arrow_cells.to_float32(cells)


def read_numbers(cells: Any, column: Column, schema: Schema) -> arrow_cells.Numbers:
    """The `cells` of a number or date column as `arrow_cells.numbers` and `days` give them: values, and which are none.

    Both are (n_rows,).
    """
    if column.kind == "date":
        return arrow_cells.days(cells, markers=schema.missing_markers, order=column.date_order)
    return arrow_cells.numbers(
        cells, markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands, unit=column.unit
    )


def _judge_words(
    array: pa.Array,
    bad: NDArray[np.bool_],
    numbers: int,
    column: Column,
    schema: Schema,
    place: Place,
    report: Report,
) -> None:
    refused = refused_word(array, bad, numbers, schema.max_bad_share, column.kind)
    if refused is not None:
        what = _no_value(column.kind, shown(array[refused].as_py()), int(bad.sum()), place, refused)
        raise place.error(what, refused, column.name, SchemaError)
    position = int(np.argmax(bad))
    first = {"cell": shown(array[position].as_py()), "place": place.words(position)}
    code = "findings.no_dates" if column.kind == "date" else "findings.words"
    report.warn(message(code, n=int(bad.sum()), **first), column.name)


# By kind, whether there are several such cells, and whether their place is in the sentence.
_NO_VALUE = {
    ("number", False, False): "data.no_number",
    ("number", True, False): "data.no_numbers",
    ("number", False, True): "data.no_number_in",
    ("number", True, True): "data.no_numbers_in",
    ("date", False, False): "data.no_date",
    ("date", True, False): "data.no_dates",
    ("date", False, True): "data.no_date_in",
    ("date", True, True): "data.no_dates_in",
}


def _no_value(kind: str, cell: str, n: int, place: Place, position: int) -> Message:
    """Of a cell that is no number, or no date. Says the place itself where the error cannot name a line."""
    code = _NO_VALUE[kind, n > 1, place.lines is None]
    known: dict[str, Any] = {"n": n} if n > 1 else {}
    return message(code, cell=cell, **known | ({"place": place.words(position)} if place.lines is None else {}))


def refused_word(
    array: pa.Array, bad: NDArray[np.bool_], numbers: int, share: float, kind: str = "number"
) -> int | None:
    """The row of the word that a number column cannot hold; None where its words may be taken as missing.

    They may up to `share` of the cells that say something (`numbers` and words), unless one is a number with signs
    that were not read.

    Parameters
    ----------
    array
        The column's cells.
    bad
        (n_rows,) bool: which are words.
    numbers
        How many are numbers.
    share
        In [0, 1].
    kind
        Of the column.
    """
    written = written_numbers(array, bad, kind)
    if written.any():
        return int(np.argmax(written))
    return int(np.argmax(bad)) if bad.sum() > share * (numbers + bad.sum()) else None


def written_numbers(array: pa.Array, bad: NDArray[np.bool_], kind: str = "number") -> NDArray[np.bool_]:
    """(n_rows,) which `bad` cells are numbers with signs that were not read; `kind` as of `is_written_number`."""
    mask = np.zeros(len(array), bool)
    if bad.any() and arrow_cells.is_text(array):
        encoded = pc.dictionary_encode(array.filter(pa.array(bad)))
        written = np.array([is_written_number(word, kind) for word in encoded.dictionary.to_pylist()], bool)
        mask[bad] = written[encoded.indices.to_numpy(zero_copy_only=False)]
    return mask


def _judge_empty(array: pa.Array, column: Column, place: Place, report: Report) -> None:
    """A column that had values and now says `n/a` in every row comes from a broken feed."""
    report.warn(message("findings.no_value"), column.name)
    if not arrow_cells.is_text(array):
        return
    written = pc.unique(pc.utf8_trim_whitespace(pc.fill_null(array, ""))).to_pylist()
    if "" not in written and not any(word.lstrip("+-").casefold() in ("inf", "infinity", "nan") for word in written):
        raise SchemaError(message("data.only_words", words=listing(written)), file=place.file, column=column.name)


def category_column(raw: Any, column: Column, schema: Schema, report: Report) -> pa.Array:
    """Text with "" for missing; levels that training did not see are kept and counted.

    Parameters
    ----------
    raw
        Cells as the source has them: a pandas series or an Arrow array, of text or numbers.
    report
        Gets the levels that training did not see.
    """
    array = arrow_cells.flat(raw)
    texts = arrow_cells.texts(array, markers=schema.missing_markers)
    for written in column.categories:  # of a schema by hand
        if (spelling := level(written)) != written:
            texts = pc.if_else(pc.equal(texts, spelling), written, texts)
    if column.categories:
        known = pa.array([*column.categories, ""], pa.large_string())
        unseen = texts.filter(pc.invert(pc.is_in(texts, value_set=known)))
        if len(unseen):
            values = listing(pc.unique(unseen).to_pylist(), 4)
            report.warn(message("findings.uncommon", n=len(unseen), values=values), column.name)
    return texts


def shown(cell: object) -> str:
    """A value for a message: on one line, printable, short."""
    text = str(cell)
    text = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return printable(text)


def listing(names: Iterable[object], limit: int = 8) -> Message:
    """Names for a message, shortened: `'a', 'b' and 12 more`."""
    quoted = [f"'{shown(name)}'" for name in names]
    if len(quoted) > limit:
        return message("data.names_more", names=quoted[:limit], n=len(quoted) - limit)
    return message("data.names", names=quoted)


def suggestion(name: str, existing: Iterable[str]) -> Message:
    """`did you mean 'Churn'?`, or what there is, for a name that is not there."""
    existing = list(existing)
    folded = {other.strip().casefold(): other for other in existing}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if near:
        return message("data.did_you_mean", names=listing(folded[match] for match in near))
    is_value = any(is_written_number(other) for other in existing)  # as where the first row was taken for the names
    return message(
        "data.has_columns_or_values" if is_value else "data.has_columns", n=len(existing), names=listing(existing)
    )
