"""The upload reader: uploaded tables, read strictly and in parts: CSV (packed or not) and Parquet to canonical rows.

`ml.data.sources.csv_reader.CsvReader` reads the CSV, its number columns at once as numbers. A block with a cell that is
no plain number comes as text, so that its marks are read and its words can be told.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa

from ml.data.inference import date_order
from ml.data.inference.number_marks import Cell, Evidence, Marks, told
from ml.data.sources import csv_reader
from ml.errors import DataError, SchemaError
from ml.messages import code_of, message
from ml.schema import arrow_cells
from ml.schema.coerce import listing
from ml.schema.findings import Report
from ml.schema.rows import RowReader, Rows
from ml.schema.schema import DateOrder
from ml.schema.validation_errors import RowsError, ValidationError, shown
from ml.settings import Settings
from serving.auth.limits import check_cells
from serving.scoring.csv_lines import with_commas
from serving.scoring.file_names import PARQUET_ENDINGS
from serving.scoring.json_rows import ID_KEY, Ids
from serving.scoring.parquet_tables import ParquetTable
from serving.scoring.table_rows import TableEncoder

BLOCK_BYTES = 1_000_000  # parsed at once; our choice
FLAG_BYTES = 150  # of memory, about, with its value and its place
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


class Dialect(NamedTuple):
    """How a text table is written: what stands between its fields, its decimal mark, whether it begins with the mark by
    which spreadsheets know UTF-8, and what stands between thousands ("" for nothing)."""

    delimiter: str = ","
    decimal: str = "."
    bom: bool = False
    thousands: str = ""


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
    decimal
        The decimal mark that the sender says; "": the model's, unless cells say otherwise.
    dates
        The order of day and month that the sender says; "": the model's, unless cells say otherwise.
    by_evidence
        Whether the file's own cells say how its numbers and dates are written; else the model's ways alone count.
    echo
        Whether what came is wanted back: the lines of a CSV, and columns that the schema does not have. Of Parquet they
        need not be read else.

    Raises
    ------
    DataError
        On iteration: names the line and column of the first thing that is wrong.
    Problem
        On iteration, 413: too many rows or cells.
    RowsError
        From `checked`: more words in a number column than a few, up to MAX_ERRORS of them with their lines.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        reader: RowReader,
        *,
        settings: Settings,
        options: csv_reader.Options,
        decimal: str = "",
        dates: DateOrder = "",
        by_evidence: bool = True,
        echo: bool = True,
    ):
        self.stream = stream
        self.name = name
        self.reader = reader
        self.options = options
        self.settings = settings
        self.decimal, self.dates, self.by_evidence = decimal, dates, by_evidence
        self.echo = echo
        self.rows = 0  # once it was checked
        self._delimiter = ""
        stream.seek(0)
        self._has_bom = stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
        self.report = Report()
        self._encoder = TableEncoder(reader, name, as_numbers=False)
        self._read_anew()
        if dates:
            self._read_with(self._marks, dates)

    @property
    def dialect(self) -> Dialect:
        """How the table is written, once some of it was read; Parquet says nothing."""
        return Dialect(self._delimiter or ",", self._marks.decimal, self._has_bom, self._marks.thousands)

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

        Numbers are read with the model's marks; where a cell has others, by the evidence of the file's own cells.

        Returns the parts where they take at most about `keep_bytes`; None means: iterate again.
        """
        if not self.by_evidence:
            return self._checked(keep_bytes)
        if self.decimal not in ("", self._marks.decimal):
            evidence, order = self._evidence()
            self._read_with(evidence.marks(self.decimal, self._marks), self.dates or order)
            return self._checked(keep_bytes)
        try:
            parts = self._checked(keep_bytes)
        except RowsError as error:
            schema, before = self.reader.schema, self._marks
            evidence, order = self._evidence()
            marks = evidence.marks(self.decimal, before, self.name)
            self._read_with(marks, self.dates or order)
            if self.reader.schema == schema:
                raise _doubtful(evidence.either) or error from None
            parts = self._checked(keep_bytes)
            if marks != before and (cell := evidence.first_of(marks)) is not None:
                self.report.warn(told(marks, cell))
        else:
            self._tell_doubts()
        return parts

    def _checked(self, keep_bytes: int) -> list[Part] | None:
        self._read_anew(as_numbers=self._encoder.as_numbers)
        parts: list[Part] | None = []
        size = rows = 0
        written = np.zeros(len(self.reader.number_columns), bool)
        for part in self:
            rows += len(part.rows)
            check_cells(self.settings, rows, part.table.num_columns)
            size += part.rows.numbers.nbytes + part.table.nbytes * (2 if part.raw is not None else 1)
            size += FLAG_BYTES * sum(map(len, part.rows.warnings))
            if parts is not None:
                parts.append(part)
                if size > keep_bytes:
                    parts = None
            written |= self._encoder.has_value(part.rows, part.table)
        self._encoder.words.check()
        self.rows = rows
        if rows >= ENOUGH_ROWS and not written.all():
            if self._encoder.as_numbers:
                self._encoder.as_numbers = False  # words that are markers came as missing: read again, they are kept
                return self._checked(keep_bytes)
            column = self.reader.number_columns[int(np.argmin(written))]
            raise SchemaError(message("files.words_for_missing"), file=self.name, column=column.name)
        return parts

    @property
    def _marks(self) -> Marks:
        return Marks(self.reader.schema.decimal, self.reader.schema.thousands)

    def _read_with(self, marks: Marks, order: DateOrder) -> None:
        """From here on the table's numbers have these marks and its dates this order; "": the model's."""
        columns = [
            msgspec.structs.replace(c, date_order=order) if order and c.kind == "date" else c
            for c in self.reader.schema.columns
        ]
        schema = msgspec.structs.replace(
            self.reader.schema, columns=tuple(columns), decimal=marks.decimal, thousands=marks.thousands
        )
        self.reader = RowReader(schema)
        self._read_anew()

    def _evidence(self) -> tuple[Evidence, DateOrder]:
        """What all cells of the model's columns say about how numbers are written, and dates."""
        evidence, orders, begun = Evidence(), set[DateOrder](), 0
        self._encoder.as_numbers = False
        for table, lines in self._texts():
            for name in self.reader.schema.plain_numbers:
                evidence.add(name, arrow_cells.flat(table[name]), lines, begun)
            for name in self.reader.schema.dates:
                orders |= date_order.decided(arrow_cells.flat(table[name]))
            begun += table.num_rows
        return evidence, orders.pop() if len(orders) == 1 else ""

    def _texts(self) -> Iterator[tuple[pa.Table, Any]]:
        """The table's parts with their cells as they came, and the lines of a CSV."""
        if self.is_parquet:
            file = ParquetTable(self.stream, self.name, settings=self.settings, options=self.options)
            self._match_names(file.names)
            yield from ((table, None) for table in file.batches(set(self.reader.schema.numbers)))
            return
        reader = self._csv_reader()
        self._match_names(reader.names)
        yield from ((chunk.table, chunk.lines) for chunk in reader)

    def _tell_doubts(self) -> None:
        """Where fields end with a semicolon, a point before three digits may well stand between thousands."""
        if self.decimal or self._delimiter != ";" or self._marks != Marks():
            return
        report, as_numbers = self.report, self._encoder.as_numbers
        either = self._evidence()[0].either
        self.report, self._encoder.as_numbers = report, as_numbers
        for name, cell in either.items():
            self.report.warn(
                message("findings.points_before_three", cell=cell.text, other=cell.text.replace(".", "")), name
            )

    def _read_anew(self, *, as_numbers: bool | None = None) -> None:
        """`as_numbers`: whether number columns are read at once as such; None: where that can be."""
        if as_numbers is None:
            as_numbers = not self.is_parquet and not self.reader.schema.thousands
        self.report = Report()
        self._encoder = TableEncoder(self.reader, self.name, as_numbers=as_numbers)

    def _csv(self) -> Iterator[Part]:
        reader = self._csv_reader()
        if self._encoder.as_numbers and not all(reader.head.names):
            # A column is left out, so lines are written anew, with the cells as they came.
            self._encoder.as_numbers = False
            reader = self._csv_reader()
        self._delimiter = reader.head.delimiter
        self.report.extend(reader.report.findings)
        self._match_names(reader.names)
        writes_back = self.echo and reader.head.delimiter == "," and all(reader.head.names)
        for chunk in reader:
            raw = with_commas(chunk.records) if writes_back and chunk.records is not None else None
            rows, table = self._encoder.encoded(chunk.table, chunk.lines)
            yield Part(rows, table, raw, self._encoder.ids(chunk.table))

    def _csv_reader(self) -> csv_reader.CsvReader:
        schema = self.reader.schema
        options = self.options._replace(
            block_bytes=BLOCK_BYTES,
            use_threads=False,
            numbers=frozenset(schema.plain_numbers if self._encoder.as_numbers else ()),
            decimal=schema.decimal,
            missing_markers=schema.missing_markers,
            may_be_empty=True,
        )
        return csv_reader.CsvReader(self._from_start(), self.name, options)

    def _parquet(self) -> Iterator[Part]:
        file = ParquetTable(self.stream, self.name, settings=self.settings, options=self.options)
        self._match_names(file.names)
        known = {*(column.name for column in self.reader.schema.columns), ID_KEY}
        begun = 0
        for table in file.batches(None if self.echo else known):
            if table.num_rows:
                rows, echoed = self._encoder.encoded(table, None, begun)
                yield Part(rows, echoed, None, self._encoder.ids(echoed))
            begun += table.num_rows
        if not begun:
            rows, echoed = self._encoder.encoded(file.schema.empty_table(), None)
            yield Part(rows, echoed, None, None)

    def _from_start(self) -> BinaryIO:
        self.stream.seek(0)
        return cast(BinaryIO, io.BufferedReader(_Shared(self.stream), 1 << 18))

    def _match_names(self, names: tuple[str, ...]) -> None:
        errors = self.reader.name_errors(names)
        absent = [error.column for error in errors if code_of(error.got) == "rows.no_such_column"]
        if absent:
            known = {"n": len(self.reader.schema.columns), "columns": _first(absent, 5), "found": _first(names, 10)}
            raise SchemaError(message("files.lacks_columns", **known), file=self.name, column=absent[0])
        unknown = [shown(error.column) for error in errors if error.column != ID_KEY]
        if unknown:
            self.report.warn(message("findings.unknown_columns", columns=listing(unknown, 5)))


def _doubtful(either: dict[str, Cell]) -> RowsError | None:
    """That cells can be read in two ways; None where there are no such cells with a comma."""
    errors = [
        ValidationError(
            cell.row if cell.line is None else None,
            cell.column,
            message("rows.doubtful_marks", one=cell.text.replace(",", ""), other=cell.text.replace(",", ".")),
            f"'{cell.text}'",
            cell.line,
        )
        for cell in either.values()
        if "," in cell.text
    ]
    if not errors:
        return None
    error = RowsError(errors)
    error.code = "rows.doubtful_marks"
    return error


def _first(names: Sequence[str | None], most: int) -> str:
    """The first of the names, in quotes."""
    return ", ".join(f"'{shown(name)}'" for name in names[:most]) + (" …" if len(names) > most else "")
