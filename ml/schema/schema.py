"""What a row is: named, typed columns, the classes, and the limits that a model was trained within.

Light on purpose: training and the service share it, so nothing here imports pandas.

The canonical form of a row, everywhere (training, bundle, service, log):
number columns are float32 with NaN for missing; category columns are text with "" for missing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ml.schema.findings import Finding, Report

__all__ = ["Column", "Finding", "Kind", "Report", "Schema"]

Kind = Literal["number", "category"]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input column.

    `minimum` and `maximum` are the range seen in training (numbers); `categories` the levels seen
    (categories, commonest first); `missing_share` in [0, 1]; `example` is a typical value.
    """

    name: str
    kind: Kind
    integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    missing_share: float = 0.0
    example: float | str | None = None


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
        """Names of the number columns, in the order of the `numbers` input of model.onnx."""
        return tuple(c.name for c in self.columns if c.kind == "number")

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the category columns, in the order of the `categories` input of model.onnx."""
        return tuple(c.name for c in self.columns if c.kind == "category")

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
