"""Row warnings, what is unusual about a row that is scored all the same: a new category, a number out of range."""

from __future__ import annotations

import functools

import msgspec

from ml.messages import Message, message
from ml.schema.cells import FLOAT32_LIMIT
from ml.schema.schema import Column
from ml.schema.validation_errors import shown


class Flag(msgspec.Struct, frozen=True, gc=False):
    """One unusual value that was scored all the same: `code` is "unseen_category", "out_of_range" or "not_a_number".

    A table may have millions: its sentence is made when it is read.
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
def _message(flag: Flag) -> Message:
    match flag.code:
        case "out_of_range":
            return message("rows.out_of_range", value=flag.value, low=flag.low, high=flag.high)
        case "unseen_category":
            return message("rows.unseen", value=flag.value)
        case _:
            return message("rows.not_a_number", value=flag.value)


Flags = dict[int, list[Flag]]  # row number → its flags


def out_of_range(column: Column, value: float) -> Flag:
    """A number that no training row had reached."""
    low = -FLOAT32_LIMIT if column.minimum is None else column.minimum
    high = FLOAT32_LIMIT if column.maximum is None else column.maximum
    return Flag(column.name, "out_of_range", value, low, high)


def unseen(column: Column, value: object) -> Flag:
    """A level that no training row had."""
    return Flag(column.name, "unseen_category", shown(value))


def word(column: str, value: object) -> Flag:
    """A word in a number column, where a table has few of them."""
    return Flag(column, "not_a_number", shown(value))


def packed(flags: Flags, n: int) -> tuple[tuple[Flag, ...], ...]:
    """One tuple a row of `n`; nothing where no row is unusual."""
    if not flags:
        return ()
    rows: list[tuple[Flag, ...]] = [()] * n
    for i, found in flags.items():
        rows[i] = tuple(found)
    return tuple(rows)
