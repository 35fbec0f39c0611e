"""Rows as the model takes them: validated against a schema, with what is unusual about each one flagged.

Light on purpose (NumPy and msgspec only): a service worker imports it. A value that cannot be what its
column is (a word in a number column) is an error that names row and column, unless few of the cells are words: then it
is missing, as in training, and flagged. A value that can be, but was not seen in training (a new category, a number
outside of the range), is kept and flagged.
"""

from __future__ import annotations

import difflib
import heapq
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.messages import Message, message
from ml.schema.cells import (
    FLOAT32_LIMIT,
    days,
    edge,
    is_written_number,
    level,
    missing_numbers,
    number,
    spelled,
    without_unit,
)
from ml.schema.schema import Column, Schema, identity
from ml.schema.validation_errors import MAX_ERRORS, RowsError, ValidationError, Words, kind_of, shown
from ml.schema.warnings import RowWarning, RowWarnings, out_of_range, packed, unseen, word

Floats = npt.NDArray[np.float32]
Texts = npt.NDArray[np.object_]

MAX_NAME_CHARS = 1_000  # of a column that near matches are looked for
EXPECTED = {  # by kind of column
    "number": "rows.number_or_missing",
    "category": "rows.category_or_missing",
    "date": "rows.date_or_missing",
}


