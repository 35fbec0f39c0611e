"""The form of one row: its fields, made from the schema, and what is typed in them as a row."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from flask import request
from flask_babel import get_locale, gettext

from ml.messages import Message, message
from ml.schema.cells import days, iso, number, shortest
from ml.schema.schema import Column, Schema
from ml.schema.validation_errors import RowsError, ValidationError, shown
from serving.model.store import Served
from serving.pages.i18n import formats

_READERS_ORDER = {"vi": "day-first"}
# Marks of decimals and between thousands, wherever people are from.
_ELSEWHERE = ((".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
MOST_FIELDS, FIRST_FIELDS = 24, 12  # columns up to which a form shows all, and what it shows of more


class Field(msgspec.Struct, kw_only=True):
    """One input of the form. `key` is the position, never the column's name, which may be anything; `label` is the
    name without what all columns share."""

    key: str
    id: str
    name: str
    label: str = ""
    value: str
    hint: str
    number: bool
    kind: str = "text"  # of an <input>
    options: list[tuple[str, str]] = []
    wrong: bool = False


def fields(served: Served, texts: list[str], wrong: Collection[str] = ()) -> dict[str, Any]:
    """The inputs: of many columns those that matter most and those that are wrong, and the others one click away.

    Parameters
    ----------
    texts
        What stands in the inputs, a column each.
    wrong
        Names of the columns whose text was refused.
    """
    columns, importance = served.bundle.schema.columns, served.bundle.metrics.get("importance") or {}
    inputs = [_field(i, column, texts[i], column.name in wrong) for i, column in enumerate(columns)]
    short = formats.short_names([column.name for column in columns])
    inputs = [msgspec.structs.replace(field, label=short[field.name]) for field in inputs]
    shared = formats.shared_start([column.name for column in columns])
    if len(inputs) <= MOST_FIELDS:
        return {"fields": inputs, "more": [], "shared": shared}
    ranked = sorted(inputs, key=lambda field: (not field.wrong, -importance.get(field.name, 0.0)))
    first = {field.key for field in ranked[:FIRST_FIELDS] if not field.wrong} | {f.key for f in inputs if f.wrong}
    return {
        "fields": [field for field in ranked if field.key in first],
        "more": [field for field in inputs if field.key not in first],
        "by_importance": bool(importance),
        "shared": shared,
    }


def texts_of(schema: Schema) -> list[str]:
    """What stands in each field: what was sent, nothing, or the example."""
    if request.method == "POST":
        return [request.form.get(f"c{i}", "") for i in range(len(schema.columns))]
    if "empty" in request.args:
        return ["" for _ in schema.columns]
    return [example(column) for column in schema.columns]


def example(column: Column) -> str:
    """A usual value, with the signs of the reader's language."""
    return "" if column.example is None else shown_value(column.example)


def _field(index: int, column: Column, text: str, wrong: bool) -> Field:
    field = Field(
        key=f"c{index}", id=f"field-{index}", name=column.name, value=text, wrong=wrong, hint="", number=False
    )
    if column.kind == "date":
        field.kind = "date" if column.integer else "datetime-local"
        field.value = _as_iso(text, column)
        field.hint = gettext("%(low)s to %(high)s", low=_day(column.minimum), high=_day(column.maximum))
    elif column.kind == "number":
        field.number = True
        field.hint = gettext(
            "%(low)s to %(high)s", low=formats.typed(column.minimum), high=formats.typed(column.maximum)
        )
    else:
        known = [(level, level) for level in column.categories]
        if text and text not in column.categories:
            known.insert(0, (text, text))
        field.options = [("", gettext("(missing)")), *known]
        field.hint = gettext("%(n)s known values", n=len(column.categories))
    return field


def _as_iso(text: str, column: Column) -> str:
    """A date as the browser's field has it; what is typed with the day first (or the tables' way) is read so."""
    order = (
        column.date_order
        if column.date_order in ("day-first", "month-first")
        else _READERS_ORDER.get(str(get_locale()))
    )
    found = days(text, order=order or "")
    return text if found is None or found != found else iso(found)


def _day(found: float | None) -> str:
    """A date for reading, in the reader's language."""
    return "–" if found is None else formats.day(found)


def record(schema: Schema, texts: list[str]) -> dict[str, Any]:
    """The form as a row of JSON values.

    Raises
    ------
    RowsError
        A number that may be read in two ways, or that is written as other languages do.
    """
    record: dict[str, Any] = {}
    errors = []
    for column, text in zip(schema.columns, texts, strict=True):
        if column.kind == "date":
            record[column.name] = _as_iso(text, column) or None
            continue
        if column.kind != "number":
            record[column.name] = text or None
            continue
        own = _own_texts(column)
        found: list[Any] = [own[text]] if text in own else _readings(text, schema)
        expected = _rewritten(text, found)
        if expected is not None:
            errors.append(ValidationError(0, column.name, expected, f"'{shown(text)}'"))
        record[column.name] = found[0] if found else text
    if errors:
        raise RowsError(errors)
    return record


def _rewritten(text: str, found: list[Any]) -> Message | None:
    """How to write a number that reads in two ways, or in none but with the marks of another language."""
    if len(found) > 1:
        return message("rows.one_reading", ways=[shown_value(value) for value in found])
    ways = _finite(text, _ELSEWHERE) if not found else []
    return message("rows.written_here", ways=[formats.typed(value) for value in ways]) if ways else None


def _own_texts(column: Column) -> dict[str, Any]:
    """What the form itself prints of a column, and what it stands for: no mark in it is in doubt."""
    bounds = {formats.typed(bound): bound for bound in (column.minimum, column.maximum) if bound is not None}
    return bounds | {example(column): column.example, plain(column.example): column.example}


def _readings(text: str, schema: Schema) -> list[Any]:
    """The numbers that a text may stand for: as the form shows it, as the reader's language or the tables write it.

    None: the reader of rows says what is wrong with the text, with the column's name.
    """
    point, comma = (".", ""), (",", "")  # marks of decimals and between thousands
    if text.strip().lstrip("+-").startswith("0"):  # no mark between thousands stands behind a zero
        ways = [point, comma]
    elif formats.localised(".") == ",":
        ways = [point, comma, (",", ".")]
    else:
        ways = [point, (".", ","), comma]
    own = (schema.decimal, schema.thousands)
    return _finite(text, (own, *ways))


def _finite(text: str, ways: Iterable[tuple[str, str]]) -> list[Any]:
    """The numbers that a text is with these marks of decimals and between thousands."""
    read = [number(text, decimal=decimal, thousands=thousands) for decimal, thousands in ways]
    return list(dict.fromkeys(value for value in read if value is not None and math.isfinite(value)))


def plain(value: float | str | None) -> str:
    """A value as Python writes it, with the fewest digits; "" for none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{shortest(value):.9g}"


def shown_value(value: float | str) -> str:
    """A value for reading, and in a field of the form."""
    return value if isinstance(value, str) else formats.localised(plain(value))


def day_of(text: Any) -> Any:
    """A date in ISO 8601, for reading."""
    found = days(text)
    return text if found is None or found != found else formats.day(found)
