"""What a row is: named, typed columns, the classes, and the limits that a model was trained within.

Light on purpose: training and the service share it, so nothing here imports pandas.

The canonical form of a row, everywhere (training, bundle, service, log):
number columns are float32 with NaN for missing; category columns are text with "" for missing; dates are numbers, the
days since 2000-01-01 (UTC), which the model's graph makes weekdays, seasons and differences of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from ml.messages import Message, message
from ml.schema.findings import Finding, Report

__all__ = ["Column", "Finding", "Kind", "Report", "Schema", "contract_changes", "identity"]

# Names that are put beside a customer's own columns begin with this, and no table may bring such a name.
RESERVED = "__refit_"
PREDICTION_ID, ANSWERED, ROW_ID, QUESTION, LABEL_PROPENSITY = (
    f"{RESERVED}{name}" for name in ("prediction_id", "answered", "row_id", "question", "label_propensity")
)

Kind = Literal["number", "category", "date"]
# How a date is written where it is not ISO 8601; "days": as its canonical form has it.
DateOrder = Literal["", "day-first", "month-first", "days"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input column.

    `minimum` and `maximum` are the range seen in training (numbers; of dates in days); `categories` the levels seen
    (categories, commonest first); `missing_share` in [0, 1]; `example` is a typical value. `unit` stands behind each
    number of the column where it is text ("12 months"); `date_order` is how dates are written beside ISO 8601.
    """

    name: str
    kind: Kind
    integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    missing_share: float = 0.0
    example: float | str | None = None
    unit: str = ""
    date_order: DateOrder = ""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The input columns in their fixed order, and what is predicted.

    `classes` are the labels as text, in the order of the probability columns; `positive_label` is one
    of them for two classes and "" otherwise. `ignored` are columns that may come and are not used:
    ids, time, weight, excluded ones, and the target itself. `decimal` and `thousands` are how text
    cells of a file write numbers; up to `max_bad_share` of a file's cells may be words in a number column.
    """

    target: str
    classes: tuple[str, ...]
    positive_label: str
    columns: tuple[Column, ...]
    id_columns: tuple[str, ...] = ()
    time_column: str = ""
    weight_column: str = ""
    ignored: tuple[str, ...] = ()
    missing_markers: tuple[str, ...] = ("",)
    decimal: str = "."
    thousands: str = ""
    max_bad_share: float = 0.05

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the number and date columns, in the order of the `numbers` input of model.onnx."""
        return tuple(c.name for c in self.columns if c.kind != "category")

    @property
    def plain_numbers(self) -> tuple[str, ...]:
        """Names of the columns whose cells are nothing but numbers: no dates, and no unit behind them."""
        return tuple(c.name for c in self.columns if c.kind == "number" and not c.unit)

    @property
    def dates(self) -> tuple[str, ...]:
        """Names of the date columns."""
        return tuple(c.name for c in self.columns if c.kind == "date")

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the category columns, in the order of the `categories` input of model.onnx."""
        return tuple(c.name for c in self.columns if c.kind == "category")

    @property
    def contract_id(self) -> str:
        """Equal for schemas of one contract: target, classes in their order, positive label, names and kinds of inputs.

        The order of the inputs is no part of it: callers name them.
        """
        return _digest([self.target, self.classes, self.positive_label, self._inputs()])

    @property
    def question(self) -> str:
        """Equal for schemas that ask the same of the same columns, in whatever order their classes stand."""
        return _digest([self.target, sorted(self.classes), self._inputs()])

    @property
    def of_canonical_rows(self) -> Schema:
        """The schema for rows that are canonical already, kept or logged: nothing of them is read a second time."""
        columns = [msgspec.structs.replace(c, date_order="days") if c.kind == "date" else c for c in self.columns]
        return msgspec.structs.replace(self, columns=tuple(columns), missing_markers=("",), decimal=".", thousands="")

    def _inputs(self) -> list[tuple[str, Kind]]:
        return sorted((column.name, column.kind) for column in self.columns)

    def to_json(self) -> bytes:
        """The content of schema.json."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, text: bytes | str) -> Schema:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    def column(self, name: str) -> Column:
        """The input column of that name.

        Raises
        ------
        KeyError
            There is no such input column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def identity(cells: Iterable[str]) -> str:
    """Who a row is about, as a content hash of its id cells; "" where all are empty.

    >>> identity(["7590", "A"]) == identity(["7590", "A"]), identity(["", ""])
    (True, '')
    """
    text = "\x1f".join(cells)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] if text.strip("\x1f") else ""


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:16]


def contract_changes(old: Schema, new: Schema) -> list[Message]:
    """What clients of one model would feel of another; empty for two schemas of one contract.

    >>> one = Schema(target="y", classes=("0", "1"), positive_label="1", columns=(Column(name="a", kind="number"),))
    >>> two = msgspec.structs.replace(one, classes=("1", "0"), positive_label="0", columns=())
    >>> [change.text for change in contract_changes(one, two)]
    ['columns gone: a', "positive label '1' → '0'"]
    """
    before, after = ({column.name: column.kind for column in schema.columns} for schema in (old, new))
    kinds = [f"{name} ({kind} → {after[name]})" for name, kind in before.items() if after.get(name, kind) != kind]
    listed = {
        "gate.columns_gone": _lacking(tuple(before), tuple(after)),
        "gate.columns_new": _lacking(tuple(after), tuple(before)),
        "gate.columns_of_another_kind": _first(kinds),
        "gate.classes_gone": _lacking(old.classes, new.classes),
        "gate.classes_new": _lacking(new.classes, old.classes),
    }
    changes = [message(code, names=names) for code, names in listed.items() if names]
    if old.target != new.target:
        changes.insert(0, message("gate.another_target", old=old.target, new=new.target))
    if old.positive_label != new.positive_label:
        labels = {"old": old.positive_label, "new": new.positive_label}
        changes.append(message("gate.another_positive_label", **labels))
    elif set(old.classes) == set(new.classes) and old.classes != new.classes:
        orders = {"old": _first(old.classes), "new": _first(new.classes)}
        changes.append(message("gate.another_order_of_classes", **orders))
    return changes


def _lacking(names: Sequence[str], others: Sequence[str]) -> str:
    return _first([name for name in names if name not in set(others)])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
