"""The whole lines of a block of plain CSV: how many bytes they take, and how they are written back with more columns.

Plain is what Arrow reads as `ml.data.sources.csv_reader.CsvReader` does: quotes only where RFC 4180 has them,
lines that end in LF or in CR LF, no NUL.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.data.sources import csv_blocks

_COMMA, _LF, _CR = b",\n\r"


class NotPlain(Exception):
    """Raised when only the careful reader can tell what is meant."""


class Lines(NamedTuple):
    """Lines as Arrow may read them; `size` bytes are used up.

    `starts` and `ends`: (n,) positions in `block`, without line ends; `quoted`: there may be line ends in cells.
    """

    block: bytes
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    size: int
    quoted: bool

    def __len__(self) -> int:
        return len(self.starts)

    def with_commas(self) -> pa.Array:
        """(n,) strings: each line with a comma in place of its end, so that cells can be put behind it."""
        content = np.frombuffer(self.block, np.uint8)[self.starts[0] : self.ends[-1] + 1].copy()
        content[self.ends - self.starts[0]] = _COMMA
        sizes = self.ends + 1 - self.starts
        if len(content) > sizes.sum():  # line ends of two bytes, or empty lines: what lies between goes
            kept = np.ones(len(content), bool)
            between = np.flatnonzero(self.starts[1:] > self.ends[:-1] + 1)
            for more in range(int((self.starts[between + 1] - self.ends[between] - 1).max())):
                kept[np.minimum(self.ends[between] + 1 + more, self.starts[between + 1] - 1) - self.starts[0]] = False
            content = content[kept]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(offsets), pa.py_buffer(content))


def find(block: bytes, delimiter: int, *, final: bool) -> Lines:
    """The lines that end in `block`, which begins with one; of the last block also the one without an end.

    Raises
    ------
    NotPlain
        See the module; also for an empty line.
    """
    if b"\0" in block:
        raise NotPlain
    if b'"' in block:
        return _quoted(block, delimiter, final)
    size = len(block) if final else block.rfind(b"\n") + 1
    content = block[:size]
    if content and not content.endswith(b"\n"):
        content += b"\n"
    data = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(data == _LF)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
    if b"\r" in content:
        if np.count_nonzero(data == _CR) != len(ends) or (data[ends - 1] != _CR).any():
            raise NotPlain
        ends = ends - 1
    if (starts == ends).any():
        raise NotPlain
    return Lines(content, starts, ends, size, quoted=False)


def _quoted(block: bytes, delimiter: int, final: bool) -> Lines:
    if final and not block.endswith(b"\n"):
        block += b"\n"
    try:
        records = csv_blocks.find_records(block, delimiter, final=final)
    except csv_blocks.UnusualQuotes as error:
        raise NotPlain from error
    content = block[: records.size]
    if content.count(b"\r") != content.count(b"\r\n"):
        raise NotPlain
    return Lines(content, records.starts, records.ends, records.size, quoted=True)
