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
from ml.schema import arrow_cells
from ml.schema.cells import FLOAT32_LIMIT, is_written_number, level
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

    def words(self, position: int) -> str:
        """`line 17` in a file, else `row 15`, counted from 1."""
        line = self.line(position)
        return f"row {position + 1}" if line is None else f"line {line}"

    def error(self, message: str, position: int, column: str, kind: type[DataError] = DataError) -> DataError:
        """An error that names the file, and the line where there are lines.

        Parameters
        ----------
        position
            Row, from 0.
        kind
            Class of the error.
        """
        return kind(message, file=self.file, line=self.line(position), column=column)


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
        raise SchemaError(f"two columns of one name: {listing(doubles)}; give each its own name", file=file)
    absent = [column.name for column in schema.columns if column.name not in present]
    if absent:
        raise SchemaError(
            f"the model needs {len(schema.columns)} columns and the table lacks {listing(absent)}; "
            f"{suggestion(absent[0], stripped)}",
            file=file,
        )
    unknown = [n for n in stripped if n not in schema.ignored and n not in {c.name for c in schema.columns}]
    if unknown:
        report.warn(f"columns that the model does not know are ignored: {listing(unknown)}")
    return stripped


def number_column(raw: Any, column: Column, schema: Schema, place: Place, report: Report) -> NDArray[np.float32]:
    """(n_rows,) float32; a few words become missing with a warning, more are an error.

    Parameters
    ----------
    raw
        Cells as the source has them: a pandas series or an Arrow array, of text or numbers.
    place
        Where they stand, for errors.
    report
        Gets what became missing, was infinite, or was cut to float32's range.
    """
    array = arrow_cells.flat(raw)
    cells, bad = arrow_cells.numbers(
        array, markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands
    )
    if bad.any():
        _judge_words(array, bad, int((~np.isnan(cells)).sum()), column, schema, place, report)
    infinite, clipped = int(np.isinf(cells).sum()), int((np.abs(cells) > FLOAT32_LIMIT).sum())
    if infinite:
        report.warn(f"{infinite:,} infinite values are taken as missing", column.name)
    if clipped > infinite:
        report.warn(f"{clipped - infinite:,} values beyond ±3.4e38 are cut to that", column.name)
    if len(cells) >= _ENOUGH_ROWS and column.missing_share <= 0.5 and not np.isfinite(cells).any():
        _judge_empty(array, column, place, report)
    return arrow_cells.to_float32(cells)


def _judge_words(
    array: pa.Array,
    bad: NDArray[np.bool_],
    numbers: int,
    column: Column,
    schema: Schema,
    place: Place,
    report: Report,
) -> None:
    refused = refused_word(array, bad, numbers, schema.max_bad_share)
    if refused is not None:
        others = f" ({int(bad.sum()):,} such cells)" if bad.sum() > 1 else ""
        where = "" if place.lines is not None else f" in {place.words(refused)}"
        cell = shown(array[refused].as_py())
        raise place.error(f"expected a number, got '{cell}'{where}{others}", refused, column.name, SchemaError)
    position = int(np.argmax(bad))
    report.warn(
        f"{int(bad.sum()):,} cells are no numbers and are taken as missing, the first "
        f"'{shown(array[position].as_py())}' in {place.words(position)}",
        column.name,
    )


def refused_word(array: pa.Array, bad: NDArray[np.bool_], numbers: int, share: float) -> int | None:
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
    """
    written = written_numbers(array, bad)
    if written.any():
        return int(np.argmax(written))
    return int(np.argmax(bad)) if bad.sum() > share * (numbers + bad.sum()) else None


def written_numbers(array: pa.Array, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n_rows,) which of the bad cells are numbers with signs that were not read; see `is_written_number`."""
    mask = np.zeros(len(array), bool)
    if bad.any() and arrow_cells.is_text(array):
        encoded = pc.dictionary_encode(array.filter(pa.array(bad)))
        written = np.array([is_written_number(word) for word in encoded.dictionary.to_pylist()], bool)
        mask[bad] = written[encoded.indices.to_numpy(zero_copy_only=False)]
    return mask


def _judge_empty(array: pa.Array, column: Column, place: Place, report: Report) -> None:
    """A column that had values and now says `n/a` in every row comes from a broken feed."""
    report.warn("no value in any row", column.name)
    if not arrow_cells.is_text(array):
        return
    written = pc.unique(pc.utf8_trim_whitespace(pc.fill_null(array, ""))).to_pylist()
    if "" not in written and not any(word.lstrip("+-").casefold() in ("inf", "infinity", "nan") for word in written):
        raise SchemaError(
            f"expected numbers, but every row says {listing(written)}", file=place.file, column=column.name
        )


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
            report.warn(
                f"{len(unseen):,} rows have a value that was not common in training: "
                f"{listing(pc.unique(unseen).to_pylist(), 4)}",
                column.name,
            )
    return texts


def shown(cell: object) -> str:
    """A value for a message: on one line, printable, short."""
    text = str(cell)
    text = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return printable(text)


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Names for a message, shortened: `'a', 'b' and 12 more`."""
    quoted = [f"'{shown(name)}'" for name in names]
    more = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {more:,} more" if more > 0 else "")


def suggestion(name: str, existing: Iterable[str]) -> str:
    """`did you mean 'Churn'?`, or what there is, for a name that is not there."""
    existing = list(existing)
    folded = {other.strip().casefold(): other for other in existing}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {listing(folded[match] for match in near)}?"
    return f"the table has {len(existing)} columns: {listing(existing)}; does its first line name the columns?"
