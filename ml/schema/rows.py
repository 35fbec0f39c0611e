"""Rows as the model takes them: validated against a schema, with what is unusual about each one flagged.

Light on purpose (NumPy and msgspec only): a service worker imports it. A value that cannot be what its
column is (a word in a number column) is an error that names row and column. A value that can be, but
was not seen in training (a new category, a number outside of the range), is kept and flagged.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.schema.cells import FLOAT32_LIMIT, as_level, as_number, edge
from ml.schema.schema import Column, Schema
from ml.schema.validation import MAX_FAULTS, Fault, RowsError, kind_of
from ml.schema.warnings import Flag, Flags, out_of_range, packed, unseen

Floats = npt.NDArray[np.float32]
Texts = npt.NDArray[np.object_]


class Rows(msgspec.Struct, frozen=True, gc=False):
    """Canonical rows.

    `numbers` is (n, K) float32, NaN for missing; `categories` is (n, M) object holding str, "" for missing;
    `flags` has one tuple a row, or is empty when no row is unusual.
    """

    numbers: Floats
    categories: Texts
    flags: tuple[tuple[Flag, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def flags_of(self, row: int) -> tuple[Flag, ...]:
        """Flags of one row."""
        return self.flags[row] if self.flags else ()

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop` (exclusive), sharing memory with these."""
        return Rows(self.numbers[start:stop], self.categories[start:stop], self.flags[start:stop])

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]], schema: Schema) -> Rows:
        """Rows from dictionaries. See `RowReader.records`."""
        return RowReader(schema).records(records)


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
    >>> rows.numbers.tolist(), rows.categories.tolist(), rows.flags[0][0].code
    ([[200.0]], [['']], 'out_of_range')
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        self.number_columns = tuple(c for c in schema.columns if c.kind == "number")
        self.category_columns = tuple(c for c in schema.columns if c.kind == "category")
        self.minimum = np.array([edge(_or(c.minimum, -FLOAT32_LIMIT), -np.inf) for c in self.number_columns])
        self.maximum = np.array([edge(_or(c.maximum, FLOAT32_LIMIT), np.inf) for c in self.number_columns])
        self._low, self._high = self.minimum.tolist(), self.maximum.tolist()
        self.levels = [_levels(c, schema) for c in self.category_columns]
        self._names = frozenset(c.name for c in schema.columns)
        self._known = self._names | frozenset(schema.ignored)

    def records(self, records: Sequence[Mapping[str, Any]]) -> Rows:
        """Rows from dictionaries of JSON values: a number column takes numbers, a category column text.

        None is a missing value, an absent column is an error, and `schema.ignored` columns are passed over.
        A whole number or a boolean is taken for a category whose levels it spells ("0", "1", "true").

        Raises
        ------
        RowsError
            Naming row and column, for anything that does not fit.
        """
        faults: list[Fault] = []
        numbers = np.full((len(records), len(self.number_columns)), np.nan)
        texts = np.full((len(records), len(self.category_columns)), "", object)
        for i, record in enumerate(records):
            self._record(i, record, numbers[i], texts[i], faults)
            if len(faults) > MAX_FAULTS:
                break
        if faults:
            raise RowsError(faults)
        return self.arrays(numbers, texts)

    def columns(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]], *, first_row: int = 0) -> Rows:
        """Rows from columns of equal length, with the rules of `records`; `first_row` is for messages."""
        faults = self.name_faults(columns)
        lengths = {len(values) for name, values in columns.items() if name in self._names}
        if len(lengths) > 1:
            faults.append(Fault(None, None, "columns of one length", f"lengths {sorted(lengths)}"))
        if faults:
            raise RowsError(faults)
        n = lengths.pop() if lengths else 0
        numbers = np.full((n, len(self.number_columns)), np.nan)
        texts = np.full((n, len(self.category_columns)), "", object)
        for j, column in enumerate(self.number_columns):
            _number_column(columns[column.name], column, numbers[:, j], first_row, faults)
        for j, column in enumerate(self.category_columns):
            _text_column(columns[column.name], column, self.levels[j], texts[:, j], first_row, faults)
        if faults:
            raise RowsError(faults)
        return self.arrays(numbers, texts)

    def arrays(self, numbers: npt.NDArray[np.float64], texts: Texts, *, only_numbers: bool = False) -> Rows:
        """Canonical rows from (n, K) float64 and (n, M) text or None, flagged; `texts` is changed in place.

        Infinity is missing, as it was in training; beyond float32's range is the end of that range.
        """
        flags: Flags = {}
        if self.number_columns and len(numbers):
            unusual = np.logical_or(numbers < self.minimum, numbers > self.maximum)
            if np.count_nonzero(unusual):
                numbers = self._bounded(numbers, unusual, flags)
        for j, levels in enumerate(self.levels if not only_numbers else ()):
            column = texts[:, j]
            known = list(map(levels.get, column.tolist()))
            if None not in known:
                texts[:, j] = known
                continue
            for i, value in enumerate(column):
                level = levels.get(value)
                if level is None:
                    level, flag = _unlisted(value, levels, self.category_columns[j])
                    if flag is not None:
                        flags.setdefault(i, []).append(flag)
                if level is not value:
                    column[i] = level
        return Rows(numbers.astype(np.float32, "C"), texts, packed(flags, len(numbers)))

    def row(self, numbers: Sequence[Any], texts: Sequence[str | None]) -> Rows:
        """As `arrays`, for one row of floats or None, and texts: without arrays where nothing is unusual."""
        try:
            usual = not (any(map(operator.lt, numbers, self._low)) or any(map(operator.gt, numbers, self._high)))
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
        self, numbers: npt.NDArray[np.float64], texts: Sequence[tuple[Sequence[str | None], npt.NDArray[np.int64]]]
    ) -> Rows:
        """As `arrays`, with each category column as its distinct values and (n,) indices into them: for many rows."""
        rows = self.arrays(numbers, np.empty((len(numbers), 0), object), only_numbers=True)
        flags: Flags = {i: list(found) for i, found in enumerate(rows.flags) if found}
        canonical = np.empty((len(numbers), len(self.category_columns)), object)
        for j, ((distinct, index), column) in enumerate(zip(texts, self.category_columns, strict=True)):
            values = np.empty(len(distinct), object)
            for code, value in enumerate(distinct):
                level = self.levels[j].get(value)
                if level is None:
                    level, flag = _unlisted(value or "", self.levels[j], column)
                    if flag is not None:
                        for i in np.flatnonzero(index == code).tolist():
                            flags.setdefault(i, []).append(flag)
                values[code] = level
            canonical[:, j] = values[index]
        return Rows(rows.numbers, canonical, packed(flags, len(numbers)))

    def name_faults(self, names: Iterable[str], row: int | None = None) -> list[Fault]:
        """What is wrong with a set of column names: absent and unknown ones, the latter with near matches."""
        given = set(names)
        faults = [
            Fault(row, c.name, f"a {c.kind}, or null where it is missing", "no such column in the row")
            for c in self.schema.columns
            if c.name not in given
        ]
        for name in sorted(given - self._known, key=str):
            near = difflib.get_close_matches(str(name), self._names, n=3)
            hint = f"one of the model's columns (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            faults.append(Fault(row, str(name), hint or "one of the model's columns", "an unknown column"))
        return faults

    def _bounded(
        self, numbers: npt.NDArray[np.float64], unusual: npt.NDArray[np.bool_], flags: Flags
    ) -> npt.NDArray[np.float64]:
        numbers = numbers.copy()
        infinite = np.isinf(numbers)
        numbers[infinite] = np.nan
        for i, j in np.argwhere(unusual & ~infinite).tolist():
            flags.setdefault(i, []).append(out_of_range(self.number_columns[j], float(numbers[i, j])))
        return np.clip(numbers, -FLOAT32_LIMIT, FLOAT32_LIMIT)

    def _record(self, i: int, record: object, numbers: npt.NDArray[Any], texts: Texts, faults: list[Fault]) -> None:
        if not isinstance(record, Mapping):
            faults.append(Fault(i, None, "an object of column: value", kind_of(record)))
            return
        if not (record.keys() >= self._names and record.keys() <= self._known):
            faults.extend(self.name_faults(record, i))
        for j, column in enumerate(self.number_columns):
            value = record.get(column.name)
            if value is not None:
                number = as_number(value)
                if number is None:
                    faults.append(Fault(i, column.name, "a finite number or null", kind_of(value)))
                else:
                    numbers[j] = number
        for j, column in enumerate(self.category_columns):
            value = record.get(column.name)
            if value is not None:
                text = as_level(value, self.levels[j])
                if text is None:
                    faults.append(Fault(i, column.name, "a text or null", kind_of(value)))
                else:
                    texts[j] = text


