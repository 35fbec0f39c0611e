"""A table whose columns lie on disk; stands where a frame stands that is read by columns or blocks.

What infers a schema, coerces cells and counts asks for one column after another, what writes a snapshot for one block
of rows after another: neither needs the whole table in memory. Columns are Arrow IPC files without compression, read
with their own offsets, so that one column costs what it is and not what its table is.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.data.blocks import column_types

BLOCK_ROWS = 250_000  # of a block, and of a snapshot's file at most; a table of no more is a frame in memory


class Place(NamedTuple):
    """Where a column lies: its file, and which of the file's fields it is."""

    file: Path
    field: int


class Segment(NamedTuple):
    """Rows of all columns: `places` in the order of the columns, `rows` many."""

    places: tuple[Place, ...]
    rows: int


class DiskTable:
    """Columns on disk, with what is asked of a frame: names, index, attributes, one column, some of the rows.

    Parameters
    ----------
    folder
        Where columns lie, and new ones are put. Whoever made it removes it.
    names
        Of the columns; two may be alike until they are checked.
    segments
        Their rows, one segment after another.
    index
        (n_rows,) as of a frame: lines of the file, where it has lines; None: numbers from 0.
    attrs
        As of a frame.
    keep
        (n_rows,) which rows of the segments are rows of this table; None: all.
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[Any],
        segments: tuple[Segment, ...],
        *,
        index: pd.Index | None = None,
        attrs: dict[Any, Any] | None = None,
        keep: NDArray[np.bool_] | None = None,
    ) -> None:
        self._folder, self._segments, self._keep = folder, segments, keep
        self.columns = list(names)
        rows = sum(segment.rows for segment in segments) if keep is None else int(keep.sum())
        self.index = pd.RangeIndex(rows) if index is None else index
        self.attrs: dict[Any, Any] = {} if attrs is None else attrs

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> Any:
        """A column by its name; a frame of a list of them; a table of the rows (n_rows,) that a mask has."""
        if isinstance(key, np.ndarray):
            return self._where(key)
        if isinstance(key, list):
            frame = pd.DataFrame({name: self._column(name).set_axis(self.index) for name in key})
            frame.attrs = dict(self.attrs)
            return frame
        return self._column(key)

    def set_axis(self, labels: Iterable[Any], *, axis: int = 1) -> DiskTable:
        """The table with other names of its columns."""
        return self._like(labels, self._segments, keep=self._keep, index=self.index, attrs=self.attrs)

    def reset_index(self, *, drop: bool) -> DiskTable:
        """The table with rows numbered from 0."""
        return self._like(self.columns, self._segments, keep=self._keep)

    def of_columns(self, columns: Iterable[tuple[str, Any]]) -> DiskTable:
        """A table of new columns (n_rows,) with this one's index; each is on disk before the next one is asked for.

        Parameters
        ----------
        columns
            Names, and arrays of numbers or series of text.
        """
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        names, places = [], []
        for number, (name, values) in enumerate(columns):
            file = folder / f"{number}.arrow"
            _write(file, pa.table({"": pa.array(values)}))
            names.append(name)
            places.append(Place(file, 0))
        return self._like(names, (Segment(tuple(places), len(self)),), index=self.index)

    def select(self, names: Iterable[str]) -> DiskTable:
        """The table with these of its columns."""
        names = list(names)
        where = [self.columns.index(name) for name in names]
        segments = tuple(Segment(tuple(s.places[i] for i in where), s.rows) for s in self._segments)
        return self._like(names, segments, keep=self._keep, index=self.index)

    def with_rows(self, frame: pd.DataFrame) -> DiskTable:
        """The table with the rows of a frame of the same columns behind its own, numbered from 0."""
        if not len(frame):
            return self.reset_index(drop=True)
        file = Path(tempfile.mkdtemp(dir=self._folder)) / "rows.arrow"
        _write(file, pa.Table.from_pandas(frame[self.columns], preserve_index=False))
        added = Segment(tuple(Place(file, i) for i in range(len(self.columns))), len(frame))
        keep = None if self._keep is None else np.concatenate([self._keep, np.ones(len(frame), bool)])
        return self._like(self.columns, (*self._segments, added), keep=keep)

    def first(self, name: str, rows: int) -> pd.Series:
        """The first cells of a column, as its type is there, without a look at the others."""
        position, start, chunks = self.columns.index(name), 0, list[pa.Array]()
        for segment in self._segments:
            for number in range(_batches(segment.places[position])):
                if sum(map(len, chunks)) >= rows:
                    break
                chunk = _batch(segment.places[position], number)
                stop = start + len(chunk)
                chunks.append(chunk if self._keep is None else chunk.filter(pa.array(self._keep[start:stop])))
                start = stop
        series: pd.Series = column_types.joined(chunks).slice(0, rows).to_pandas()
        series.name = name
        return series

    def blocks(self) -> Iterator[pd.DataFrame]:
        """All rows in order, at most `BLOCK_ROWS` at a time; for tables that `of_columns` made."""
        start = 0
        for segment in self._segments:
            for number, first in enumerate(range(0, segment.rows, BLOCK_ROWS)):
                stop = min(first + BLOCK_ROWS, segment.rows)
                keep = None if self._keep is None else self._keep[start + first : start + stop]
                if keep is not None and not keep.any():
                    continue
                cells = [_cells(_batch(place, number)) for place in segment.places]
                frame = pd.DataFrame(dict(zip(self.columns, cells, strict=True)), copy=False)
                yield frame if keep is None or keep.all() else frame[keep].reset_index(drop=True)
            start += segment.rows

    def _where(self, mask: NDArray[np.bool_]) -> DiskTable:
        if mask.all():
            return self
        keep = mask
        if self._keep is not None:
            keep = self._keep.copy()
            keep[keep] = mask
        return self._like(self.columns, self._segments, keep=keep, index=self.index[mask])

    def _column(self, name: Any) -> pd.Series:
        position = self.columns.index(name)
        chunks = [chunk for segment in self._segments for chunk in _read(segment.places[position])]
        array = column_types.joined(chunks) if chunks else pa.chunked_array([], pa.null())
        if self._keep is not None:
            array = array.filter(pa.array(self._keep))
        series: pd.Series = _whole(array).to_pandas()
        series.name = name
        return series

    def _like(self, names: Iterable[Any], segments: tuple[Segment, ...], **more: Any) -> DiskTable:
        return DiskTable(self._folder, names, segments, **more)


class Scratch:
    """A place for tables on disk, made when one is put there, and removed at the end of the `with`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._made: Path | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def folder(self) -> Path:
        """The folder."""
        if self._made is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._made = Path(tempfile.mkdtemp(dir=self._parent, prefix=".table."))
        return self._made


