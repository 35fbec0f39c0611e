"""The target column: from what people write to classes and codes."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.errors import DataError, SchemaError
from ml.messages import message
from ml.schema import arrow_cells
from ml.schema.cells import label_names, same_label
from ml.schema.coerce import listing, shown, suggestion
from ml.schema.findings import Report
from ml.schema.frames import Table, place_of
from ml.schema.schema import Schema
from ml.settings import Data


def find_classes(frame: Table, data: Data, report: Report) -> tuple[tuple[str, ...], str]:
    """The classes of a raw table in probability order, and the positive label ("" unless two classes).

    Labels that differ only in case or surrounding space are one class, written as most rows write it.
    Two classes come as (negative, positive); more are sorted, numbers by value.

    Parameters
    ----------
    frame
        Raw, with the column `data.target`.

    Raises
    ------
    DataError
        More labels than `data.max_bad_share` that are words for "no value", one class, too many classes, every class
        too small, or a positive label that does not occur.
    """
    file = frame.attrs.get("file")
    _check_markers(frame, data.target, data.missing_markers, data.max_bad_share)
    counted = pc.value_counts(_texts(frame, data.target, data.missing_markers)).to_pylist()
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in counted:
        if entry["values"]:
            spellings[same_label(entry["values"])][entry["values"]] = entry["counts"]
    classes = {counts.most_common(1)[0][0]: counts.total() for counts in spellings.values()}
    merged = [listing(counts) for counts in spellings.values() if len(counts) > 1]
    if merged:
        report.warn(message("findings.merged_labels", merged=merged[:8]), data.target)
    ordered = sorted(_large_enough(classes, data, file), key=_sort_key)
    if len(ordered) > 2:
        if data.positive_label:
            known = {"label": data.positive_label, "n": len(ordered), "classes": listing(ordered)}
            raise DataError(message("data.positive_of_two", **known), file=file, column=data.target)
        return tuple(ordered), ""
    positive = _positive(ordered, classes, data, file)
    return tuple(sorted(ordered, key=lambda label: label == positive)), positive


def codes(frame: Table, schema: Schema, report: Report, *, tolerate: int | None = 0) -> NDArray[np.int64]:
    """(n_rows,) int64: index into `schema.classes`, and -1 where there is no usable label.

    Parameters
    ----------
    tolerate
        A label that is none of the classes is left out, with a warning, when it has at most this many
        rows; None: however many.

    Raises
    ------
    SchemaError
        There is no target column, or a label is none of the classes.
    DataError
        More than `schema.max_bad_share` of the labels are words for "no value".
    """
    place = place_of(frame)
    if schema.target not in frame.columns:
        raise SchemaError(
            message("data.no_target", target=schema.target, hint=suggestion(schema.target, map(str, frame.columns))),
            file=place.file,
        )
    _check_markers(frame, schema.target, schema.missing_markers, schema.max_bad_share)
    encoded = pc.dictionary_encode(_texts(frame, schema.target, schema.missing_markers))
    known = {key: schema.classes.index(label) for key, label in label_names(schema.classes).items()} | {"": -1}
    levels = encoded.dictionary.to_pylist()
    lookup = np.array([known.get(same_label(level), -2) for level in levels], dtype=np.int64)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(indices, minlength=len(levels))
    result: NDArray[np.int64] = lookup[indices]
    blank = int((result == -1).sum())
    if blank:
        report.warn(message("findings.no_label", n=blank, rows=len(frame)), schema.target)
    for level, code, count in zip(levels, lookup, counts, strict=True):
        if code != -2:
            continue
        if tolerate is not None and count > tolerate:
            position = int(np.argmax(result == -2))
            what = message("data.no_class", label=shown(level), n=count, classes=listing(schema.classes))
            raise place.error(what, position, schema.target, SchemaError)
        report.warn(message("findings.no_class", label=shown(level), n=count), schema.target)
    return np.maximum(result, -1)


def _check_markers(frame: Table, target: str, markers: tuple[str, ...], share: float) -> None:
    """None may be a class: labels are lost to a word for "no value" only where it is said of a few rows."""
    said = arrow_cells.marked(frame[target], markers)
    if sum(said.values()) > share * len(frame):
        known = {"n": sum(said.values()), "rows": len(frame), "words": listing(said)}
        raise DataError(message("data.labels_are_markers", **known), file=place_of(frame).file, column=target)


def _texts(frame: Table, target: str, markers: tuple[str, ...]) -> pa.Array:
    return arrow_cells.texts(frame[target], markers=markers)


def _large_enough(classes: dict[str, int], data: Data, file: str | None) -> list[str]:
    rows = sum(classes.values())
    frequent = [label for label, count in classes.items() if count >= data.min_class_rows]
    if not rows:
        problem = message("data.no_label")
    elif len(frequent) > data.max_classes or (len(classes) > 20 and len(classes) > rows / 5):
        counts = {"n": len(classes), "rows": rows, "limit": data.max_classes}
        problem = message("data.too_many_labels", labels=listing(classes, 4), **counts)
    elif len(classes) == 1:
        problem = message("data.one_label", label=shown(next(iter(classes))))
    elif len(frequent) < 2:
        found = [message("data.class_rows", label=shown(one), n=count) for one, count in list(classes.items())[:8]]
        problem = message("data.small_classes", least=data.min_class_rows, found=found)
    else:
        return frequent
    raise DataError(problem, file=file, column=data.target)


def _positive(ordered: list[str], classes: dict[str, int], data: Data, file: str | None) -> str:
    if not data.positive_label:
        return min(reversed(ordered), key=lambda label: classes[label])
    wanted = label_names(tuple(ordered)).get(same_label(data.positive_label))
    if wanted is not None:
        return wanted
    what = message("data.positive_unknown", label=data.positive_label, labels=listing(ordered))
    raise DataError(what, file=file, column=data.target)


def _sort_key(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
