"""Tables from files: CSV (packed or not), workbooks and Parquet, local or on any store that fsspec knows."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.data.blocks.disk_table import Scratch
from ml.data.blocks.gathering import Gathering
from ml.data.sources.csv_reader import Chunk, CsvReader, Options
from ml.errors import DataError, Transient
from ml.messages import Message, message
from ml.settings import Data, Settings
from ml.storage.files import is_full

BATCH_ROWS = 8_192  # unpacked at once, so that a limit stops a bomb early; our choice
_PARQUET = (".parquet", ".pq")


def read(settings: Settings, scratch: Scratch | None = None) -> Any:
    """Read `data.path`. Cells of a CSV stay text, and the index holds their lines.

    A frame; with a `scratch`, a table of more than `BLOCK_ROWS` rows is a `DiskTable` there.

    Raises
    ------
    DataError
        It is not there or not a table; the message names the line where one is to blame.
    """
    data = settings.data
    if not data.path:
        raise DataError(message("data.no_path"))
    safe_path = without_password(data.path)
    with _open(data.path) as stream:
        if data.path.casefold().endswith(_PARQUET):
            return read_parquet(stream, safe_path, data, scratch)
        return read_csv(stream, safe_path, data, scratch)


def read_csv(stream: BinaryIO, name: str, data: Data, scratch: Scratch | None = None) -> Any:
    """A CSV stream as text columns, indexed by line; see `ml.data.sources.csv_reader.CsvReader`.

    Parameters
    ----------
    stream
        Read from where it stands.
    name
        File name, with which messages begin.
    scratch
        As of `read`.
    """
    options = Options(
        delimiter={"tab": "\t", "\\t": "\t"}.get(data.delimiter, data.delimiter),
        encoding=data.encoding,
        max_bytes=data.max_bytes,
        max_columns=data.max_columns,
        max_cell_chars=data.max_cell_chars,
        decimal=data.decimal or ".",
    )
    if len(options.delimiter) > 1:
        raise DataError(message("files.delimiter", got=data.delimiter))
    reader = CsvReader(stream, name, options)
    lines = list[range | NDArray[np.int64]]()
    with Gathering(scratch) as gathering:
        for chunk in reader:
            gathering.add(chunk.table)
            lines.append(_lines(chunk))
        return gathering.finish(_line_index(lines), {"file": name, "findings": tuple(reader.report.findings)})


def _lines(chunk: Chunk) -> range | NDArray[np.int64]:
    """The lines of a chunk; a range where each row is one."""
    first, last = int(chunk.lines[0]), int(chunk.lines[-1])
    return range(first, last + 1) if last - first == len(chunk.lines) - 1 else chunk.lines


def _line_index(chunks: list[range | NDArray[np.int64]]) -> Any:
    first, last = int(chunks[0][0]), int(chunks[-1][-1])
    if last - first == sum(map(len, chunks)) - 1:
        return pd.RangeIndex(first, last + 1, name="line")
    return pd.Index(np.concatenate(chunks), name="line")


def read_parquet(stream: Any, name: str, data: Data, scratch: Scratch | None = None) -> Any:
    """A Parquet file; its size is looked up before it is unpacked, and counted while it is.

    Parameters
    ----------
    stream
        Seekable.
    name
        File name, with which messages begin.
    scratch
        As of `read`.
    """
    try:
        file = pq.ParquetFile(stream)
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if size > data.max_bytes:
            raise DataError(message("files.over_max_bytes", size=size, limit=data.max_bytes), file=name)
        if len(file.schema_arrow.names) > data.max_columns:
            n = len(file.schema_arrow.names)
            raise DataError(message("files.too_many_columns", n=n, limit=data.max_columns), file=name)
        empty = _plain(file.schema_arrow.empty_table())
        if not empty.num_columns:
            raise DataError(message("files.no_columns"), file=name)
        size = 0
        with Gathering(scratch) as gathering:
            gathering.add(empty)
            for batch in file.iter_batches(BATCH_ROWS):  # a text said once in a dictionary may be a text in each row
                size += batch.nbytes
                if size > data.max_bytes:
                    raise DataError(message("files.over_max_bytes", size=size, limit=data.max_bytes), file=name)
                gathering.add(_plain(pa.Table.from_batches([batch])))
            return gathering.finish(attrs={"file": name})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if is_full(error):
            raise
        raise DataError(message("files.no_parquet", error=str(error)), file=name) from error


def _plain(table: pa.Table) -> pa.Table:
    """Without the index that pandas wrote, and without what it noted."""
    index = [column for column in table.column_names if re.fullmatch(r"__index_level_\d+__", column)]
    return table.drop_columns(index).replace_schema_metadata(None)


def _open(path: str) -> Any:
    if "://" in path:
        return _open_remote(path)
    local = Path(path).expanduser()
    if not local.exists():
        raise DataError(_not_there(local), file=path)
    if not local.is_file():
        raise DataError(message("files.no_file"), file=path)
    try:
        return local.open("rb")
    except OSError as error:
        raise DataError(message("files.unreadable", error=str(error.strerror)), file=path) from error


def _not_there(path: Path) -> Message:
    cwd = str(Path.cwd())
    if not path.parent.is_dir():
        return message("files.no_such_folder", folder=str(path.parent), cwd=cwd)
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=2, cutoff=0.6)
    return message("files.no_such_file_but", near=near, cwd=cwd) if near else message("files.no_such_file", cwd=cwd)


def _open_remote(path: str) -> Any:
    import fsspec

    safe_path = without_password(path)
    try:
        return fsspec.open(path, "rb").open()
    except (ValueError, ImportError) as error:
        raise DataError(message("files.bad_path", error=str(error)), file=safe_path) from error
    except FileNotFoundError as error:
        raise DataError(message("files.not_there"), file=safe_path) from error
    except PermissionError as error:
        raise DataError(message("files.not_allowed", error=str(error)), file=safe_path) from error
    except OSError as error:
        raise Transient(message("files.unreachable", place=safe_path, error=str(error))) from error


def without_password(path: str) -> str:
    """The path or URL as messages and manifests may show it."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", path).split("?")[0]
