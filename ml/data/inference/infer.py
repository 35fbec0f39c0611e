"""What the columns of a raw table are: kinds, classes, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.data.inference import date_order, labels, leaks, number_marks
from ml.data.inference.kinds import find_kind, tell_markers
from ml.data.inference.profiles import profile
from ml.errors import DataError
from ml.messages import Message, message
from ml.schema.coerce import Place, listing
from ml.schema.findings import Report
from ml.schema.frame_coerce import Coerced, coerced_column, of_columns
from ml.schema.frames import Table, check_names, place_of, select
from ml.schema.schema import Column, Schema
from ml.settings import Data

if TYPE_CHECKING:
    import pandas as pd


def infer(frame: Table, data: Data) -> tuple[Schema, Report]:
    """Infer the schema of a raw table; see `infer_rows`."""
    return infer_rows(frame, data)[:2]


def infer_rows(frame: Table, data: Data) -> tuple[Schema, Report, Any]:
    """Infer the schema of a raw table; and the canonical inputs (n_rows, columns), of the kind of table that came.

    Numbers are `number`, dates `date`; text and booleans are `category`; `data.kinds` overrides. Columns without
    information (empty, constant) and columns that identify a row (ids, free text) are left out, each with a warning.
    A column that alone separates the classes is warned of.

    Raises
    ------
    DataError
        The table cannot be learned from; the message says why and what to do.
    """
    report = Report()
    frame = check_names(frame, data)
    classes, positive = labels.find_classes(frame, data, report)
    reserved = (*data.id_columns, data.time_column, data.weight_column, *data.exclude, data.target)
    asked = [name for name in frame.columns if name not in reserved and data.kinds.get(name) != "category"]
    data = number_marks.settled(frame, data, asked, place_of(frame), report)
    data = date_order.settled(frame, asked, data)
    ignored = dict.fromkeys(name for name in reserved if name)
    schema = Schema(
        target=data.target,
        classes=classes,
        positive_label=positive,
        columns=(),
        id_columns=data.id_columns,
        time_column=data.time_column,
        weight_column=data.weight_column,
        ignored=tuple(ignored),
        missing_markers=data.missing_markers,
        decimal=data.decimal or ".",
        thousands=data.thousands,
        max_bad_share=data.max_bad_share,
    )
    found = _Found([], ignored, list(data.id_columns))
    coerced = of_columns(frame, _found_columns(frame, data, schema, found, report))
    schema = msgspec.structs.replace(
        schema, columns=tuple(found.columns), id_columns=tuple(found.ids), ignored=tuple(found.ignored)
    )
    y = labels.codes(frame, schema, report, tolerate=data.min_class_rows - 1)
    schema = _without_leaks(schema, coerced[y >= 0], y[y >= 0], data, place_of(frame).file, report)
    if not schema.columns:
        raise DataError(_no_input(report, data.target), file=place_of(frame).file)
    coerced = select(coerced, [column.name for column in schema.columns])
    return profile(schema, coerced, max_categories=data.max_categories), report, coerced


class _Found(NamedTuple):
    """What was found of the columns until now."""

    columns: list[Column]
    ignored: dict[str, None]
    ids: list[str]


def _found_columns(
    frame: Table, data: Data, schema: Schema, found: _Found, report: Report
) -> Iterator[tuple[str, Coerced]]:
    """The input columns, coerced as they are found: text is read and parsed once for both."""
    for name in [name for name in frame.columns if name not in found.ignored]:
        column = _found_column(frame[name], data, schema, found, place_of(frame), report)
        if column is not None:
            yield name, column


def _found_column(
    series: pd.Series, data: Data, schema: Schema, found: _Found, place: Place, report: Report
) -> Coerced | None:
    name = str(series.name)
    outcome = find_kind(series, data, place, report)
    coerced = None
    if outcome.kind is None:
        found.ignored[name] = None
    else:
        column = Column(name=name, kind=outcome.kind, unit=outcome.unit, date_order=outcome.date_order)
        found.columns.append(column)
        if outcome.numbers is None or np.isnan(outcome.numbers[0]).any():  # else no cell says "no value"
            tell_markers(series, outcome.kind, data, report)
        coerced = coerced_column(series, column, schema, place, Report(), outcome.numbers)
    if outcome.groups and not found.ids:
        found.ids.append(name)
        report.warn(message("findings.kept_together"), name)
    return coerced


def _no_input(report: Report, target: str) -> Message:
    reasons = [
        message("data.of_column", column=f.column, what=f.message)
        for f in report.findings[:5]
        if f.column not in ("", target)
    ]
    if not reasons:
        return message("data.no_input", target=target)
    return message("data.no_input_because", target=target, reasons=reasons)


def _without_leaks(
    schema: Schema, frame: Table, y: NDArray[np.int64], data: Data, file: str | None, report: Report
) -> Schema:
    suspects = leaks.find(frame, y, data.leak_auc)
    if not suspects:
        return schema
    if data.leaks == "reject":
        raise DataError(message("data.leaks", columns=listing(suspects)), file=file)
    left_out = data.leaks == "exclude"
    for name, auc in suspects.items():
        report.warn(message("findings.leak_left_out" if left_out else "findings.leak_kept", auc=auc), name)
    if not left_out:
        return schema
    return msgspec.structs.replace(
        schema,
        columns=tuple(column for column in schema.columns if column.name not in suspects),
        ignored=(*schema.ignored, *suspects),
    )
