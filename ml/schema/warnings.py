"""Row warnings, what is unusual about a row that is scored all the same: a new category, a number out of range."""

from __future__ import annotations

from typing import NamedTuple

from ml.messages import Message, message
from ml.schema.cells import FLOAT32_LIMIT
from ml.schema.schema import Column
from ml.schema.validation_errors import shown


class Flag(NamedTuple):
    """One unusual value that was scored all the same: `code` is "unseen_category", "out_of_range" or "not_a_number"."""

    column: str
    code: str
    message: Message

    def to_dict(self) -> dict[str, str]:
        """As answers have it, in English."""
        return {"column": self.column, "code": self.code, "message": self.message.text}


Flags = dict[int, list[Flag]]  # row number → its flags


def out_of_range(column: Column, value: float) -> Flag:
    """A number that no training row had reached."""
    low = -FLOAT32_LIMIT if column.minimum is None else column.minimum
    high = FLOAT32_LIMIT if column.maximum is None else column.maximum
    return Flag(column.name, "out_of_range", message("rows.out_of_range", value=value, low=low, high=high))


def unseen(column: Column, value: object) -> Flag:
    """A level that no training row had."""
    return Flag(column.name, "unseen_category", message("rows.unseen", value=shown(value)))


def word(column: str, value: object) -> Flag:
    """A word in a number column, where a table has few of them."""
    return Flag(column, "not_a_number", message("rows.not_a_number", value=shown(value)))


def packed(flags: Flags, n: int) -> tuple[tuple[Flag, ...], ...]:
    """One tuple a row of `n`; nothing where no row is unusual."""
    if not flags:
        return ()
    rows: list[tuple[Flag, ...]] = [()] * n
    for i, found in flags.items():
        rows[i] = tuple(found)
    return tuple(rows)
