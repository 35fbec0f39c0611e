"""A strict CSV reader: bounded memory, exact line numbers, Arrow's speed.

Light (numpy and pyarrow): the service reads uploads with it in chunks, training reads its files.
What other readers pass over in silence is an error here: short rows, an unclosed quote, NUL bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from ml.data.sources import csv_blocks, csv_header, decompress
from ml.errors import DataError
from ml.schema.findings import Report

_SLOW_ROWS = 10_000


class Options(NamedTuple):
    """How to read, and where to stop. Sizes in bytes of unpacked UTF-8."""

    delimiter: str = ""
    encoding: str = ""
    max_bytes: int = 2_000_000_000
    max_columns: int = 2_000
    max_cell_chars: int = 100_000
    block_bytes: int = 4_000_000


class Chunk(NamedTuple):
    """Some rows: text cells as they stand, and (n_rows,) the line in the file where each begins."""

    table: pa.Table
    lines: NDArray[np.int64]


class CsvReader:
    """Iterate over the chunks of one CSV stream; `names` and `report` are there from the start.

    >>> reader = CsvReader(io.BytesIO(b"a;b\\n1;x\\n2;y\\n"), "t.csv")
    >>> [(chunk.table.to_pydict(), chunk.lines.tolist()) for chunk in reader]
    [({'a': ['1', '2'], 'b': ['x', 'y']}, [2, 3])]
    """

    def __init__(self, stream: BinaryIO, name: str, options: Options = Options()):  # noqa: B008 (immutable)
        self._file = name
        self._options = options
        self.report = Report()
        self._text = decompress.open_text(stream, name, encoding=options.encoding, max_bytes=options.max_bytes)
        first = self._text.read(options.block_bytes)
        while first and not any(end in first for end in (b"\n", b"\r")) and len(first) < 8 * options.block_bytes:
            more = self._text.read(options.block_bytes)
            if not more:
                break
            first += more
        self._check_text(first, 1)
        self._head = csv_header.read_head(
            first, name, delimiter=options.delimiter, max_columns=options.max_columns, report=self.report
        )
        self._carry = first[self._head.size :]
        self._lines = self._head.lines
        self._kept = [position for position, column in enumerate(self._head.names) if column]
        self.names = tuple(self._head.names[position] for position in self._kept)
        unnamed = len(self._head.names) - len(self.names)
        if unnamed:
            self.report.warn(f"{unnamed} column{'s' if unnamed > 1 else ''} without a name: ignored")

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks of at least one row.

        Raises
        ------
        DataError
            The first thing that is wrong, with its line; also when there is not one row.
        """
        rows = 0
        for chunk in self._chunks():
            rows += len(chunk.lines)
            yield chunk
        if not rows:
            raise DataError("the file has a header but no rows", file=self._file)

    def _chunks(self) -> Iterator[Chunk]:
        block, delimiter = self._carry, ord(self._head.delimiter)
        self._carry = b""
        # One more read than blocks: only an empty read tells that the block before was the last.
        following = self._text.read(self._options.block_bytes)
        while block or following:
            final = not following
            self._check_text(block, self._lines + 1, final=final)
            try:
                records = csv_blocks.find_records(block, delimiter, final=final)
            except csv_blocks.UnusualQuotes:
                yield from self._slow(block + following)
                return
            if not records.size and not final:
                if len(block) > 16 * self._options.block_bytes:
                    raise DataError(
                        "no end of this record in sight: is a quote not closed?", file=self._file, line=self._lines + 1
                    )
                block, following = block + following, self._text.read(self._options.block_bytes)
                continue
            if len(records.starts):
                yield self._parse(block[: records.size], records)
            self._lines += records.line_count
            block = block[records.size :] + following
            following = self._text.read(self._options.block_bytes) if not final else b""
            if final:
                return

    def _check_text(self, block: bytes, first_line: int, *, final: bool = False) -> None:
        """NUL bytes and bytes that are no UTF-8, by line. All but the last block may end inside a character."""
        nul = block.find(b"\0")
        if nul >= 0:
            line = first_line + block.count(b"\n", 0, nul)
            raise DataError("a NUL byte: this is not a text file, or it is damaged", file=self._file, line=line)
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            if not final and len(block) - error.start < 4 and error.reason == "unexpected end of data":
                return
            line = first_line + block.count(b"\n", 0, error.start)
            raise DataError(
                f"byte 0x{block[error.start]:02x} is no UTF-8; save the file as UTF-8, or set data.encoding "
                '(often "cp1252" or "latin-1")',
                file=self._file,
                line=line,
            ) from error

    def _parse(self, block: bytes, records: csv_blocks.Records) -> Chunk:
        first_line = self._lines + 1
        width = len(self._head.names)
        wrong = np.flatnonzero(records.fields != width)
        if len(wrong):
            self._ragged(int(records.fields[wrong[0]]), first_line + int(records.lines[wrong[0]]))
        limit = self._options.max_cell_chars
        csv_blocks.check_cells(
            block, records, ord(self._head.delimiter), self._head.names, limit, (self._file, first_line)
        )
        self._check_header_again(block, records, first_line)
        table = pacsv.read_csv(
            pa.BufferReader(block),
            pacsv.ReadOptions(column_names=[str(i) for i in range(width)], block_size=len(block) + 1),
            pacsv.ParseOptions(delimiter=self._head.delimiter, newlines_in_values=b'"' in block),
            pacsv.ConvertOptions(
                column_types={str(i): pa.string() for i in range(width)},
                include_columns=[str(i) for i in self._kept],
                strings_can_be_null=False,
                check_utf8=False,
            ),
        ).rename_columns(list(self.names))
        if table.num_rows != len(records.starts):
            raise DataError(
                f"{table.num_rows} rows where {len(records.starts)} were counted", file=self._file, line=first_line
            )
        return Chunk(table, first_line + records.lines)

    def _ragged(self, fields: int, line: int) -> None:
        raise DataError(
            f"expected {len(self._head.names)} fields as in the header, got {fields}", file=self._file, line=line
        )

    def _check_header_again(self, block: bytes, records: csv_blocks.Records, first_line: int) -> None:
        position = block.find(self._head.raw)
        while position >= 0:
            record = int(np.searchsorted(records.starts, position))
            at_start = record < len(records.starts) and records.starts[record] == position
            if at_start and records.ends[record] - position == len(self._head.raw):
                self._header_again(first_line + int(records.lines[record]))
            position = block.find(self._head.raw, position + 1)

    def _header_again(self, line: int) -> None:
        raise DataError("the header comes a second time; remove this line", file=self._file, line=line)

    def _slow(self, begun: bytes) -> Iterator[Chunk]:
        """Python's csv, for what is unusual but readable: a quote inside an unquoted field."""
        text = io.TextIOWrapper(io.BufferedReader(_Rest(begun, self._text)), encoding="utf-8", newline="")
        reader = csv.reader(text, delimiter=self._head.delimiter, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        before = 0
        while True:
            line = self._lines + before + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except (csv.Error, UnicodeDecodeError) as error:
                raise DataError(
                    f"the quotes of the record that begins here do not match ({error})", file=self._file, line=line
                ) from error
            before = reader.line_num
            if not row:
                continue
            self._check_row(row, line)
            rows.append(row)
            lines.append(line)
            if len(rows) == _SLOW_ROWS:
                yield self._from_rows(rows, lines)
                rows, lines = [], []
        if rows:
            yield self._from_rows(rows, lines)

    def _check_row(self, row: list[str], line: int) -> None:
        if len(row) != len(self._head.names):
            self._ragged(len(row), line)
        for name, cell in zip(self._head.names, row, strict=True):
            if len(cell) > self._options.max_cell_chars or "\0" in cell:
                raise DataError(
                    "a cell with a NUL byte, or over data.max_cell_chars", file=self._file, line=line, column=name
                )
        if tuple(cell.strip() for cell in row) == self._head.names:
            self._header_again(line)

    def _from_rows(self, rows: list[list[str]], lines: list[int]) -> Chunk:
        columns = list(zip(*rows, strict=True))
        arrays = [pa.array(columns[position], pa.string()) for position in self._kept]
        return Chunk(pa.table(arrays, names=list(self.names)), np.array(lines, np.int64))


class _Rest(io.RawIOBase):
    """Bytes that were read already, then the rest of the stream."""

    def __init__(self, begun: bytes, rest: decompress.Text):
        self._begun = io.BytesIO(begun)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._begun.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)
