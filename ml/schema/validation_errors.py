"""Validation errors: what is wrong with rows, by place, in words that are fit to be shown.

Light: the service and the reader of rows share it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ml.errors import SchemaError
from ml.messages import Message, Text, code_of, message

MAX_ERRORS = 20  # our choice: enough to mend a file in one go, small enough to read
_SHOWN_CHARS = 80  # of a value in a message


class ValidationError(NamedTuple):
    """One validation error: where, what was expected, what it was.

    `row` counts from 0 in a request; `line` counts from 1 in a file.
    """

    row: int | None
    column: str | None
    expected: Text
    got: Text
    line: int | None = None

    @property
    def message(self) -> Message:
        """The whole of it, by code."""
        place = [
            *([message("files.line", n=self.line)] if self.line is not None else []),
            *([f"rows[{self.row}]"] if self.row is not None else []),
            *([message("files.column", name=shown(self.column))] if self.column is not None else []),
        ]
        what = message("rows.expected", expected=self.expected, got=self.got)
        return message("files.at", place=place, what=what) if place else what

    def __str__(self) -> str:
        return self.message.text

    def to_dict(self) -> dict[str, Any]:
        """As problem+json has it: what is there, in English, and the codes of what was expected and what came."""
        codes = {"expected_code": code_of(self.expected), "got_code": code_of(self.got)}
        plain = self._asdict() | {"expected": str(self.expected), "got": str(self.got)}
        there = {name: value for name, value in plain.items() if value is not None}  # an empty text came, and is told
        return there | {name: code for name, code in codes.items() if code}


class RowsError(SchemaError):
    """Raised when rows do not fit the schema; `errors` has up to MAX_ERRORS of what is wrong.

    Parameters
    ----------
    few
        Where a larger table could hold the words that this one cannot: how many of how many cells of a column are
        such, and the share that may be.
    """

    def __init__(self, errors: Sequence[ValidationError], *, few: tuple[int, int, float] | None = None):
        first = errors[0].message
        told = message("rows.more", error=first, more=len(errors) - 1) if len(errors) > 1 else first
        if few is not None:
            told = message("rows.too_many_words", error=told, words=few[0], cells=few[1], share=few[2])
        super().__init__(told)
        self.code = "rows.do_not_fit" if few is None else "rows.too_many_words"
        self.errors = tuple(errors[:MAX_ERRORS])
        self.column = errors[0].column


class Words:
    """Words in the number columns of one table, which may come in parts: a few are missing values, more are refused.

    A few are up to `share` of a column's cells that say something.
    """

    def __init__(self, share: float):
        self._share = share
        self._numbers: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._errors: dict[str, list[ValidationError]] = defaultdict(list)
        self._refused: dict[str, list[ValidationError]] = defaultdict(list)

    def add(self, column: str, numbers: int, words: int, errors: Sequence[ValidationError], *, refused: bool) -> None:
        """Count a part's cells. `errors` are its first words; those that are `refused` may not even be few.

        Parameters
        ----------
        numbers, words
            How many cells of this part are numbers, and how many are words.
        """
        self._numbers[column] += numbers
        self._words[column] += words
        seen = (self._refused if refused else self._errors)[column]
        seen += errors[: MAX_ERRORS - len(seen)]

    def check(self) -> None:
        """Raise RowsError, by place, where a column has more words than a few, or one that is refused."""
        errors: list[ValidationError] = []
        few = []
        for column, words in self._words.items():
            cells = words + self._numbers[column]
            if self._refused[column]:
                errors += self._refused[column]
            elif words > self._share * cells:
                errors += self._errors[column]
                few.append((words, cells, self._share))
        if errors:
            larger = self._share > 0 and not any(self._refused.values()) and few[0][1] > 1
            errors.sort(key=lambda error: (error.line or 0, error.row or 0))
            raise RowsError(errors, few=few[0] if larger else None)


def shown(value: object) -> str:
    """A value for a message: printable, on one line, cut to a readable length."""
    text = str(value)
    if len(text) > _SHOWN_CHARS:
        text = text[: _SHOWN_CHARS - 1] + "…"
    return printable(text)


def printable(text: str) -> str:
    """A text on one line: a blank of another kind is a blank, what cannot be printed is shown as such."""
    return "".join(
        char if char.isprintable() else " " if unicodedata.category(char) == "Zs" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def kind_of(value: object) -> Message:
    """What came: its JSON kind and its text."""
    match value:
        case bool() | np.bool_():
            return message("rows.the_boolean", value=str(bool(value)).lower())
        case str():
            return message("rows.the_text", value=shown(value))
        case int() if abs(value) > 1 << 1024:
            return message("rows.too_large")
        case int() | float() | np.number():
            return message("rows.the_number", value=shown(value))
        case dict():
            return message("rows.an_object")
        case list():
            return message("rows.a_list")
        case None:
            return message("rows.null")
        case _:
            return message("rows.of_type", type=type(value).__name__)