class Rows(msgspec.Struct, frozen=True, gc=False):
    """Canonical rows.

    `numbers` is (n, K) float32, NaN for missing; `categories` is (n, M) object holding str, "" for missing;
    `warnings` has one tuple a row; empty when no row is unusual. `who` has the `identity` of each row, or is empty
    where no id came.
    """

    numbers: Floats
    categories: Texts
    warnings: tuple[tuple[RowWarning, ...], ...] = ()
    who: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def warnings_of(self, row: int) -> tuple[RowWarning, ...]:
        """Flags of one row."""
        return self.warnings[row] if self.warnings else ()

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop` (exclusive), sharing memory with these."""
        return Rows(
            self.numbers[start:stop], self.categories[start:stop], self.warnings[start:stop], self.who[start:stop]
        )


class RowReader:
    """Reads rows of one schema. Build once, use for every request.

    Parameters
    ----------
    schema
        What a row is.

    Example
    -------
    >>> from ml.schema.schema import Column, Schema
    >>> schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=(
    ...     Column(name="age", kind="number", minimum=0.0, maximum=90.0),
    ...     Column(name="plan", kind="category", categories=("free", "paid"))))
    >>> rows = RowReader(schema).records([{"age": 200, "plan": None}])
    >>> rows.numbers.tolist(), rows.categories.tolist(), rows.warnings[0][0].code
    ([[200.0]], [['']], 'out_of_range')
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        self.number_columns = tuple(c for c in schema.columns if c.kind != "category")
        self.category_columns = tuple(c for c in schema.columns if c.kind == "category")
        # A date after all of training is what comes, and nothing unusual.
        ranges = [(None, None) if c.kind == "date" else (c.minimum, c.maximum) for c in self.number_columns]
        self.minimum = np.array([edge(_or(low, -FLOAT32_LIMIT), -np.inf) for low, _ in ranges])
        self.maximum = np.array([edge(_or(high, FLOAT32_LIMIT), np.inf) for _, high in ranges])
        self._is_date = np.array([c.kind == "date" for c in self.number_columns], bool)
        self._low, self._high = self.minimum.tolist(), self.maximum.tolist()
        self.markers = frozenset(map(spelled, schema.missing_markers)) | {""}
        self.missing_numbers = sorted(missing_numbers(self.markers))
        self.levels = [_levels(c, schema) for c in self.category_columns]
        self._names = frozenset(c.name for c in schema.columns)
        self._known = self._names | frozenset(schema.ignored)

    def records(self, records: Sequence[Mapping[str, Any]]) -> Rows:
        """Rows from dictionaries of JSON values, by the rules of `ml.schema.cells`.

        None is a missing value, an absent column is an error, and `schema.ignored` columns are passed over.

        Raises
        ------
        RowsError
            Naming row and column, for anything that does not fit.
        """
        errors: list[ValidationError] = []
        words: list[tuple[ValidationError, Any]] = []
        numbers = np.full((len(records), len(self.number_columns)), np.nan)
        texts = np.full((len(records), len(self.category_columns)), "", object)
        for i, record in enumerate(records):
            self._record(i, record, numbers[i], texts[i], errors, words)
            if len(errors) > MAX_ERRORS:
                break
        if errors:
            raise RowsError(errors + [error for error, _ in words])
        return self.arrays(numbers, texts, self._few(words, numbers) if words else None)

    def _few(self, found: list[tuple[ValidationError, Any]], numbers: npt.NDArray[np.float64]) -> RowWarnings:
        """Flags of the words in number columns; RowsError where they are more than a few."""
        words, warnings = Words(self.schema.max_bad_share), RowWarnings()
        for column, present in zip(self.number_columns, (~np.isnan(numbers)).sum(axis=0).tolist(), strict=True):
            words.add(column.name, present, 0, [], refused=False)
        for error, value in found:
            kind = self.schema.column(str(error.column)).kind
            refused = not isinstance(value, str) or is_written_number(value, kind)
            words.add(str(error.column), 0, 1, [error], refused=refused)
            warnings.setdefault(error.row or 0, []).append(word(str(error.column), value))
        words.check()
        return warnings

    def arrays(
        self,
        numbers: npt.NDArray[np.float64],
        texts: Texts,
        warnings: RowWarnings | None = None,
        *,
        only_numbers: bool = False,
    ) -> Rows:
        """Canonical rows from (n, K) float64 and (n, M) JSON values, flagged; `texts` is changed in place.

        Infinity is missing, as it was in training; beyond float32's range is the end of that range. `warnings` are
        those that the reading of the cells has given.

        Parameters
        ----------
        numbers
            (n, K) in the order of `number_columns`; NaN for missing.
        only_numbers
            Leave the texts as they are.
        """
        warnings = {} if warnings is None else warnings
        if self.missing_numbers:
            numbers = np.where(np.isin(numbers, self.missing_numbers) & ~self._is_date, np.nan, numbers)
        if self.number_columns and len(numbers):
            unusual = np.logical_or(numbers < self.minimum, numbers > self.maximum)
            if np.count_nonzero(unusual):
                numbers = self._bounded(numbers, unusual, warnings)
        for j, levels in enumerate(self.levels if not only_numbers else ()):
            column = texts[:, j]
            known = list(map(levels.get, column.tolist()))
            if None not in known:
                texts[:, j] = known
                continue
            for i, value in enumerate(column):
                known_as = levels.get(value)
                if known_as is None:
                    known_as, warning = _unlisted(value, levels, self.category_columns[j])
                    if warning is not None:
                        warnings.setdefault(i, []).append(warning)
                if known_as is not value:
                    column[i] = known_as
        return Rows(numbers.astype(np.float32, "C"), texts, packed(warnings, len(numbers)))

    def identified(self, rows: Rows, columns: Mapping[str, Sequence[Any]]) -> Rows:
        """The rows with who they are about, where `columns` (name → one cell a row) has every id column."""
        names = self.schema.id_columns
        if not names or any(name not in columns for name in names):
            return rows
        cells = zip(*(columns[name] for name in names), strict=True)
        return msgspec.structs.replace(rows, who=tuple(identity(level(cell) or "" for cell in row) for row in cells))

    def row(self, numbers: Sequence[Any], texts: Sequence[Any]) -> Rows:
        """As `arrays`, for one row of floats or None, and JSON values: without arrays where nothing is unusual."""
        try:
            usual = not (
                any(map(operator.lt, numbers, self._low))
                or any(map(operator.gt, numbers, self._high))
                or self.missing_numbers
            )
        except TypeError:  # a None
            usual = False
        levels = [known.get(text) for known, text in zip(self.levels, texts, strict=True)]
        if usual and None not in levels:
            canonical = np.empty((1, len(levels)), object)
            canonical[0] = levels
            return Rows(np.array([numbers], np.float32), canonical)
        given = np.empty((1, len(texts)), object)
        given[0] = texts
        return self.arrays(np.array([numbers], np.float64), given)

    def encoded(
        self,
        numbers: npt.NDArray[np.float64],
        texts: Sequence[tuple[Sequence[str | None], npt.NDArray[np.int64]]],
        warnings: RowWarnings | None = None,
    ) -> Rows:
        """As `arrays`, with each category column as its distinct values and (n,) indices into them: for many rows.

        Parameters
        ----------
        texts
            For each category column (its distinct values, (n,) indices into them).
        """
        warnings = {} if warnings is None else warnings
        rows = self.arrays(numbers, np.empty((len(numbers), 0), object), warnings, only_numbers=True)
        canonical = np.empty((len(numbers), len(self.category_columns)), object)
        for j, ((distinct, index), column) in enumerate(zip(texts, self.category_columns, strict=True)):
            values = np.empty(len(distinct), object)
            for code, value in enumerate(distinct):
                known_as = self.levels[j].get(value)
                if known_as is None:
                    known_as, warning = _unlisted(value, self.levels[j], column)
                    if warning is not None:
                        for i in np.flatnonzero(index == code).tolist():
                            warnings.setdefault(i, []).append(warning)
                values[code] = known_as
            canonical[:, j] = values[index]
        return Rows(rows.numbers, canonical, packed(warnings, len(numbers)))

    def number(self, value: object, column: Column) -> float | None:
        """What a cell of a number or date column says: NaN for missing, None for what is none."""
        if column.kind == "date":
            return days(value, self.markers, column.date_order)
        if column.unit and isinstance(value, str):
            value = without_unit(spelled(value), column.unit)
        return number(value, self.markers, self.schema.decimal, self.schema.thousands)

    def name_errors(self, names: Iterable[str], row: int | None = None) -> list[ValidationError]:
        """What is wrong with a set of column names: absent and unknown ones, the latter with near matches.

        Of unknown ones MAX_ERRORS are named, and the others only counted: a request may have a hundred thousand.
        """
        given = set(names)
        errors = [
            ValidationError(row, c.name, message(EXPECTED[c.kind]), message("rows.no_such_column"))
            for c in self.schema.columns
            if c.name not in given
        ]
        others, expected, unknown = given - self._known, message("rows.model_column"), message("rows.unknown_column")
        shown_ones = heapq.nsmallest(MAX_ERRORS, others, key=str)
        errors += [ValidationError(row, str(name), self._near(str(name)) or expected, unknown) for name in shown_ones]
        return errors + [ValidationError(row, None, expected, unknown)] * (len(others) - len(shown_ones))

    def _near(self, name: str) -> Message | None:
        if len(name) > MAX_NAME_CHARS:
            return None
        near = difflib.get_close_matches(name, self._names, n=3)
        return message("rows.model_column_near", columns=[f"'{shown(one)}'" for one in near]) if near else None

    def _bounded(
        self, numbers: npt.NDArray[np.float64], unusual: npt.NDArray[np.bool_], warnings: RowWarnings
    ) -> npt.NDArray[np.float64]:
        numbers = numbers.copy()
        infinite = np.isinf(numbers)
        numbers[infinite] = np.nan
        at, which = np.nonzero(unusual & ~infinite)
        for i, j, value in zip(at.tolist(), which.tolist(), numbers[at, which].tolist(), strict=True):
            warnings.setdefault(i, []).append(out_of_range(self.number_columns[j], value))
        return np.clip(numbers, -FLOAT32_LIMIT, FLOAT32_LIMIT)

    def _record(
        self,
        i: int,
        record: object,
        numbers: npt.NDArray[Any],
        texts: Texts,
        errors: list[ValidationError],
        words: list[tuple[ValidationError, Any]],
    ) -> None:
        if not isinstance(record, Mapping):
            errors.append(ValidationError(i, None, message("rows.object"), kind_of(record)))
            return
        if not (record.keys() >= self._names and record.keys() <= self._known):
            errors.extend(self.name_errors(record, i))
        for j, column in enumerate(self.number_columns):
            value = record.get(column.name)
            parsed = self.number(value, column)
            if parsed is None or (isinstance(value, int | float) and (math.isinf(parsed) or value != value)):
                expected = message("rows.date" if column.kind == "date" else "rows.finite_number")
                words.append((ValidationError(i, column.name, expected, kind_of(value)), value))
            else:
                numbers[j] = parsed
        for j, column in enumerate(self.category_columns):
            value = record.get(column.name)
            text = level(value)
            if text is None:
                errors.append(ValidationError(i, column.name, message("rows.text"), kind_of(value)))
            else:
                texts[j] = text


def _levels(column: Column, schema: Schema) -> dict[Any, str]:
    """Text as it comes → canonical text, for every known level and every way to say "missing"."""
    levels: dict[Any, str] = dict.fromkeys(("", *(level(marker) for marker in schema.missing_markers)), "")
    levels[None] = ""
    levels.update((level(written), written) for written in column.categories)
    levels.update((written, written) for written in column.categories)
    return levels


def _unlisted(value: Any, levels: Mapping[Any, str], column: Column) -> tuple[str, RowWarning | None]:
    """Canonical text of what is no level as it stands: the level that it spells, else what it says itself."""
    text = level(value) or ""
    if (known := levels.get(text)) is not None:
        return known, None
    return text, unseen(column, text)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
