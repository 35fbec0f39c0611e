"""The CSV reader: bounded memory, exact line numbers, Arrow's speed.

Light (numpy and pyarrow): the service reads uploads with it in chunks, training reads its files. A block is cut at the
end of a record and read by Arrow. Arrow refuses records of another width, and takes two things in silence that are
errors here: a quote that is never closed, and text behind a closing quote. So the signs beside each quote are looked
at, with array operations. What Arrow or that look refuses, `ml.data.sources.csv_diagnosis` reads or says what is wrong
with it.
Source: RFC 4180.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from ml.data.sources import csv_diagnosis, csv_header, decompress
from ml.errors import DataError
from ml.messages import message
from ml.schema.findings import Report

_LF, _CR, _QUOTE = 10, 13, 34
Positions = NDArray[np.int64]


class Options(NamedTuple):
    """How to read, and where to stop. Sizes in bytes of unpacked UTF-8.

    `numbers` are columns that come as float64, null for one of `missing_markers`, in every chunk in which all their
    cells are numbers with the mark `decimal`, or markers; the others come as text. A file without rows is an error
    unless it `may_be_empty`: then it is one chunk without rows.
    """

    delimiter: str = ""
    encoding: str = ""
    max_bytes: int = 2_000_000_000
    max_columns: int = 2_000
    max_cell_chars: int = 100_000
    block_bytes: int = 4_000_000
    numbers: frozenset[str] = frozenset()
    decimal: str = "."
    missing_markers: tuple[str, ...] = ("",)
    use_threads: bool = True
    may_be_empty: bool = False


class Records(NamedTuple):
    """Where the whole records of a block are.

    `starts`, `ends`: (n,) byte positions in `block`, without line ends; `lines`: (n,) lines of the block before each;
    `line_count` lines are used up, and all bytes of `block`.
    """

    block: bytes
    starts: Positions
    ends: Positions
    lines: Positions
    line_count: int


class Chunk(NamedTuple):
    """Some rows: text cells as they stand, and (n_rows,) the line in the file where each begins.

    `records` says where each stands in the file's own bytes; None where Arrow could not read them.
    """

    table: pa.Table
    lines: Positions
    records: Records | None = None


class CsvReader:
    """Iterate over the chunks of one CSV stream; `names` and `report` are there from the start.

    Parameters
    ----------
    stream
        Read from where it stands; need not be seekable.
    name
        File name: its ending says how the content is packed, and messages begin with it.
    options
        Dialect and limits.

    >>> import io
    >>> reader = CsvReader(io.BytesIO(b"a;b\\n1;x\\n2;y\\n"), "t.csv")
    >>> [(chunk.table.to_pydict(), chunk.lines.tolist()) for chunk in reader]
    [({'a': ['1', '2'], 'b': ['x', 'y']}, [2, 3])]
    """

    def __init__(self, stream: BinaryIO, name: str, options: Options = Options()):  # noqa: B008 (immutable)
        self._file = name
        self._options = options
        self.report = Report()
        self._text = decompress.open_text(
            stream, name, encoding=options.encoding, max_bytes=options.max_bytes, decimal=options.decimal
        )
        first = self._text.read(options.block_bytes)
        while first and not any(end in first for end in (b"\n", b"\r")) and len(first) < 8 * options.block_bytes:
            more = self._text.read(options.block_bytes)
            if not more:
                break
            first += more
        self._check_text(first, 1)
        if self._text.sheets > 1:
            self.report.info(message("findings.sheet", sheet=self._text.sheet, n=self._text.sheets))
        delimiter = "," if self._text.sheets else options.delimiter
        self.head = csv_header.read_head(
            first, name, delimiter=delimiter, max_columns=options.max_columns, report=self.report
        )
        self._dialect = csv_diagnosis.Dialect(name, self.head.delimiter, self.head.names, options.max_cell_chars)
        self._carry = first[self.head.size :]
        self._lines = self.head.lines
        self._kept = [position for position, column in enumerate(self.head.names) if column]
        self.names = tuple(self.head.names[position] for position in self._kept)
        unnamed = len(self.head.names) - len(self.names)
        if unnamed:
            several = message("findings.unnamed_columns", n=unnamed)
            self.report.warn(several if unnamed > 1 else message("findings.unnamed_column"))

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks of at least one row each.

        Raises
        ------
        DataError
            The first thing that is wrong, with its line; also when there is not one row, unless that may be.
        """
        rows = 0
        for chunk in self._chunks():
            rows += len(chunk.lines)
            yield chunk
        if not rows and self._options.may_be_empty:
            yield Chunk(self._from_rows([]), np.empty(0, np.int64))
        elif not rows:
            raise DataError(message("files.header_no_rows"), file=self._file)

    def _chunks(self) -> Iterator[Chunk]:
        block, self._carry = self._carry, b""
        # One more read than blocks: only an empty read tells that the block before was the last.
        following = self._text.read(self._options.block_bytes)
        while block or following:
            final = not following
            self._check_text(block, self._lines + 1, final=final)
            chunk, size, line_count = self._read_block(block, final)
            if not size and len(block) > 16 * self._options.block_bytes:
                raise DataError(message("files.record_without_end"), file=self._file, line=self._lines + 1)
            if len(chunk.lines):
                yield chunk
            if final:
                return
            self._lines += line_count
            block = block[size:] + following
            following = self._text.read(self._options.block_bytes)

    def _check_text(self, block: bytes, first_line: int, *, final: bool = False) -> None:
        """NUL bytes and bytes that are no UTF-8, by line. All but the last block may end inside a character."""
        nul = block.find(b"\0")
        if nul >= 0:
            line = first_line + block.count(b"\n", 0, nul)
            raise DataError(message("files.nul_byte"), file=self._file, line=line)
        if block.isascii():
            return
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            if not final and len(block) - error.start < 4 and error.reason == "unexpected end of data":
                return
            line = first_line + block.count(b"\n", 0, error.start)
            raise DataError(
                message("files.no_utf8", byte=f"0x{block[error.start]:02x}"), file=self._file, line=line
            ) from error

    def _read_block(self, block: bytes, final: bool) -> tuple[Chunk, int, int]:
        """The block's whole records, and how many bytes and lines they take."""
        records = find_records(block, ord(self.head.delimiter), final=final)
        if records is not None:
            table = self._by_arrow(records) if len(records.starts) else self._from_rows([])
            if table is not None:
                lines = self._lines + 1 + records.lines
                return Chunk(table, lines, records), len(records.block), records.line_count
        rows, starts, size, line_count = csv_diagnosis.read_block(
            block, self._dialect, first_line=self._lines + 1, final=final
        )
        return Chunk(self._from_rows(rows), np.array(starts, np.int64)), size, line_count

    def _by_arrow(self, records: Records) -> pa.Table | None:
        """The records as a table, or None where something is wrong with one of them or unusual about it."""
        if self._has_header(records):
            return None
        table = self._convert(records.block, self._options.numbers)
        if table is None and self._options.numbers:
            table = self._convert(records.block, frozenset())
        if table is None or table.num_rows != len(records.starts):
            return None
        limit = self._options.max_cell_chars
        if int((records.ends - records.starts).max()) > limit and any(_longest(c) > limit for c in table.columns):
            return None
        return table

    def _convert(self, block: bytes, numbers: frozenset[str]) -> pa.Table | None:
        names = [str(position) for position in range(len(self.head.names))]
        kinds = [pa.float64() if name in numbers else pa.string() for name in self.head.names]
        quoted = b'"' in block
        try:
            table = pacsv.read_csv(
                pa.BufferReader(block),
                pacsv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=self._options.use_threads),
                pacsv.ParseOptions(
                    delimiter=self.head.delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
                ),
                pacsv.ConvertOptions(
                    column_types=dict(zip(names, kinds, strict=True)),
                    include_columns=[names[position] for position in self._kept],
                    null_values=sorted({"", *self._options.missing_markers}),
                    strings_can_be_null=False,
                    check_utf8=False,  # the block is UTF-8
                    decimal_point=self._options.decimal,
                ),
            )
        except pa.ArrowInvalid:
            return None
        return table.rename_columns(list(self.names))

    def _has_header(self, records: Records) -> bool:
        """Whether the header comes again."""
        raw, block = self.head.raw, records.block
        if raw not in block:
            return False
        alike = records.starts[records.ends - records.starts == len(raw)]
        return any(block.startswith(raw, start) for start in alike.tolist())

    def _from_rows(self, rows: list[list[str]]) -> pa.Table:
        columns = list(zip(*rows, strict=True)) or [()] * len(self.head.names)
        arrays = [pa.array(columns[position], pa.string()) for position in self._kept]
        return pa.table(arrays, names=list(self.names))


