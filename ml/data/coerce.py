"""A raw table against a schema: the canonical frame, or an error that names the place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml import values
from ml.data.frames import line_of, listing, place_of, suggestion
from ml.errors import SchemaError
from ml.report import Report
from ml.schema import Column, Schema

# A single row may well be missing one value; a whole file without any value of a usual column is broken.
_ENOUGH_ROWS = 20


def canonical(frame: pd.DataFrame, schema: Schema, *, file: str | None = None) -> tuple[pd.DataFrame, Report]:
    """Coerce a raw table to the columns, order and types of a schema.

    Returns
    -------
    frame
        The input columns in schema order: float32 with NaN, text with "" for missing.
    report
        Unknown columns, unseen levels, words that became missing.

    Raises
    ------
    SchemaError
        A column is absent, or has too many cells that are no numbers.
    """
    report = Report()
    frame = _match_names(frame, schema, report, file)
    data = {
        column.name: _number(frame, column, schema, report, file)
        if column.kind == "number"
        else _category(frame, column, schema, report)
        for column in schema.columns
    }
    return pd.DataFrame(data, index=frame.index), report


def _match_names(frame: pd.DataFrame, schema: Schema, report: Report, file: str | None) -> pd.DataFrame:
    names = [str(name).strip() for name in frame.columns]
    if len(set(names)) < len(names):
        doubles = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(f"two columns of one name: {listing(doubles)}", file=file)
    absent = [column.name for column in schema.columns if column.name not in set(names)]
    if absent:
        hint = suggestion(absent[0], names)
        raise SchemaError(
            f"the model needs {len(schema.columns)} columns and the table lacks {listing(absent)}; {hint}", file=file
        )
    known = {column.name for column in schema.columns} | set(schema.ignored)
    unknown = [name for name in names if name not in known]
    if unknown:
        report.warn(f"columns that the model does not know are ignored: {listing(unknown)}")
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _number(frame: pd.DataFrame, column: Column, schema: Schema, report: Report, file: str | None) -> np.ndarray:
    array = values.flat(frame[column.name])
    cells, bad = values.numbers(
        array, markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands
    )
    if bad.any():
        position = int(np.argmax(bad))
        cell = str(array[position].as_py())[:60]
        place = place_of(frame, position)
        # As when training: a few words in a large table are noise, more are a broken column.
        if bad.sum() > schema.max_bad_share * max(1, len(array) - array.null_count):
            line = line_of(frame, position)
            where = "" if line is not None else f" in {place}"
            raise SchemaError(
                f"expected a number, got '{cell}'{where} ({int(bad.sum()):,} such cells)",
                file=file, line=line, column=column.name,
            )  # fmt: skip
        report.warn(
            f"{int(bad.sum()):,} cells are no numbers and are taken as missing, the first '{cell}' in {place}",
            column.name,
        )
    _check_filled(array, cells, column, file)
    return values.to_float32(cells)


def _check_filled(array: pa.Array, cells: np.ndarray, column: Column, file: str | None) -> None:
    """A column that always had values and now says `n/a` in every row comes from a broken feed."""
    if len(cells) < _ENOUGH_ROWS or column.missing_share > 0.5 or not values.is_text(array):
        return
    if not np.isnan(cells).all():
        return
    written = pc.unique(pc.utf8_trim_whitespace(pc.fill_null(array, ""))).to_pylist()
    if "" not in written and not any(word.lstrip("+-").casefold() in ("inf", "infinity", "nan") for word in written):
        raise SchemaError(f"expected numbers, but every row says {listing(written)}", file=file, column=column.name)


def _category(frame: pd.DataFrame, column: Column, schema: Schema, report: Report) -> pd.Series:
    array = values.flat(frame[column.name])
    texts = values.texts(array, markers=schema.missing_markers)
    if pa.types.is_boolean(array.type) and "true" in column.categories:
        texts = pc.utf8_lower(texts)
    if column.categories:
        counts = pc.value_counts(texts).to_pylist()
        known = {*column.categories, ""}
        unseen = {entry["values"]: entry["counts"] for entry in counts if entry["values"] not in known}
        if unseen:
            report.warn(
                f"{sum(unseen.values()):,} rows have a value that was not seen in training: {listing(unseen, 4)}",
                column.name,
            )
    return pd.Series(texts.to_pandas().astype("str"), dtype="str").set_axis(frame.index)
