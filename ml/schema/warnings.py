"""Row warnings, what is unusual about a row that is scored all the same: a new category, a number out of range."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import numpy as np

from ml.messages import Message, message
from ml.schema.cells import FLOAT32_LIMIT, shortest
from ml.schema.schema import Column
from ml.schema.validation_errors import shown


class RowWarning(msgspec.Struct, frozen=True, gc=False):
    """A warning: one unusual value that was scored all the same.

    `code` is "unseen_category", "out_of_range" or "not_a_number". A table may have millions: the
    sentence is made when it is read.
    """

    column: str
    code: str
    value: float | str
    low: float = 0.0  # of a number out of range: what training had
    high: float = 0.0

    @property
    def message(self) -> Message:
        """The sentence."""
        return _message(self)

    def to_dict(self) -> dict[str, str]:
        """As answers have it, in English."""
        return {"column": self.column, "code": self.code, "message": self.message.text}


@functools.lru_cache(maxsize=8_192)  # the log and the answer both read it
def _message(warning: RowWarning) -> Message:
    match warning.code:
        case "out_of_range":
            low, high = shortest(warning.low), shortest(warning.high)
            return message("rows.out_of_range", value=_as_sent(warning.value), low=low, high=high)
        case "unseen_category":
            return message("rows.unseen", value=warning.value)
        case _:
            return message("rows.not_a_number", value=warning.value)


def _as_sent(value: Any) -> Any:
    """A number that came as a float32 with the digits of one; a double as it is."""
    is_float32 = abs(value) <= FLOAT32_LIMIT and not float(value).is_integer() and float(np.float32(value)) == value
    return shortest(value) if is_float32 else value


RowWarnings = dict[int, list[RowWarning]]  # row number → its warnings


def out_of_range(column: Column, value: float) -> RowWarning:
    """A number that no training row had reached."""
    low = -FLOAT32_LIMIT if column.minimum is None else column.minimum
    high = FLOAT32_LIMIT if column.maximum is None else column.maximum
    return RowWarning(column.name, "out_of_range", value, low, high)


def unseen(column: Column, value: object) -> RowWarning:
    """A level that no training row had."""
    return RowWarning(column.name, "unseen_category", shown(value))


def word(column: str, value: object) -> RowWarning:
    """A word in a number column, where a table has few of them."""
    return RowWarning(column, "not_a_number", shown(value))


def packed(warnings: RowWarnings, n: int) -> tuple[tuple[RowWarning, ...], ...]:
    """One tuple a row of `n`; nothing where no row is unusual."""
    if not warnings:
        return ()
    rows: list[tuple[RowWarning, ...]] = [()] * n
    for i, found in warnings.items():
        rows[i] = tuple(found)
    return tuple(rows)
