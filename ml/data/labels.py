"""The target column: from what people write to classes and codes."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml import values
from ml.data.frames import listing, place_of
from ml.errors import DataError, SchemaError
from ml.report import Report
from ml.schema import Schema
from ml.settings import Data


def find_classes(frame: pd.DataFrame, data: Data, report: Report) -> tuple[tuple[str, ...], str]:
    """The classes of a raw table in probability order, and the positive label ("" unless two classes).

    Labels that differ only in case or surrounding space are one class, written as most rows write it.
    Two classes come as (negative, positive); more are sorted, numbers by value.

    Raises
    ------
    DataError
        One class, too many classes, every class too small, or a positive label that does not occur.
    """
    counts = _counts(frame, data.target, data.missing_markers)
    blank = counts.pop("", 0)
    if blank:
        report.warn(f"{blank:,} of {len(frame):,} rows have no label and are left out", data.target)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for text, count in counts.items():
        spellings[text.casefold()][text] = count
    classes = {found.most_common(1)[0][0]: found.total() for found in spellings.values()}
    merged = [listing(found) for found in spellings.values() if len(found) > 1]
    if merged:
        report.warn(f"labels that differ only in case are one class: {'; '.join(merged)}", data.target)
    classes = _large_enough(classes, data, report)
    ordered = sorted(classes, key=_sort_key)
    if len(ordered) > 2:
        if data.positive_label:
            raise DataError(
                f"data.positive_label is '{data.positive_label}', but there are {len(ordered)} classes "
                f"({listing(ordered)}); it is for two classes only: leave it empty",
                column=data.target,
            )
        return tuple(ordered), ""
    positive = _positive(ordered, classes, data)
    return tuple(sorted(ordered, key=lambda label: label == positive)), positive


def codes(frame: pd.DataFrame, schema: Schema, *, leave_out: bool = False) -> NDArray[np.int64]:
    """(n_rows,) int64: index into `schema.classes`, and -1 where the label is missing.

    With `leave_out`, a label that is none of the classes counts as missing: where it has been
    reported already, or where one odd label must not stop the loop.

    Raises
    ------
    SchemaError
        A label that is none of the classes.
    """
    if schema.target not in frame.columns:
        raise SchemaError(f"the table has no target column '{schema.target}'")
    encoded = pc.dictionary_encode(_whole(values.texts(frame[schema.target], markers=schema.missing_markers)))
    known = {label.casefold(): code for code, label in enumerate(schema.classes)} | {"": -1}
    levels = encoded.dictionary.to_pylist()
    lookup = np.array([known.get(level.casefold(), -2) for level in levels], dtype=np.int64)
    result: NDArray[np.int64] = lookup[encoded.indices.to_numpy(zero_copy_only=False)]
    if leave_out:
        return np.maximum(result, -1)
    if (result == -2).any():
        position = int(np.argmax(result == -2))
        unknown = [level for level, code in zip(levels, lookup, strict=True) if code == -2]
        raise SchemaError(
            f"{place_of(frame, position)}: {listing(unknown)} is none of the classes ({listing(schema.classes)}); "
            'correct the labels, or set data.schema = "infer" to begin anew with other classes',
            column=schema.target,
        )
    return result


def _whole(texts: object) -> object:
    """Labels written as whole numbers with decimals, `1.0`, are the whole number, `1`."""
    return pc.replace_substring_regex(texts, r"^([+-]?\d+)\.0+$", r"\1")


def _counts(frame: pd.DataFrame, target: str, markers: tuple[str, ...]) -> dict[str, int]:
    counted = pc.value_counts(_whole(values.texts(frame[target], markers=markers)))
    return {entry["values"]: entry["counts"] for entry in counted.to_pylist()}


def _large_enough(classes: dict[str, int], data: Data, report: Report) -> dict[str, int]:
    rows = sum(classes.values())
    if not rows:
        raise DataError("no row has a label", column=data.target)
    small = {label: count for label, count in classes.items() if count < data.min_class_rows}
    kept = {label: count for label, count in classes.items() if label not in small}
    shown = ", ".join(f"'{label[:60]}' ({count})" for label, count in list(classes.items())[:8])
    if len(kept) > data.max_classes or (len(classes) > 20 and len(classes) > rows / 5):
        raise DataError(
            f"{len(classes):,} different labels in {rows:,} rows (limit data.max_classes = {data.max_classes}): "
            f"{listing(classes, 4)}; is this an id or a quantity? Refit predicts classes",
            column=data.target,
        )
    if len(kept) < 2:
        raise DataError(
            f"two classes with at least {data.min_class_rows} rows each are needed (data.min_class_rows), "
            f"got {shown}; add rows of the other class",
            column=data.target,
        )
    for label, count in small.items():
        report.warn(f"class '{label[:60]}' has {count} rows, fewer than {data.min_class_rows}: left out", data.target)
    return kept


def _positive(ordered: list[str], classes: dict[str, int], data: Data) -> str:
    if not data.positive_label:
        return min(reversed(ordered), key=lambda label: classes[label])
    wanted = data.positive_label.strip().casefold()
    for label in ordered:
        if wanted in (label.casefold(), label.casefold() + ".0"):
            return label
    raise DataError(
        f"data.positive_label is '{data.positive_label}', but the labels are {listing(ordered)}", column=data.target
    )


def _sort_key(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