def blocks(frame: Any) -> Iterator[pd.DataFrame]:
    """The rows of a frame or a `DiskTable`, at most `BLOCK_ROWS` at a time.

    >>> [len(block) for block in blocks(pd.DataFrame({"a": np.zeros(BLOCK_ROWS + 1)}))]
    [250000, 1]
    """
    if isinstance(frame, DiskTable):
        yield from frame.blocks()
    else:
        for start in range(0, len(frame), BLOCK_ROWS):
            yield frame.iloc[start : start + BLOCK_ROWS] if len(frame) > BLOCK_ROWS else frame


def in_memory(frame: Any) -> pd.DataFrame:
    """The rows of a frame or a `DiskTable` as one frame."""
    return pd.concat(list(frame.blocks()), ignore_index=True) if isinstance(frame, DiskTable) else frame


def _write(file: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=BLOCK_ROWS)


def _read(place: Place) -> list[pa.Array]:
    with contextlib.closing(pa.OSFile(str(place.file))) as stream:
        chunks: list[pa.Array] = _reader(stream, place).read_all().column(0).chunks
    return chunks


def _batches(place: Place) -> int:
    with contextlib.closing(pa.OSFile(str(place.file))) as stream:
        count: int = _reader(stream, place).num_record_batches
        return count


def _batch(place: Place, number: int) -> pa.Array:
    with contextlib.closing(pa.OSFile(str(place.file))) as stream:
        return _reader(stream, place).get_batch(number).column(0)


def _reader(stream: Any, place: Place) -> Any:
    return pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=[place.field], use_threads=False))


def _whole(array: pa.ChunkedArray) -> Any:
    """One chunk, so that no later look at it has to join it; text with offsets that hold all of it."""
    if pa.types.is_string(array.type):
        array = pc.cast(array, pa.large_string())
    return array.combine_chunks() if array.num_chunks > 1 else array


def _cells(array: pa.Array) -> Any:
    return array.to_numpy() if pa.types.is_floating(array.type) and not array.null_count else array.to_pandas()
