"""What the columns of a raw table are: kinds, classes, and what is left out and why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml import values
from ml.data import checks, labels
from ml.data.coerce import canonical
from ml.data.frames import check_names, listing, place_of
from ml.errors import DataError
from ml.report import Report
from ml.schema import Column, Kind, Schema
from ml.settings import Data

_DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"


def infer(frame: pd.DataFrame, data: Data) -> tuple[Schema, Report]:
    """Infer the schema of a raw table.

    Numbers are `number`; text and booleans are `category`; `data.kinds` overrides. Columns without
    information (empty, constant) and columns that identify a row (ids, free text, dates) are left
    out, each with a warning.

    Raises
    ------
    DataError
        The table cannot be learned from; the message says why and what to do.
    """
    report = Report()
    frame = check_names(frame, data)
    classes, positive = labels.find_classes(frame, data, report)
    ignored = dict.fromkeys(
        name for name in (*data.id_columns, data.time_column, data.weight_column, *data.exclude, data.target) if name
    )
    kinds: dict[str, Kind] = {}
    for name in frame.columns:
        if name in ignored:
            continue
        kind = _kind(frame, name, data, report)
        if kind is None:
            ignored[name] = None
        else:
            kinds[name] = kind
    if not kinds:
        raise DataError(f"no usable input column is left beside the target '{data.target}': {_reasons(report)}")
    schema = Schema(
        target=data.target,
        classes=classes,
        positive_label=positive,
        columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()),
        id_columns=data.id_columns,
        time_column=data.time_column,
        weight_column=data.weight_column,
        ignored=tuple(ignored),
        missing_markers=data.missing_markers,
        decimal=data.decimal,
        thousands=data.thousands,
        max_bad_share=data.max_bad_share,
    )
    coerced, _ = canonical(frame, schema)
    return profile(schema, coerced, max_categories=data.max_categories), report


def profile(schema: Schema, frame: pd.DataFrame, *, max_categories: int) -> Schema:
    """The schema with ranges, levels, missing shares and examples as they are in a canonical frame."""
    columns = tuple(
        _number_profile(c, frame[c.name].to_numpy()) if c.kind == "number" else
        _category_profile(c, values.flat(frame[c.name]), max_categories)
        for c in schema.columns
    )  # fmt: skip
    return Schema(**{**{f: getattr(schema, f) for f in schema.__struct_fields__}, "columns": columns})


def _number_profile(column: Column, cells: np.ndarray) -> Column:
    present = cells[~np.isnan(cells)].astype(np.float64)
    missing = 1 - len(present) / max(1, len(cells))
    if not len(present):
        return Column(name=column.name, kind="number", missing_share=missing)
    integer = bool((present == np.rint(present)).all())
    middle = float(np.partition(present, len(present) // 2)[len(present) // 2])
    return Column(
        name=column.name,
        kind="number",
        integer=integer,
        minimum=float(present.min()),
        maximum=float(present.max()),
        missing_share=missing,
        example=middle if not integer else int(middle),
    )


def _category_profile(column: Column, cells: pa.Array, max_categories: int) -> Column:
    counted = pc.value_counts(cells).to_pylist()
    counts = sorted(((e["counts"], e["values"]) for e in counted if e["values"]), key=lambda e: (-e[0], e[1]))
    levels = tuple(level for _, level in counts[:max_categories])
    return Column(
        name=column.name,
        kind="category",
        categories=levels,
        missing_share=1 - sum(count for count, _ in counts) / max(1, len(cells)),
        example=levels[0] if levels else "",
    )


def _kind(frame: pd.DataFrame, name: str, data: Data, report: Report) -> Kind | None:
    """The kind of one column, or None with a warning where it is left out."""
    array = values.flat(frame[name])
    override = data.kinds.get(name)
    if override is not None and override not in ("number", "category"):
        raise DataError(f'data.kinds says \'{override}\'; it must be "number" or "category"', column=name)
    if override == "number" or values.is_number(array) or (values.is_text(array) and override is None):
        cells, bad = values.numbers(array, markers=data.missing_markers, decimal=data.decimal, thousands=data.thousands)
        present = int(np.isfinite(cells).sum() + bad.sum())
        if not present:
            return _nothing(frame, name, array, data, report)
        if override != "category" and bad.sum() <= data.max_bad_share * present:
            if bad.any():
                _report_words(frame, name, array, bad, report)
            return _number(name, cells, override is not None, report)
        if override == "number" or values.is_number(array):
            if override == "number":
                raise _words(frame, name, array, bad, data)
        else:
            _check_marks(frame, name, array, bad, data)
    return _category(name, array, len(frame), override is not None, data, report)


def _number(name: str, cells: np.ndarray, forced: bool, report: Report) -> Kind | None:
    present = cells[np.isfinite(cells)]
    if len(present) == len(cells) and present.min() == present.max() and not forced:
        report.warn(f"constant ({present[0]:g}): left out", name)
        return None
    infinite = int(np.isinf(cells).sum())
    if infinite:
        report.warn(f"{infinite:,} infinite values are taken as missing", name)
    if not forced and checks.is_row_number(name, present):
        report.warn("a different whole number in every row, like an identifier: left out", name)
        return None
    return "number"


def _category(name: str, array: pa.Array, rows: int, forced: bool, data: Data, report: Report) -> Kind | None:
    texts = values.texts(array, markers=data.missing_markers)
    counts = {e["values"]: e["counts"] for e in pc.value_counts(texts).to_pylist()}
    missing = counts.pop("", 0)
    if not counts:
        report.warn("no value in any row: left out", name)
        return None
    if forced:
        return "category"
    if len(counts) == 1 and not missing:
        report.warn(f"constant ('{next(iter(counts))[:60]}'): left out", name)
        return None
    if checks.is_dates(array, counts):
        report.warn(
            "holds dates: left out; name it in data.time_column if it orders the rows, or bring the "
            "wanted part (month, age in days) as a column of its own",
            name,
        )
        return None
    if len(counts) > 20 and len(counts) > 0.5 * (rows - missing):
        report.warn(
            f"{len(counts):,} different texts in {rows - missing:,} rows, like an identifier or free text: left out",
            name,
        )
        return None
    if len(counts) > data.max_categories:
        report.warn(f"{len(counts):,} levels; the commonest {data.max_categories} are kept, the rest is 'other'", name)
    return "category"


def _nothing(frame: pd.DataFrame, name: str, array: pa.Array, data: Data, report: Report) -> None:
    """An empty column is left out; one that was filled with a word everywhere is a broken export."""
    if values.is_text(array):
        words = pc.unique(pc.utf8_trim_whitespace(array).drop_null()).to_pylist()
        words = [word for word in words if word and word in {m.strip() for m in data.missing_markers}]
        if words and len(words) == len(pc.unique(pc.utf8_trim_whitespace(array)).to_pylist()):
            raise DataError(
                f"every row says {listing(words)}, not one value; repair the export, or name the column in "
                "data.exclude",
                column=name,
            )
    report.warn("no value in any row: left out", name)


def _report_words(frame: pd.DataFrame, name: str, array: pa.Array, bad: np.ndarray, report: Report) -> None:
    position = int(np.argmax(bad))
    report.warn(
        f"{int(bad.sum()):,} cells are no numbers and are taken as missing, the first '{_cell(array, position)}' "
        f"in {place_of(frame, position)}",
        name,
    )


def _words(frame: pd.DataFrame, name: str, array: pa.Array, bad: np.ndarray, data: Data) -> DataError:
    position = int(np.argmax(bad))
    return DataError(
        f"{int(bad.sum()):,} of {len(frame):,} cells are no numbers, the first '{_cell(array, position)}' in "
        f"{place_of(frame, position)}; at most {data.max_bad_share:.0%} may be (data.max_bad_share)",
        column=name,
    )


def _check_marks(frame: pd.DataFrame, name: str, array: pa.Array, bad: np.ndarray, data: Data) -> None:
    """Numbers written with marks that were not declared must not become categories."""
    odd = pc.utf8_trim_whitespace(array).filter(pa.array(bad))
    others = len(array) - array.null_count - len(odd)
    for pattern, hint in (
        (_THOUSANDS, 'data.thousands = ","'),
        (_DECIMAL_COMMA, 'data.decimal = ","'),
    ):
        like = int(pc.sum(pc.match_substring_regex(odd, pattern)).as_py() or 0)
        if like and like + others >= (1 - data.max_bad_share) * (len(odd) + others):
            position = int(np.argmax(bad))
            raise DataError(
                f"{like:,} cells such as '{_cell(array, position)}' ({place_of(frame, position)}) are numbers with "
                f'commas; set {hint}, or data.kinds = {{"{name}" = "category"}} if they are names',
                column=name,
            )


def _cell(array: pa.Array, position: int) -> str:
    return str(array[position].as_py())[:60]


def _reasons(report: Report) -> str:
    return "; ".join(f"'{f.column}' {f.message}" for f in report.findings[:5] if f.column) or "add input columns"