def _longest(column: pa.ChunkedArray) -> int:
    """Bytes of the longest cell of a text column."""
    return pc.max(pc.binary_length(column)).as_py() or 0 if pa.types.is_string(column.type) else 0


def find_records(block: bytes, delimiter: int, *, final: bool) -> Records | None:
    """The records that end in this block, which begins at the start of one.

    None where a quote stands inside of an unquoted field, text behind a closing one, or the last is not closed.

    Parameters
    ----------
    block
        UTF-8.
    delimiter
        The character's code.
    final
        Whether the file ends here, so that the last record needs no line end.

    >>> found = find_records(b'a,b\\n\\n"c\\n",d\\ne', ord(","), final=False)
    >>> len(found.block), found.starts.tolist(), found.ends.tolist(), found.lines.tolist(), found.line_count
    (12, [0, 5], [3, 11], [0, 2], 4)
    """
    data = np.frombuffer(block, np.uint8)
    every = ends = _line_ends(block, data, final)
    if b'"' in block:
        quotes = np.flatnonzero(data == _QUOTE)
        if not _are_usual(data, quotes, delimiter, final):
            return None
        ends = every[np.searchsorted(quotes, every) % 2 == 0]
    size = int(ends[-1]) + 1 if len(ends) else 0
    all_end_records = len(ends) == len(every)
    line_count = len(ends) if all_end_records else int(np.searchsorted(every, size))
    if final and size < len(block):
        ends = np.append(ends, len(block))
        size = len(block)
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    lines = np.arange(len(starts)) if all_end_records else np.searchsorted(every, starts)
    if b"\r" in block:
        ends = ends - ((ends > starts) & (data[np.maximum(ends - 1, 0)] == _CR))
    full = ends > starts
    if not full.all():
        starts, ends, lines = starts[full], ends[full], lines[full]
    return Records(block[:size], starts, ends, lines, line_count)


def _line_ends(block: bytes, data: NDArray[np.uint8], final: bool) -> Positions:
    """Line feeds, and carriage returns that no line feed follows."""
    feeds = np.flatnonzero(data == _LF)
    if b"\r" not in block:
        return feeds
    returns = np.flatnonzero(data == _CR)
    if not final and returns[-1] == len(data) - 1:
        returns = returns[:-1]  # its line feed may be in the next block
    follower = data[np.minimum(returns + 1, len(data) - 1)]
    lone = returns[(follower != _LF) | (returns == len(data) - 1)]
    return np.sort(np.concatenate([feeds, lone])) if len(lone) else feeds


def _are_usual(data: NDArray[np.uint8], quotes: Positions, delimiter: int, final: bool) -> bool:
    """Whether quotes stand where RFC 4180 has them: at both ends of a field, and doubled inside of one."""
    beside = np.zeros(256, bool)
    beside[[delimiter, _LF, _CR, _QUOTE]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    opens = beside[data[np.maximum(opening - 1, 0)]] | (opening == 0)
    closes = beside[data[np.minimum(closing + 1, len(data) - 1)]] | (closing == len(data) - 1)
    return bool(opens.all() and closes.all()) and not (final and len(quotes) % 2)
