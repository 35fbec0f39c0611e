"""Parquet tables: an uploaded Parquet file in batches, within the limits of an upload.

Parquet packs: a page can say a long text once and repeat it for a few bits a row, and a list has any number of values.
So what it unpacks to is counted before it is unpacked.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.data.sources import csv_reader
from ml.errors import DataError
from ml.messages import message
from ml.schema.validation_errors import shown
from ml.settings import Settings
from serving.auth.limits import check_cells

_MOST_VALUES = """
import io, sys
import pyarrow.parquet as pq
m = pq.read_metadata(io.BytesIO(sys.stdin.buffer.read()))
groups = map(m.row_group, range(m.num_row_groups))
print(max((g.column(j).num_values for g in groups for j in range(g.num_columns)), default=0))
"""
BATCH_ROWS = 8_192  # unpacked at once; our choice
PAGE_BYTES = 65_536  # read of a column at once; Arrow's pages have a megabyte, and are read in parts; our choice


class ParquetTable:
    """One uploaded Parquet file, open.

    Parameters
    ----------
    stream
        Seekable; read from its start.
    name
        File name, with which messages begin.
    settings
        Limits of rows and cells.
    options
        Limits of the unpacked content (bytes), of columns, and of a cell's characters.

    Raises
    ------
    DataError
        Here and from `batches`: no Parquet, no columns, names that are no UTF-8 or come twice, values that are no plain
        ones, content over a limit.
    Problem
        413: too many rows or cells.
    """

    def __init__(self, stream: BinaryIO, name: str, *, settings: Settings, options: csv_reader.Options):
        self._stream, self._name, self._options = stream, name, options
        stream.seek(0)
        with _parquet_errors(name):
            file = pq.ParquetFile(stream)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if size > options.max_bytes:
                raise DataError(message("files.over_limit", size=size, limit=options.max_bytes), file=name)
            if file.metadata.num_columns > options.max_columns:
                counts = {"n": file.metadata.num_columns, "limit": options.max_columns}
                raise DataError(message("files.columns_over_limit", **counts), file=name)
            check_cells(settings, file.metadata.num_rows, file.metadata.num_columns)
            _check_values(file, stream, settings, name)
            self.schema: pa.Schema = file.schema_arrow
            self.names = tuple(self.schema.names)
        if not self.names:
            raise DataError(message("files.no_columns"), file=name)
        if len(set(self.names)) < len(self.names):
            doubles = sorted({name for name in self.names if self.names.count(name) > 1})
            examples = [f"'{shown(name)}'" for name in doubles[:5]]
            raise DataError(message("files.doubles", columns=examples), file=name)

    def batches(self, wanted: Collection[str] | None) -> Iterator[pa.Table]:
        """Tables of up to BATCH_ROWS rows with the `wanted` columns (None: all), their texts written out.

        That once it is known how long they are: a text beyond four times `max_cell_chars` bytes is refused.
        """
        columns = [name for name in self.names if wanted is None or name in wanted]
        with _parquet_errors(self._name):
            # Page by page: else a row group is read as a whole, and a million rows of 20 numbers are 150 MB of it.
            options = {"pre_buffer": False, "buffer_size": PAGE_BYTES}
            file = pq.ParquetFile(self._stream, read_dictionary=_texts_of(self.schema), **options)
            left = self._options.max_bytes
            for group in range(file.num_row_groups):  # one reader for all of them keeps the bytes of each to the end
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                    table, left = self._written_out(batch, left)
                    yield table

    def _written_out(self, batch: pa.RecordBatch, left: int) -> tuple[pa.Table, int]:
        """The batch without dictionaries, and how many bytes of text there may still be."""
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_dictionary(column.type):
                sizes = pc.binary_length(column.dictionary)
                if (pc.max(sizes).as_py() or 0) > 4 * self._options.max_cell_chars:
                    raise DataError(message("files.cell_over_limit"), file=self._name, column=name)
                left -= pc.sum(pc.take(sizes, column.indices)).as_py() or 0
                if left < 0:
                    limit = self._options.max_bytes
                    raise DataError(message("files.texts_over_limit", limit=limit), file=self._name, column=name)
                column = column.dictionary_decode()
            columns.append(column)
        return pa.table(columns, names=batch.schema.names), left


@contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    """Arrow's errors about the file as ours."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(message("files.names_no_utf8"), file=name) from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(message("files.no_parquet", error=shown(error)), file=name) from error


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


def _check_values(file: pq.ParquetFile, stream: BinaryIO, settings: Settings, name: str) -> None:
    """Refuse what unpacks beyond the limits although it has few rows: lists, and wide values of a fixed length."""
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type):
            if any(_is_bytes(leaf) or pa.types.is_fixed_size_binary(leaf) for leaf in _leaves(field.type)):
                raise DataError(message("files.plain_values"), file=name, column=field.name)
        elif pa.types.is_fixed_size_binary(field.type):
            check_cells(settings, file.metadata.num_rows * field.type.byte_width // 8, 1)
    if any(pa.types.is_nested(field.type) for field in file.schema_arrow):
        check_cells(settings, _most_values(stream, name), 1)


def _most_values(stream: BinaryIO, name: str) -> int:
    """Values of the longest column of a row group: of lists there may be many in a row.

    Asked in a process of its own (.4 s, and columns of lists are rare): Arrow ends the process that asks, where what
    the file says of a column is damaged. Reading the columns raises an error then, as it should.
    """
    stream.seek(-8, 2)
    size = int.from_bytes(stream.read(4), "little")
    stream.seek(-8 - size, 2)
    asked = subprocess.run(
        [sys.executable, "-I", "-c", _MOST_VALUES], input=b"PAR1" + stream.read(), capture_output=True, timeout=60
    )
    if asked.returncode:
        raise DataError(message("files.no_parquet", error="what it says of its columns is damaged"), file=name)
    return int(asked.stdout)


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    if not pa.types.is_nested(kind):
        yield kind
        return
    for i in range(kind.num_fields):
        yield from _leaves(kind.field(i).type)
