"""The structure of a block of CSV, checked with array operations: quotes, fields a record, lines.

A strict reader must look at every byte, and doing that in Python takes seconds where Arrow takes
milliseconds. Here the positions of quotes, delimiters and line ends are found in bulk; what lies
inside quotes is told from the number of quotes before it. Source: RFC 4180.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.errors import DataError

_LF, _CR, _QUOTE = 10, 13, 34
Positions = NDArray[np.int64]


class Records(NamedTuple):
    """The whole records of a block.

    `starts`, `ends`: (n,) byte positions, without line ends; `lines`: (n,) lines before each in the
    block; `fields`: (n,) counts; `size` bytes and `line_count` lines are used up.
    """

    starts: Positions
    ends: Positions
    lines: Positions
    fields: Positions
    size: int
    line_count: int


class UnusualQuotes(Exception):
    """Raised when a quote stands where RFC 4180 has none: only a slow reader can tell what is meant."""


def find_records(block: bytes, delimiter: int, *, final: bool) -> Records:
    """Records that end in this block, which begins at the start of one.

    Raises
    ------
    UnusualQuotes
        A quote inside an unquoted field, text after a closing quote, or no closing quote at the end.
    """
    data = np.frombuffer(block, np.uint8)
    line_ends = _line_ends(data, final)
    separators = np.flatnonzero(data == delimiter)
    all_lines = line_ends
    if b'"' in block:
        quotes = np.flatnonzero(data == _QUOTE)
        _check_quotes(data, quotes, delimiter, final)
        line_ends = line_ends[np.searchsorted(quotes, line_ends) % 2 == 0]
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    size = int(line_ends[-1]) + 1 if len(line_ends) else 0
    if final and size < len(block):
        line_ends = np.append(line_ends, len(block))
        size = len(block)
    starts = np.concatenate([[0], line_ends[:-1] + 1]).astype(np.int64)[: len(line_ends)]
    ends = line_ends.copy()
    carriage = (ends > starts) & (data[np.maximum(ends - 1, 0)] == _CR)
    ends[carriage] -= 1
    fields = np.diff(np.searchsorted(separators, line_ends), prepend=0) + 1
    lines = np.searchsorted(all_lines, starts)
    full = ends > starts
    line_count = int(np.searchsorted(all_lines, size))
    return Records(starts[full], ends[full], lines[full], fields[full], size, line_count)


def _line_ends(data: NDArray[np.uint8], final: bool) -> Positions:
    """Line feeds, and carriage returns that no line feed follows."""
    returns = np.flatnonzero(data == _CR)
    feeds = np.flatnonzero(data == _LF)
    if not len(returns):
        return feeds
    if not final and returns[-1] == len(data) - 1:
        returns = returns[:-1]  # its line feed may be in the next block
    follower = data[np.minimum(returns + 1, len(data) - 1)]
    lone = returns[(follower != _LF) | (returns == len(data) - 1)]
    return np.sort(np.concatenate([feeds, lone])) if len(lone) else feeds


def _check_quotes(data: NDArray[np.uint8], quotes: Positions, delimiter: int, final: bool) -> None:
    opening, closing = quotes[0::2], quotes[1::2]
    before = data[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | np.isin(before, (delimiter, _LF, _CR, _QUOTE))
    after = data[np.minimum(closing + 1, len(data) - 1)]
    closes = (closing == len(data) - 1) | np.isin(after, (delimiter, _LF, _CR, _QUOTE))
    if not (opens.all() and closes.all()) or (final and len(quotes) % 2):
        raise UnusualQuotes


def check_cells(
    block: bytes, records: Records, delimiter: int, names: tuple[str, ...], limit: int, where: tuple[str, int]
) -> None:
    """Refuse a cell of more than `limit` bytes; looked for only where a record is that long."""
    long = np.flatnonzero(records.ends - records.starts > limit)
    for record in long[:1000]:
        content = block[records.starts[record] : records.ends[record]]
        for column, cell in enumerate(_split(content, delimiter)):
            if len(cell) > limit:
                file, first_line = where
                raise DataError(
                    f"a cell of {len(cell):,} bytes is over the limit of {limit:,} (data.max_cell_chars)",
                    file=file,
                    line=first_line + int(records.lines[record]),
                    column=names[column] if column < len(names) else None,
                )


def _split(content: bytes, delimiter: int) -> list[bytes]:
    """Fields of one record, quotes kept."""
    pieces = content.split(bytes([delimiter]))
    fields: list[bytes] = []
    for piece in pieces:
        if fields and fields[-1].count(b'"') % 2:
            fields[-1] += bytes([delimiter]) + piece
        else:
            fields.append(piece)
    return fields
