"""Uploaded tables, read strictly and in parts: CSV (packed or not) and Parquet to canonical rows.

Most CSV files are plain: quotes where RFC 4180 has them or none, one kind of line end. Arrow reads those at full
speed, a block at a time. Whatever is not plain, and whatever Arrow refuses, goes through `ml.data.sources.csv_reader.CsvReader`,
which is slower and says exactly which line and column is wrong. Both give the same rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ml.data.sources import csv_header, csv_reader, decompress
from ml.errors import DataError, SchemaError
from ml.schema import arrow_cells
from ml.schema.findings import Report
from ml.schema.rows import RowReader, Rows
from ml.schema.validation import MAX_FAULTS, Fault, RowsError, shown
from ml.settings import Settings
from serving.auth.rate_limits import check_cells
from serving.scoring import csv_lines
from serving.scoring.csv_lines import NotPlain
from serving.scoring.json_rows import ID_KEY, Ids, checked_ids

PARQUET_ENDINGS = (".parquet", ".pq")
BLOCK_BYTES = 1_000_000
PARQUET_ROWS = 8_192
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

    Raises
    ------
    DataError
        On iteration: names the line and column of the first thing that is wrong.
    Problem
        On iteration, 413: too many rows or cells.
    RowsError
        On iteration: cells that are no numbers, up to MAX_FAULTS of them with their lines.
    """

    def __init__(
        self, stream: BinaryIO, name: str, reader: RowReader, *, settings: Settings, options: csv_reader.Options
    ):
        self.stream = stream
        self.name = name
        self.reader = reader
        self.options = options
        self.settings = settings
        self.report = Report()
        self._plain = not self.is_parquet

    @property
    def is_parquet(self) -> bool:
        """Whether the name says Parquet."""
        return self.name.casefold().endswith(PARQUET_ENDINGS)

    def __iter__(self) -> Iterator[Part]:
        """Parts of at least one row."""
        if self.is_parquet:
            return self._parquet()
        return self._fast() if self._plain else self._strict()

    def checked(self, keep_bytes: int) -> list[Part] | None:
        """Read all of it once, so that nothing is scored of a table that is wrong somewhere.

        Returns the parts where they take at most about `keep_bytes`; None means: iterate again.
        """
        try:
            return self._check(keep_bytes)
        except NotPlain:
            self._plain = False
            return self._check(keep_bytes)

    def _check(self, keep_bytes: int) -> list[Part] | None:
        self.report = Report()
        kept: list[Part] | None = []
        size = rows = 0
        written = np.zeros(len(self.reader.number_columns), bool)
        for part in self:
            rows += len(part.rows)
            check_cells(self.settings, rows, part.table.num_columns)
            size += part.rows.numbers.nbytes + part.table.nbytes * (2 if part.raw is not None else 1)
            if kept is not None:
                kept.append(part)
                if size > keep_bytes:
                    kept = None
            written |= self._has_value(part)
        if rows >= ENOUGH_ROWS and not written.all():
            if self._plain:
                raise NotPlain  # Arrow has read the words as missing; the other reader keeps them
            column = self.reader.number_columns[int(np.argmin(written))]
            raise SchemaError(
                "expected numbers, but every row has a word for missing", file=self.name, column=column.name
            )
        return kept

    def _has_value(self, part: Part) -> npt.NDArray[np.bool_]:
        """Which number columns have a number, or say in a usual way (empty, NaN, infinite) that they have none."""
        found: npt.NDArray[np.bool_] = np.logical_not(np.isnan(part.rows.numbers).all(axis=0))
        for j in np.flatnonzero(~found).tolist():
            column = self.reader.number_columns[j]
            cells = part.table[column.name]
            if column.missing_share > 0.5 or not (self._plain or arrow_cells.is_text(arrow_cells.flat(cells))):
                found[j] = True
            if found[j] or self._plain:
                continue
            words = {str(word or "").strip().lstrip("+-").casefold() for word in pc.unique(cells).to_pylist()}
            found[j] = bool(words & {"", "nan", "inf", "infinity"})
        return found

    def _fast(self) -> Iterator[Part]:
        text = decompress.open_text(
            self._from_start(), self.name, encoding=self.options.encoding, max_bytes=self.options.max_bytes
        )
        block = text.read(BLOCK_BYTES)
        if not block.strip() or b"\0" in block:
            raise NotPlain
        head = csv_header.read_head(
            block, self.name, delimiter=self.options.delimiter, max_columns=self.options.max_columns, report=Report()
        )
        if not all(head.names) or head.lines != 1:
            raise NotPlain
        self._match_names(head.names)
        convert = self._conversion(head.names)
        carry, rows = block[head.size :], 0
        while carry:
            following = text.read(BLOCK_BYTES)
            lines = csv_lines.find(carry, ord(head.delimiter), final=not following)
            if len(carry) > 16 * BLOCK_BYTES and not len(lines):
                raise NotPlain
            if len(lines):
                yield self._plain_part(lines, head, convert)
                rows += len(lines)
            carry = carry[lines.size :] + following
        if not rows:
            raise NotPlain

    def _plain_part(self, lines: csv_lines.Lines, head: csv_header.Head, convert: pacsv.ConvertOptions) -> Part:
        block = lines.block
        try:
            table = pacsv.read_csv(
                pa.BufferReader(block),
                pacsv.ReadOptions(column_names=list(head.names), block_size=len(block) + 1, use_threads=False),
                pacsv.ParseOptions(
                    delimiter=head.delimiter,
                    quote_char='"' if lines.quoted else False,
                    newlines_in_values=lines.quoted,
                ),
                convert,
            )
        except pa.ArrowInvalid as error:
            raise NotPlain from error
        if table.num_rows != len(lines) or (not self.reader.number_columns and head.raw in block):
            raise NotPlain
        for column in table.columns:
            if pa.types.is_string(column.type):
                longest = pc.max(pc.binary_length(column)).as_py() or 0
                if longest > self.options.max_cell_chars:
                    raise NotPlain
        raw = lines.with_commas() if head.delimiter == "," else None
        return Part(self._rows(table, None), table, raw, self._ids(table))

    def _conversion(self, names: tuple[str, ...]) -> pacsv.ConvertOptions:
        schema = self.reader.schema
        if schema.decimal != "." or schema.thousands:
            raise NotPlain
        markers = sorted({"", *schema.missing_markers})
        numbers = set(schema.numbers)
        return pacsv.ConvertOptions(
            column_types={name: pa.float64() if name in numbers else pa.string() for name in names},
            null_values=markers,
            strings_can_be_null=False,
        )

    def _strict(self) -> Iterator[Part]:
        reader = csv_reader.CsvReader(self._from_start(), self.name, self.options)
        self.report.extend(reader.report.findings)
        self._match_names(reader.names)
        for chunk in reader:
            yield Part(self._rows(chunk.table, chunk.lines), chunk.table, None, self._ids(chunk.table))

    def _parquet(self) -> Iterator[Part]:
        self.stream.seek(0)
        try:
            file = pq.ParquetFile(self.stream)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if size > self.options.max_bytes:
                raise DataError(
                    f"{size:,} bytes, unpacked, are over the limit of {self.options.max_bytes:,}", file=self.name
                )
            if file.metadata.num_columns > self.options.max_columns:
                raise DataError(
                    f"{file.metadata.num_columns:,} columns are over the limit of {self.options.max_columns:,}",
                    file=self.name,
                )
            check_cells(self.settings, file.metadata.num_rows, file.metadata.num_columns)
            _check_values(file, self.settings, self.name)
            names = tuple(file.schema_arrow.names)
            if len(set(names)) < len(names):
                raise DataError("two columns of one name", file=self.name)
            self._match_names(names)
            begun = 0
            for table in self._batches(pq.ParquetFile(self.stream, read_dictionary=_texts_of(file.schema_arrow))):
                if table.num_rows:
                    yield Part(self._rows(table, None, begun), table, None, self._ids(table))
                begun += table.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"not a readable Parquet file: {shown(error)}", file=self.name) from error
        if not begun:
            raise DataError("the file has columns but no rows", file=self.name)

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.Table]:
        """Batches with their texts written out, once it is known how long they are: a page can say a long text in a
        dictionary once and repeat it for a few bits a row."""
        left = self.options.max_bytes
        for batch in file.iter_batches(PARQUET_ROWS):
            columns = []
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if pa.types.is_dictionary(column.type):
                    sizes = pc.binary_length(column.dictionary)
                    if (pc.max(sizes).as_py() or 0) > 4 * self.options.max_cell_chars:
                        raise DataError("a cell over data.max_cell_chars", file=self.name, column=name)
                    left -= pc.sum(pc.take(sizes, column.indices)).as_py() or 0
                    if left < 0:
                        raise DataError(
                            f"texts of more than {self.options.max_bytes:,} bytes, unpacked",
                            file=self.name,
                            column=name,
                        )
                    column = column.dictionary_decode()
                columns.append(column)
            yield pa.table(columns, names=batch.schema.names)

    def _from_start(self) -> BinaryIO:
        self.stream.seek(0)
        return cast(BinaryIO, io.BufferedReader(_Shared(self.stream), 1 << 18))

    def _match_names(self, names: tuple[str, ...]) -> None:
        faults = self.reader.name_faults(names)
        absent = [fault.column for fault in faults if "no such column" in fault.got]
        if absent:
            listed = ", ".join(f"'{shown(name)}'" for name in absent[:5]) + (" …" if len(absent) > 5 else "")
            raise SchemaError(
                f"the model needs {len(self.reader.schema.columns)} columns and the table lacks {listed}; "
                f"it has {', '.join(repr(shown(name)) for name in names[:10])}{' …' if len(names) > 10 else ''}",
                file=self.name,
                column=absent[0],
            )
        unknown = [shown(fault.column) for fault in faults if fault.column != ID_KEY]
        if unknown:
            listed = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
            self.report.warn(f"columns that the model does not know are ignored: {listed}")

    def _rows(self, table: pa.Table, lines: npt.NDArray[np.int64] | None, first: int = 0) -> Rows:
        schema = self.reader.schema
        numbers = np.empty((table.num_rows, len(self.reader.number_columns)))
        faults: list[Fault] = []
        for j, column in enumerate(self.reader.number_columns):
            cells, bad = arrow_cells.numbers(
                table[column.name], markers=schema.missing_markers, decimal=schema.decimal, thousands=schema.thousands
            )
            numbers[:, j] = cells
            for i in np.flatnonzero(bad)[:MAX_FAULTS].tolist():
                got = f"'{shown(table[column.name][i].as_py())}'"
                line = int(lines[i]) if lines is not None else None
                faults.append(Fault(None if line else first + i, column.name, "a number", got, line))
        if faults:
            raise RowsError(sorted(faults, key=lambda fault: (fault.line or 0, fault.row or 0)))
        return self.reader.encoded(numbers, [self._coded(table[c.name]) for c in self.reader.category_columns])

    def _coded(self, cells: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
        texts = pc.dictionary_encode(arrow_cells.texts(cells, markers=self.reader.schema.missing_markers))
        return texts.dictionary.to_pylist(), texts.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    def _ids(self, table: pa.Table) -> Ids | None:
        """Ids that the caller gave in a column of their own."""
        if ID_KEY not in table.column_names or any(c.name == ID_KEY for c in self.reader.schema.columns):
            return None
        given = arrow_cells.texts(table[ID_KEY]).to_pylist()
        if "" in given:
            raise DataError("expected an id in every row, got an empty cell", file=self.name, column=ID_KEY)
        return checked_ids(given, len(given))


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
                raise DataError("expected plain values, got lists or groups of texts", file=name, column=field.name)
        elif pa.types.is_fixed_size_binary(field.type):
            check_cells(settings, metadata.num_rows * field.type.byte_width // 8, 1)


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    if not pa.types.is_nested(kind):
        yield kind
        return
    for i in range(kind.num_fields):
        yield from _leaves(kind.field(i).type)
