"""Row warnings, what is unusual about a row that is scored all the same: a new category, a number out of range."""

from __future__ import annotations

from typing import NamedTuple

from ml.schema.schema import Column
from ml.schema.validation import shown


class Flag(NamedTuple):
    """One unusual value that was scored all the same: `code` is "unseen_category", "out_of_range" or "not_a_number"."""

    column: str
    code: str
    message: str


Flags = dict[int, list[Flag]]  # row number → its flags


def out_of_range(column: Column, value: float) -> Flag:
    """A number that no training row had reached."""
    low, high = (f"{bound:.9g}" if bound is not None else "…" for bound in (column.minimum, column.maximum))
    return Flag(column.name, "out_of_range", f"{value:.9g} is outside of {low} to {high}, the range in training")


def unseen(column: Column, value: object) -> Flag:
    """A level that no training row had."""
    return Flag(column.name, "unseen_category", f"'{shown(value)}' was not seen in training")


def word(column: str, value: object) -> Flag:
    """A word in a number column, where a table has few of them."""
    return Flag(column, "not_a_number", f"'{shown(value)}' is no number: taken as missing")


def packed(flags: Flags, n: int) -> tuple[tuple[Flag, ...], ...]:
    """One tuple a row of `n`; nothing where no row is unusual."""
    if not flags:
        return ()
    rows: list[tuple[Flag, ...]] = [()] * n
    for i, found in flags.items():
        rows[i] = tuple(found)
    return tuple(rows)
