"""The result of a file as a list to work through: the likeliest positive label first, room for the truth."""

from __future__ import annotations

import csv
import io
import mmap
import os
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.schema.cells import shortest
from serving.api.feedback import TRUTH
from serving.pages.i18n import formats
from serving.scoring.file_writers import (
    ACTION,
    LABEL,
    POSITIVE,
    WARNINGS,
    Csv,
    answer_columns,
    answer_names,
    as_csv,
    with_answer,
)
from serving.scoring.json_rows import ID_KEY
from serving.scoring.score import Scored
from serving.scoring.upload import Dialect, Part, Upload

SHOWN_ROWS = 200  # of an uploaded table
SHOWN_COLUMNS = 30  # of an uploaded table
BLOCK_BYTES = 8_000_000  # of a file that is looked at, at once
BLOCK_ROWS = 10_000  # that are put in order at once


class WorkList(Csv):
    """Writes all rows, counts the classes and what the probabilities promise, and keeps for the page what comes first.

    It is written as the upload was, with its delimiter and decimal mark: what opens the one opens the other.
    Columns: ids, the positive label's probability, label, `true_label` (empty, unless it came), then what was sent and
    the rest of the answer. `close` puts the rows in order, if there is a positive label.

    Parameters
    ----------
    out, path
        The result, open for writing, and where it lies.
    upload
        What is scored.

    Attributes
    ----------
    numbers
        The columns of the result that the model reads as numbers, as bits: 1 is the first, 4 the third.
    """

    def __init__(self, out: BinaryIO, path: Path, upload: Upload):
        super().__init__(out, upload)
        self.path = path
        self.counts: Counter[str] = Counter()
        self.expected: dict[str, float] = {}
        self.flagged = 0
        self.head: list[str] = []
        self.answers: dict[str, str] = {}
        self.ordered = False
        self.numbers = 0
        self._width = 0
        self._best: list[tuple[float, int, list[str]]] = []
        self._keys: list[npt.NDArray[np.float32]] = []

    @property
    def dialect(self) -> Dialect:
        """How it is written."""
        return self._upload.dialect

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the rows that are shown, the likeliest first."""
        return [cells for _, _, cells in self._best]

    @property
    def width(self) -> int:
        """How many columns the result has."""
        return self._width

    def add(self, part: Part, scored: Scored) -> None:
        """Append the rows of `part`, and first of all the header."""
        table, self.answers = _arranged(part.table, scored)
        delimiter, decimal, bom, _ = self.dialect
        self._begin(table.column_names, delimiter, bom=bom)
        self.out.write(as_csv(table, frozenset(scored.schema.numbers), delimiter=delimiter, decimal=decimal))
        self._width = table.num_columns
        plain = frozenset(scored.schema.plain_numbers)
        self.numbers = sum(1 << j for j, name in enumerate(table.column_names) if name in plain)
        self.counts.update(scored.labels)
        for name, share in zip(scored.schema.classes, scored.probabilities.sum(axis=0), strict=True):
            self.expected[name] = self.expected.get(name, 0.0) + float(share)
        self.flagged += sum(bool(warnings) for warnings in scored.rows.warnings)
        self._keep(table, scored)

    def _keep(self, table: pa.Table, scored: Scored) -> None:
        keys = np.zeros(len(scored), np.float32)
        if scored.positive is not None:
            keys = scored.probabilities[:, scored.positive]
        begun = sum(map(len, self._keys))
        self._keys.append(keys)
        self.ordered = scored.positive is not None
        best = np.argsort(-keys, kind="stable")[:SHOWN_ROWS]
        self.head = [name for name in table.column_names if self._is_shown(name)][:SHOWN_COLUMNS]
        columns = [[_cell(value) for value in _values(table[name].take(best))] for name in self.head]
        cells = map(list, zip(*columns, strict=True))
        self._best += [(-float(keys[i]), begun + i, row) for i, row in zip(best.tolist(), cells, strict=True)]
        self._best = sorted(self._best)[:SHOWN_ROWS]

    def _is_shown(self, name: str) -> bool:
        """Whether a column is on the page: what was sent, and of the answer no figure that another one implies."""
        kind = self.answers.get(name)
        if kind is None:
            return not name.endswith((ID_KEY, TRUTH))
        if POSITIVE in self.answers.values():
            return kind in (LABEL, POSITIVE, ACTION)
        return kind not in (ID_KEY, WARNINGS)

    def close(self, summary: dict[str, Any]) -> None:
        """Put the rows in order; on a full disk they stay in the order that they came in (`ordered` says it)."""
        self.out.truncate(self.out.tell())  # the rest of what was reserved
        self.out.flush()
        if self.ordered and self._keys:
            try:
                order_rows(self.path, np.concatenate(self._keys))
            except OSError:
                self.ordered = False


def _arranged(given: pa.Table, scored: Scored) -> tuple[pa.Table, dict[str, str]]:
    """What came and the answer, in the order that people work in; and what each column of the answer is."""
    answers = answer_names(scored, given.column_names)
    added = answer_columns(scored, given.column_names)
    if TRUTH not in given.column_names:
        given = given.append_column(TRUTH, pa.repeat(pa.scalar("", pa.string()), len(scored)))
    whole = with_answer(given, added)
    first = [name for name in scored.schema.id_columns if name in given.column_names]
    first += [name for kind in (POSITIVE, LABEL) for name, its in answers.items() if its == kind]
    first.append(TRUTH)
    return whole.select([*first, *(name for name in whole.column_names if name not in first)]), answers


def order_rows(path: Path, keys: npt.NDArray[np.float32]) -> None:
    """Put the rows of a CSV behind its header in order: largest key first, of equals the first.

    Parameters
    ----------
    keys
        (n_rows,)

    Raises
    ------
    OSError
        The disk has no room for a second copy: the file is as it was.
    """
    new = path.with_suffix(".new")
    try:
        with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
            ends = _record_ends(content)
            order = np.argsort(-keys, kind="stable")
            with new.open("xb") as out:
                out.write(content[: ends[0]])
                for begin in range(0, len(order), BLOCK_ROWS):
                    some = order[begin : begin + BLOCK_ROWS]
                    places = zip(ends[some].tolist(), ends[some + 1].tolist(), strict=True)
                    out.write(b"".join([content[start:end] for start, end in places]))
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _record_ends(content: mmap.mmap) -> npt.NDArray[np.int64]:
    """(n_rows + 1,) where the header and each row end: at line ends that are not within quotes."""
    ends, quotes = [], 0
    for start in range(0, len(content), BLOCK_BYTES):
        block = np.frombuffer(content[start : start + BLOCK_BYTES], np.uint8)
        marks = np.flatnonzero((block == ord("\n")) | (block == ord('"')))
        is_quote = block[marks] == ord('"')
        within = (quotes + np.cumsum(is_quote)) % 2 == 1
        ends.append(start + marks[~is_quote & ~within] + 1)
        quotes += int(is_quote.sum())
    return np.concatenate(ends)


def cells(path: Path, dialect: Dialect) -> int:
    """How many cells a result has, those of the header too."""
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        ends = _record_ends(content)
        text = io.StringIO(content[: ends[0]].decode("utf-8-sig"), newline="")
        header = next(csv.reader(text, delimiter=dialect.delimiter))
        return len(ends) * len(header)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Floats of 32 bits with the digits that were written."""
    values: list[Any] = column.to_pylist()
    if column.type != pa.float32():
        return values
    return [None if value is None else shortest(value) for value in values]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return formats.localised(f"{value:.12g}")
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
