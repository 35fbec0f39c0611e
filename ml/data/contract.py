"""The model's contract: what a later table must be, whatever file or query it comes from.

Columns, kinds, classes with their order, the positive label and the target are the champion's until a person says
`data.schema = "infer"`. How a table is read (ids, time, weights, markers, decimal marks) is of the settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pandas as pd

from ml.data.inference import date_order, labels, number_marks
from ml.errors import DataError, SchemaError
from ml.messages import Text, message
from ml.schema.coerce import listing, suggestion
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.schema.frames import Table, check_names, place_of
from ml.schema.schema import Column, Schema
from ml.settings import Data

_BROKEN_RISE = 0.5  # as drift.broken_missing: our choice


def fit(raw: Table, contract: Schema, data: Data, report: Report) -> tuple[Any, Schema, Any]:
    """Hold a raw table against a contract.

    Parameters
    ----------
    raw
        Columns as the source has them, cells as text or numbers.
    contract
        The champion's schema.
    data
        Today's settings: where they contradict the contract, that is an error.
    report
        Gets what was mended or left out.

    Returns
    -------
    raw
        With plain column names.
    schema
        The contract, read by today's rules.
    x
        The canonical inputs (n_rows, columns).

    Raises
    ------
    SchemaError
        The table does not fit: every column that does not is named, with what is wrong.
    """
    problems = _settings_against(contract, data, raw.columns)
    if problems:
        raise _refusal(raw, problems)
    raw = check_names(raw, data)
    asked = [name for name in contract.plain_numbers if name in raw.columns]
    known = number_marks.Marks(contract.decimal, contract.thousands)
    contract = _with_date_order(raw, contract, data)
    schema = bind(contract, number_marks.settled(raw, data, asked, place_of(raw), report, known))
    try:
        x, found = canonical(raw, schema)
    except SchemaError:  # for the first that is wrong; here all of it is told
        problems = _absent(raw, schema) + [p for column in schema.columns for p in _column_against(raw, column, schema)]
    else:
        problems = [problem for column in schema.columns for problem in _emptied(x[column.name], column)]
        report.extend(found.findings)
    problems += _labels_against(raw, schema, data)
    if problems:
        raise _refusal(raw, problems)
    return raw, schema, x


def bind(contract: Schema, data: Data) -> Schema:
    """The contract with what the settings say about reading a table."""
    ids = data.id_columns or contract.id_columns
    named = (*ids, data.time_column, data.weight_column, *data.exclude, contract.target)
    return msgspec.structs.replace(
        contract,
        id_columns=ids,
        time_column=data.time_column,
        weight_column=data.weight_column,
        ignored=tuple(dict.fromkeys(name for name in (*contract.ignored, *named) if name)),
        missing_markers=data.missing_markers,
        decimal=data.decimal or contract.decimal,
        thousands=data.thousands,
        max_bad_share=data.max_bad_share,
    )


def _with_date_order(raw: Table, contract: Schema, data: Data) -> Schema:
    """The contract with its dates in the order that this table shows, or in its own where it does not."""
    order = date_order.settled(raw, (name for name in contract.dates if name in raw.columns), data).dates
    if not order:
        return contract
    columns = [msgspec.structs.replace(c, date_order=order) if c.kind == "date" else c for c in contract.columns]
    return msgspec.structs.replace(contract, columns=tuple(columns))


def _settings_against(contract: Schema, data: Data, names: Iterable[object]) -> list[Text]:
    """Settings that say another thing than the contract: a person's wish, so it is asked about."""
    problems: list[Text] = []
    if data.target != contract.target:
        problems.append(message("data.other_target", got=data.target, expected=contract.target))
        if data.target not in (there := [str(name) for name in names]):
            problems.append(message("data.no_target", target=data.target, hint=suggestion(data.target, there)))
    positive = data.positive_label.strip().casefold()
    if positive and positive not in (contract.positive_label.casefold(), f"{contract.positive_label}.0".casefold()):
        other = message("data.positive_not_set", got=data.positive_label)
        if contract.positive_label:
            other = message("data.other_positive", got=data.positive_label, expected=contract.positive_label)
        problems.append(other)
    uses = {"id_columns": data.id_columns, "exclude": data.exclude}
    uses |= {"time_column": (data.time_column,), "weight_column": (data.weight_column,)}
    inputs = {column.name: column.kind for column in contract.columns}
    for setting, names in uses.items():
        problems += [message("data.names_an_input", column=name, setting=setting) for name in names if name in inputs]
    for name, kind in data.kinds.items():
        if inputs.get(name, kind) != kind:
            problems.append(message("data.other_kind", column=name, got=kind, expected=inputs[name]))
    return problems


def _absent(raw: Table, schema: Schema) -> list[Text]:
    names = [column.name for column in schema.columns if column.name not in raw.columns]
    if not names:
        return []
    known = {"columns": listing(names, len(names)), "suggestion": suggestion(names[0], raw.columns)}
    return [message("data.lacks", **known)]


def _column_against(raw: Table, column: Column, schema: Schema) -> list[Text]:
    """What is wrong with one input column that is there, or nothing."""
    if column.name not in raw.columns:
        return []
    try:
        found, _ = canonical(raw[[column.name]], msgspec.structs.replace(schema, columns=(column,)))
    except SchemaError as error:
        return [error.explanation]
    return _emptied(found[column.name], column)


def _emptied(values: pd.Series, column: Column) -> list[Text]:
    """A column that has lost most of its values since the champion's table comes from a broken feed."""
    missing = float((values.isna() if column.kind != "category" else values == "").mean())
    if missing <= column.missing_share + _BROKEN_RISE:
        return []
    return [message("data.emptied", column=column.name, now=missing, before=column.missing_share)]


def _labels_against(raw: Table, schema: Schema, data: Data) -> list[Text]:
    try:
        labels.codes(raw, schema, Report(), tolerate=data.min_class_rows - 1)
    except DataError as error:
        return [error.explanation]
    return []


def _refusal(raw: Table, problems: list[Text]) -> SchemaError:
    return SchemaError(message("data.against_contract", problems=problems), file=raw.attrs.get("file"))
