"""The upload reader: uploaded tables, read strictly and in parts: CSV (packed or not) and Parquet to canonical rows.

`ml.data.sources.csv_reader.CsvReader` reads the CSV, its number columns at once as numbers. A block with a cell that is
no plain number comes as text, so that its marks are read and its words can be told.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.data.sources import csv_reader
from ml.errors import DataError, SchemaError
from ml.messages import code_of, message
from ml.schema import arrow_cells
from ml.schema.coerce import listing, written_numbers
from ml.schema.findings import Report
from ml.schema.rows import RowReader, Rows
from ml.schema.validation import MAX_FAULTS, Fault, Words, shown
from ml.schema.warnings import Flag, Flags, word
from ml.settings import Settings
from serving.auth.limits import check_cells
from serving.scoring.file_names import PARQUET_ENDINGS
from serving.scoring.json_rows import ID_KEY, Ids, checked_ids

BLOCK_BYTES = 1_000_000
PARQUET_ROWS = 8_192
FLAG_BYTES = 300  # of memory, about, with its message
ENOUGH_ROWS = 20  # from here on a number column in which every cell is a word like "n/a" is a broken feed


class Part(NamedTuple):
    """Some rows of an upload, as they came and as the model takes them.

    `raw` (an Arrow string array) is the lines themselves, each with a comma for its end, where they can be written
    back as they stand; `table` has every named column.
    """

    rows: Rows
    table: pa.Table
    raw: pa.Array | None
    ids: Ids | None


class _Shared(io.RawIOBase):
    """Reads a stream and leaves it open when it is itself closed: a BufferedReader closes what it reads."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class Upload:
    """One uploaded table. Iterate over it as often as needed; each time it is read from its start.

    Parameters
    ----------
    stream
        Seekable.
    name
        File name: its ending says how the content is packed, and messages begin with it.
    reader
        Of the schema to fit.
    settings
        Limits of rows and cells.
    options
        Further limits, of the unpacked content among them.
    echo
        Whether columns that the schema does not have are wanted as well; of Parquet they need not be read else.

    Raises
    ------
    DataError
        On iteration: names the line and column of the first thing that is wrong.
    Problem
        On iteration, 413: too many rows or cells.
    RowsError
        From `checked`: more words in a number column than a few, up to MAX_FAULTS of them with their lines.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        reader: RowReader,
        *,
        settings: Settings,
        options: csv_reader.Options,
        echo: bool = True,
    ):
        self.stream = stream
        self.name = name
        self.reader = reader
        self.options = options
        self.settings = settings
        self.echo = echo
        self.report = Report()
        self._words = Words(reader.schema.max_bad_share)
        self._as_numbers = not self.is_parquet and not reader.schema.thousands

    @property
    def is_parquet(self) -> bool:
        """Whether the name says Parquet."""
        return self.name.casefold().endswith(PARQUET_ENDINGS)

    def __iter__(self) -> Iterator[Part]:
        """Parts of at least one row; one part without rows where the table has none."""
        try:
            yield from self._parquet() if self.is_parquet else self._csv()
        except pa.ArrowException as error:  # a column beyond 2 GB, for one
            raise DataError(message("files.unreadable_table", error=shown(error)), file=self.name) from error

    def checked(self, keep_bytes: int) -> list[Part] | None:
        """Read all of it once, so that nothing is scored of a table that is wrong somewhere.

        Returns the parts where they take at most about `keep_bytes`; None means: iterate again.
        """
        self.report, self._words = Report(), Words(self.reader.schema.max_bad_share)
        kept: list[Part] | None = []
        size = rows = 0
        written = np.zeros(len(self.reader.number_columns), bool)
        for part in self:
            rows += len(part.rows)
            check_cells(self.settings, rows, part.table.num_columns)
            size += part.rows.numbers.nbytes + part.table.nbytes * (2 if part.raw is not None else 1)
            size += FLAG_BYTES * sum(map(len, part.rows.flags))
            if kept is not None:
                kept.append(part)
                if size > keep_bytes:
                    kept = None
            written |= self._has_value(part)
        self._words.check()
        if rows >= ENOUGH_ROWS and not written.all():
            if self._as_numbers:
                self._as_numbers = False  # words that are markers came as missing: read again, they are kept
                return self.checked(keep_bytes)
            column = self.reader.number_columns[int(np.argmin(written))]
            raise SchemaError(message("files.words_for_missing"), file=self.name, column=column.name)
        return kept

    def _has_value(self, part: Part) -> npt.NDArray[np.bool_]:
        """Which number columns have a number, or say in a usual way (empty, NaN, infinite) that they have none."""
        found: npt.NDArray[np.bool_] = np.logical_not(np.isnan(part.rows.numbers).all(axis=0))
        for j in np.flatnonzero(~found).tolist():
            column = self.reader.number_columns[j]
            cells = part.table[column.name]
            if column.missing_share > 0.5 or not (self._as_numbers or arrow_cells.is_text(arrow_cells.flat(cells))):
                found[j] = True
            if found[j] or self._as_numbers:
                continue
            words = {str(word or "").strip().lstrip("+-").casefold() for word in pc.unique(cells).to_pylist()}
            found[j] = bool(words & {"", "nan", "inf", "infinity"})
        return found

    def _csv(self) -> Iterator[Part]:
        reader = self._csv_reader()
        if self._as_numbers and not all(reader.head.names):
            self._as_numbers = False  # a column is left out, so lines are written anew, with the cells as they came
            reader = self._csv_reader()
        self.report.extend(reader.report.findings)
        self._match_names(reader.names)
        writes_back = reader.head.delimiter == "," and all(reader.head.names)
        for chunk in reader:
            raw = with_commas(chunk.records) if writes_back and chunk.records is not None else None
            rows, table = self._rows(chunk.table, chunk.lines)
            yield Part(rows, table, raw, self._ids(chunk.table))

    def _csv_reader(self) -> csv_reader.CsvReader:
        schema = self.reader.schema
        options = self.options._replace(
            block_bytes=BLOCK_BYTES,
            use_threads=False,
            numbers=frozenset(schema.numbers if self._as_numbers else ()),
            decimal=schema.decimal,
            missing_markers=schema.missing_markers,
            may_be_empty=True,
        )
        return csv_reader.CsvReader(self._from_start(), self.name, options)

    def _parquet(self) -> Iterator[Part]:
        self.stream.seek(0)
        try:
            file = pq.ParquetFile(self.stream)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if size > self.options.max_bytes:
                limit = self.options.max_bytes
                raise DataError(message("files.over_limit", size=size, limit=limit), file=self.name)
            if file.metadata.num_columns > self.options.max_columns:
                counts = {"n": file.metadata.num_columns, "limit": self.options.max_columns}
                raise DataError(message("files.columns_over_limit", **counts), file=self.name)
            check_cells(self.settings, file.metadata.num_rows, file.metadata.num_columns)
            _check_values(file, self.settings, self.name)
            names = tuple(file.schema_arrow.names)
            if len(set(names)) < len(names):
                raise DataError(message("files.doubles"), file=self.name)
            self._match_names(names)
            begun = 0
            for table in self._batches(pq.ParquetFile(self.stream, read_dictionary=_texts_of(file.schema_arrow))):
                if table.num_rows:
                    rows, echoed = self._rows(table, None, begun)
                    yield Part(rows, echoed, None, self._ids(echoed))
                begun += table.num_rows
        except UnicodeDecodeError as error:
            raise DataError(message("files.names_no_utf8"), file=self.name) from error
        except (pa.ArrowException, OSError) as error:
            raise DataError(message("files.no_parquet", error=shown(error)), file=self.name) from error
        if not begun:
            rows, echoed = self._rows(file.schema_arrow.empty_table(), None)
            yield Part(rows, echoed, None, None)

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.Table]:
        """Batches with their texts written out, once it is known how long they are: a page can say a long text in a
        dictionary once and repeat it for a few bits a row."""
        left = self.options.max_bytes
        known = {*(column.name for column in self.reader.schema.columns), ID_KEY}
        wanted = [name for name in file.schema_arrow.names if self.echo or name in known]
        for batch in file.iter_batches(PARQUET_ROWS, columns=wanted):
            columns = []
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if pa.types.is_dictionary(column.type):
                    sizes = pc.binary_length(column.dictionary)
                    if (pc.max(sizes).as_py() or 0) > 4 * self.options.max_cell_chars:
                        raise DataError(message("files.cell_over_limit"), file=self.name, column=name)
                    left -= pc.sum(pc.take(sizes, column.indices)).as_py() or 0
                    if left < 0:
                        limit = self.options.max_bytes
                        raise DataError(message("files.texts_over_limit", limit=limit), file=self.name, column=name)
                    column = column.dictionary_decode()
                columns.append(column)
            yield pa.table(columns, names=batch.schema.names)

    def _from_start(self) -> BinaryIO:
        self.stream.seek(0)
        return cast(BinaryIO, io.BufferedReader(_Shared(self.stream), 1 << 18))

    def _match_names(self, names: tuple[str, ...]) -> None:
        faults = self.reader.name_faults(names)
        absent = [fault.column for fault in faults if code_of(fault.got) == "rows.no_such_column"]
        if absent:
            known = {"n": len(self.reader.schema.columns), "columns": _first(absent, 5), "found": _first(names, 10)}
            raise SchemaError(message("files.lacks_columns", **known), file=self.name, column=absent[0])
        unknown = [shown(fault.column) for fault in faults if fault.column != ID_KEY]
        if unknown:
            self.report.warn(message("findings.unknown_columns", columns=listing(unknown, 5)))

    def _rows(self, table: pa.Table, lines: npt.NDArray[np.int64] | None, first: int = 0) -> tuple[Rows, pa.Table]:
        """The rows, and the table with its number columns as numbers where they are read so."""
        numbers = np.empty((table.num_rows, len(self.reader.number_columns)))
        flags: Flags = {}
        typed = table
        for j, column in enumerate(self.reader.number_columns):
            cells = arrow_cells.flat(table[column.name])
            numbers[:, j], bad = self._numbers(cells)
            if self._as_numbers and arrow_cells.is_text(cells):
                place = table.column_names.index(column.name)
                typed = typed.set_column(place, column.name, pa.array(numbers[:, j], from_pandas=True))
            if bad.any():
                self._note_words(column.name, cells, bad, int((~np.isnan(numbers[:, j])).sum()), lines, first)
                said: dict[str, Flag] = {}  # one flag a word, however often it comes
                for i in np.flatnonzero(bad).tolist():
                    text = shown(cells[i].as_py())
                    flags.setdefault(i, []).append(said.get(text) or said.setdefault(text, word(column.name, text)))
            else:
                self._words.add(column.name, int((~np.isnan(numbers[:, j])).sum()), 0, [], refused=False)
        coded = [self._coded(table[c.name]) for c in self.reader.category_columns]
        who = {name: table[name].to_pylist() for name in self.reader.schema.id_columns if name in table.column_names}
        return self.reader.identified(self.reader.encoded(numbers, coded, flags), who), typed

    def _numbers(self, cells: pa.Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        schema = self.reader.schema
        return arrow_cells.numbers(
            cells, markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands
        )

    def _note_words(
        self,
        name: str,
        cells: pa.Array,
        bad: npt.NDArray[np.bool_],
        numbers: int,
        lines: npt.NDArray[np.int64] | None,
        first: int,
    ) -> None:
        lost = written_numbers(cells, bad)
        faults = [
            Fault(
                None if lines is not None else first + i,
                name,
                message("rows.number"),
                f"'{shown(cells[i].as_py())}'",
                int(lines[i]) if lines is not None else None,
            )
            for i in np.flatnonzero(lost if lost.any() else bad)[:MAX_FAULTS].tolist()
        ]
        self._words.add(name, numbers, int(bad.sum()), faults, refused=bool(lost.any()))

    def _coded(self, cells: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
        levels, indices = arrow_cells.coded(cells, markers=self.reader.schema.missing_markers)
        return levels.to_pylist(), indices.to_numpy(zero_copy_only=False).astype(np.int64)

    def _ids(self, table: pa.Table) -> Ids | None:
        """Ids that the caller gave in a column of their own."""
        if ID_KEY not in table.column_names or any(c.name == ID_KEY for c in self.reader.schema.columns):
            return None
        given = arrow_cells.texts(table[ID_KEY]).to_pylist()
        if "" in given:
            raise DataError(message("files.id_missing"), file=self.name, column=ID_KEY)
        return checked_ids(given, len(given))


def _first(names: Sequence[str | None], most: int) -> str:
    """The first of the names, in quotes."""
    return ", ".join(f"'{shown(name)}'" for name in names[:most]) + (" …" if len(names) > most else "")


def with_commas(records: csv_reader.Records) -> pa.Array:
    """(n,) strings: each record as it came with a comma in place of its end, so that cells can be put behind it."""
    starts, ends = records.starts, records.ends
    block = records.block if ends[-1] < len(records.block) else records.block + b"\n"
    content = np.frombuffer(block, np.uint8)[starts[0] : ends[-1] + 1].copy()
    content[ends - starts[0]] = ord(",")
    sizes = ends + 1 - starts
    if len(content) > sizes.sum():  # line ends of two bytes, or empty lines: what lies between goes
        content = content[_inside(starts - starts[0], ends + 1 - starts[0], len(content))]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(content))


def _inside(starts: csv_reader.Positions, ends: csv_reader.Positions, size: int) -> npt.NDArray[np.bool_]:
    """(size,) whether a byte is in one of the ranges."""
    between = ends[:-1][starts[1:] > ends[:-1]]
    inside = np.ones(size, bool)
    inside[between] = False
    if int((starts[1:] - ends[:-1]).max()) > 1:
        steps = np.zeros(size + 1, np.int8)
        steps[starts] += 1
        steps[ends] -= 1
        inside = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
    return inside


def _texts_of(schema: pa.Schema) -> list[str]:
    """Columns of text or bytes, which Parquet can give as dictionaries."""
    return [field.name for field in schema if _is_bytes(field.type)]


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _check_values(file: pq.ParquetFile, settings: Settings, name: str) -> None:
    """Refuse what unpacks beyond the limits although it has few rows: lists, and wide values of a fixed length."""
    metadata = file.metadata
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j in range(group.num_columns):
            check_cells(settings, group.column(j).num_values, 1)
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type):
            if any(_is_bytes(leaf) or pa.types.is_fixed_size_binary(leaf) for leaf in _leaves(field.type)):
                raise DataError(message("files.plain_values"), file=name, column=field.name)
        elif pa.types.is_fixed_size_binary(field.type):
            check_cells(settings, metadata.num_rows * field.type.byte_width // 8, 1)


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    if not pa.types.is_nested(kind):
        yield kind
        return
    for i in range(kind.num_fields):
        yield from _leaves(kind.field(i).type)
