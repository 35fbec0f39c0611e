"""A snapshot's Parquet files: written block by block, each of rows of one part, and read back.

A table of at most `PART_ROWS` rows is one file with the rows of all parts in their order. A larger one is a folder of
that name, whose files hold at most so many rows of one part each, in their order: `train-00000.parquet`, …
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

PART_ROWS = 250_000  # of one file


class PartFiles:
    """Writes rows that come in order, each to a file of its part.

    Parameters
    ----------
    folder
        Empty.
    names
        Of the parts, by their codes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names
        self._waiting: list[list[pa.Table]] = [[] for _ in names]
        self._written = [0] * len(names)

    def add(self, table: pa.Table, codes: NDArray[np.int8]) -> None:
        """Take rows, with the code (n,) of each one's part."""
        for code in np.unique(codes).tolist():
            waiting = self._waiting[code]
            waiting.append(table.filter(pa.array(codes == code)))
            while sum(len(one) for one in waiting) >= PART_ROWS:
                self._flush(code)

    def finish(self) -> None:
        """Write what is left."""
        for code, waiting in enumerate(self._waiting):
            if sum(len(one) for one in waiting):
                self._flush(code)

    def _flush(self, code: int) -> None:
        whole = pa.concat_tables(self._waiting[code])
        # A dictionary of numbers that all differ took seven times as long, and half as much room again (measured).
        levels = [field.name for field in whole.schema if not pa.types.is_floating(field.type)]
        file = self._folder / f"{self._names[code]}-{self._written[code]:05d}.parquet"
        with file.open("wb") as stream:
            pq.write_table(whole.slice(0, PART_ROWS), stream, compression="zstd", use_dictionary=levels)
            stream.flush()
            os.fsync(stream.fileno())
        self._written[code] += 1
        self._waiting[code][:] = [whole.slice(PART_ROWS)]


def files(path: Path, part: str = "") -> list[Path]:
    """The files of a snapshot in order, or those with rows of a part."""
    return sorted(path.glob(f"{part or '*'}-*.parquet")) if path.is_dir() else [path]


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's content; of a folder, that of its files' names and hashes."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256("".join(f"{file.name} {sha256(file)}\n" for file in files(path)).encode()).hexdigest()


def read(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables of some files, one after another, of all columns or some; a column that is in none is left out."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            yield file.read(columns=wanted, use_threads=False)


def frame_of(tables: Iterable[pa.Table], names: Sequence[str], rows: int) -> pd.DataFrame:
    """Number and text columns of tables as one frame, without a second copy of all of them.

    Parameters
    ----------
    tables
        Read one after another.
    names
        Of the columns, in order.
    rows
        Of all tables together.
    """
    numbers: NDArray[np.float32] | None = None
    places: dict[str, int] = {}
    texts: dict[str, list[pa.ChunkedArray]] = {}
    start = 0
    for table in tables:
        if numbers is None:
            floats = [name for name in names if pa.types.is_floating(table.schema.field(name).type)]
            places = {name: i for i, name in enumerate(floats)}
            texts = {name: [] for name in names if name not in places}
            numbers = np.empty((len(places), rows), np.float32)
        for name, place in places.items():
            numbers[place, start : start + len(table)] = table.column(name).to_numpy()
        for name, chunks in texts.items():
            chunks.append(table.column(name))
        start += len(table)
    if numbers is None:
        return pd.DataFrame({name: [] for name in names})
    if not texts:
        return pd.DataFrame(numbers.T, columns=list(names), copy=False)
    columns: dict[str, Any] = {
        name: numbers[places[name]] if name in places else _joined(texts.pop(name)).to_pandas() for name in names
    }
    return pd.DataFrame(columns, copy=False)


def _joined(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
