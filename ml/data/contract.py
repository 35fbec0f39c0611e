"""The model's contract: what a later table must be, whatever file or query it comes from.

Columns, kinds, classes with their order, the positive label and the target are the champion's until a person says
`data.schema = "infer"`. How a table is read (ids, time, weights, markers, decimal marks) is of the settings.
"""

from __future__ import annotations

import msgspec
import pandas as pd

from ml.data.inference import labels
from ml.errors import DataError, SchemaError
from ml.schema.coerce import listing, suggestion
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.schema.frames import check_names
from ml.schema.schema import Column, Schema
from ml.settings import Data

_BROKEN_RISE = 0.5  # as drift.broken_missing: our choice
ANEW = (
    "Repair the table or the settings; or, where the change is meant, let columns, classes and positive label be found "
    'anew: data.schema = "infer" (--schema infer, or the field in Airflow\'s form)'
)


def fit(raw: pd.DataFrame, contract: Schema, data: Data, report: Report) -> tuple[pd.DataFrame, Schema, pd.DataFrame]:
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
    problems = _settings_against(contract, data)
    if problems:
        raise _refusal(raw, problems)
    raw = check_names(raw, data)
    schema = bind(contract, data)
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
        decimal=data.decimal,
        thousands=data.thousands,
        max_bad_share=data.max_bad_share,
    )


def _settings_against(contract: Schema, data: Data) -> list[str]:
    """Settings that say another thing than the contract: a person's wish, so it is asked about."""
    problems = []
    if data.target != contract.target:
        problems.append(f"data.target is '{data.target}', and the champion predicts '{contract.target}'")
    positive = data.positive_label.strip().casefold()
    if positive and positive not in (contract.positive_label.casefold(), f"{contract.positive_label}.0".casefold()):
        known = f"'{contract.positive_label}'" if contract.positive_label else "not set"
        problems.append(f"data.positive_label is '{data.positive_label}', and the champion's is {known}")
    uses = {"id_columns": data.id_columns, "exclude": data.exclude}
    uses |= {"time_column": (data.time_column,), "weight_column": (data.weight_column,)}
    inputs = {column.name: column.kind for column in contract.columns}
    for setting, names in uses.items():
        problems += [
            f"column '{n}': data.{setting} names it, and the champion learns from it" for n in names if n in inputs
        ]
    for name, kind in data.kinds.items():
        if inputs.get(name, kind) != kind:
            problems.append(f"column '{name}': data.kinds says {kind}, and the champion takes a {inputs[name]}")
    return problems


def _absent(raw: pd.DataFrame, schema: Schema) -> list[str]:
    names = [column.name for column in schema.columns if column.name not in raw.columns]
    return [f"the table lacks {listing(names, len(names))}; {suggestion(names[0], raw.columns)}"] if names else []


def _column_against(raw: pd.DataFrame, column: Column, schema: Schema) -> list[str]:
    """What is wrong with one input column that is there, or nothing."""
    if column.name not in raw.columns:
        return []
    try:
        found, _ = canonical(raw[[column.name]], msgspec.structs.replace(schema, columns=(column,)))
    except SchemaError as error:
        return [str(error)]
    return _emptied(found[column.name], column)


def _emptied(values: pd.Series, column: Column) -> list[str]:
    """A column that has lost most of its values since the champion's table comes from a broken feed."""
    missing = float((values.isna() if column.kind == "number" else values == "").mean())
    if missing <= column.missing_share + _BROKEN_RISE:
        return []
    return [
        f"column '{column.name}': {missing:.0%} of the rows have no value, {column.missing_share:.0%} had none in "
        "the champion's table"
    ]


def _labels_against(raw: pd.DataFrame, schema: Schema, data: Data) -> list[str]:
    try:
        labels.codes(raw, schema, Report(), tolerate=data.min_class_rows - 1)
    except DataError as error:
        return [str(error)]
    return []


def _refusal(raw: pd.DataFrame, problems: list[str]) -> SchemaError:
    listed = "".join(f"\n- {problem}" for problem in problems)
    return SchemaError(f"the table does not fit the champion's contract:{listed}\n{ANEW}", file=raw.attrs.get("file"))