def _number_column(
    values: Sequence[Any] | npt.NDArray[Any], column: Column, out: npt.NDArray[Any], first: int, faults: list[Fault]
) -> None:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        out[:] = values  # NaN is missing here: a typed array has no other way to say so
        return
    for i, value in enumerate(values):
        if value is None:
            continue
        number = as_number(value)
        if number is None and len(faults) <= MAX_FAULTS:
            faults.append(Fault(first + i, column.name, "a finite number or null", kind_of(value)))
        elif number is not None:
            out[i] = number


def _text_column(
    values: Sequence[Any] | npt.NDArray[Any],
    column: Column,
    levels: Mapping[Any, str],
    out: Texts,
    first: int,
    faults: list[Fault],
) -> None:
    for i, value in enumerate(values):
        if value is None or type(value) is str:
            out[i] = value
            continue
        text = as_level(value, levels)
        if text is None and len(faults) <= MAX_FAULTS:
            faults.append(Fault(first + i, column.name, "a text or null", kind_of(value)))
        out[i] = text


def _levels(column: Column, schema: Schema) -> dict[Any, str]:
    """Text as it comes → canonical text, for every known level and every way to say "missing"."""
    levels: dict[Any, str] = dict.fromkeys(("", *(marker.strip() for marker in schema.missing_markers)), "")
    levels[None] = ""
    levels.update((level, level) for level in column.categories)
    return levels


def _unlisted(value: str, levels: Mapping[Any, str], column: Column) -> tuple[str, Flag | None]:
    """Canonical text of what is no level as it stands: without white space around it, as in training."""
    text = value.strip()
    if (level := levels.get(text)) is not None:
        return level, None
    return text, unseen(column, text)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
