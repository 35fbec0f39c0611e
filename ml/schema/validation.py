"""Validation errors: what is wrong with rows, by place, in words that are fit to be shown.

Light: the service and the reader of rows share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ml.errors import SchemaError

MAX_FAULTS = 20  # our choice: enough to mend a file in one go, small enough to read
_SHOWN_CHARS = 80


class Fault(NamedTuple):
    """One thing wrong with what came: where, what was expected, what it was.

    `row` counts from 0 in a request; `line` counts from 1 in a file.
    """

    row: int | None
    column: str | None
    expected: str
    got: str
    line: int | None = None

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (
                f"line {self.line}" if self.line is not None else "",
                f"rows[{self.row}]" if self.row is not None else "",
                f"column '{shown(self.column)}'" if self.column is not None else "",
            )
            if part
        )
        what = f"expected {self.expected}, got {self.got}"
        return f"{place}: {what}" if place else what


class RowsError(SchemaError):
    """Raised when rows do not fit the schema; `faults` has up to MAX_FAULTS of what is wrong."""

    def __init__(self, faults: Sequence[Fault]):
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}")
        self.faults = tuple(faults[:MAX_FAULTS])
        self.column = faults[0].column


def shown(value: object) -> str:
    """A value for a message: printable, on one line, cut to a readable length."""
    text = str(value)
    if len(text) > _SHOWN_CHARS:
        text = text[: _SHOWN_CHARS - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def kind_of(value: object) -> str:
    """What came, for a message: its JSON kind and its text."""
    if isinstance(value, bool | np.bool_):
        return f"the boolean {str(bool(value)).lower()}"
    if isinstance(value, str):
        return f"the text '{shown(value)}'"
    if isinstance(value, int) and abs(value) > 1 << 1024:
        return "a number too large for a double"
    if isinstance(value, int | float | np.number):
        return f"the number {shown(value)}"
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), f"a {type(value).__name__}")
