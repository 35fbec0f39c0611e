"""Tables from files: CSV (packed or not), workbooks and Parquet, local or on any store that fsspec knows."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.sources.csv_reader import Chunk, CsvReader, Options
from ml.errors import DataError, Transient
from ml.messages import Message, message
from ml.settings import Data, Settings

BATCH_ROWS = 8_192  # unpacked at once, so that a limit stops a bomb early; our choice
_PARQUET = (".parquet", ".pq")


def read(settings: Settings) -> pd.DataFrame:
    """Read `data.path`. Cells of a CSV stay text, and the index holds their lines.

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
            return read_parquet(stream, safe_path, data)
        return read_csv(stream, safe_path, data)


def read_csv(stream: BinaryIO, name: str, data: Data) -> pd.DataFrame:
    """A CSV stream as text columns, indexed by line; see `ml.data.sources.csv_reader.CsvReader`.

    Parameters
    ----------
    stream
        Read from where it stands.
    name
        File name, with which messages begin.
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
    chunks = list(reader)
    frame = pa.concat_tables(chunk.table for chunk in chunks).to_pandas()
    frame.index = _line_index(chunks)
    frame.attrs |= {"file": name, "findings": tuple(reader.report.findings)}
    return cast(pd.DataFrame, frame)


def _line_index(chunks: list[Chunk]) -> Any:
    lines = np.concatenate([chunk.lines for chunk in chunks])
    if lines[-1] - lines[0] == len(lines) - 1:
        return pd.RangeIndex(int(lines[0]), int(lines[-1]) + 1, name="line")
    return pd.Index(lines, name="line")


def read_parquet(stream: Any, name: str, data: Data) -> pd.DataFrame:
    """A Parquet file; its size is looked up before it is unpacked, and counted while it is.

    Parameters
    ----------
    stream
        Seekable.
    name
        File name, with which messages begin.
    """
    try:
        file = pq.ParquetFile(stream)
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if size > data.max_bytes:
            raise DataError(message("files.over_max_bytes", size=size, limit=data.max_bytes), file=name)
        if len(file.schema_arrow.names) > data.max_columns:
            n = len(file.schema_arrow.names)
            raise DataError(message("files.too_many_columns", n=n, limit=data.max_columns), file=name)
        batches, size = [], 0
        for batch in file.iter_batches(BATCH_ROWS):  # a text said once in a dictionary may be a text in each row
            size += batch.nbytes
            if size > data.max_bytes:
                raise DataError(message("files.over_max_bytes", size=size, limit=data.max_bytes), file=name)
            batches.append(batch)
        table = pa.Table.from_batches(batches, file.schema_arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(message("files.no_parquet", error=str(error)), file=name) from error
    index = [column for column in table.column_names if re.fullmatch(r"__index_level_\d+__", column)]
    frame = table.drop_columns(index).replace_schema_metadata(None).to_pandas()
    frame.attrs["file"] = name
    return cast(pd.DataFrame, frame)


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
