"""Immutable tables: `<id>.parquet`, named by the hash of its bytes, and its manifest `<id>.json`.

The manifest is written last: a snapshot without one does not exist. Everything that training reads
(rows, codes, parts, schema) is inside what is hashed; the manifest tells people where it came from. A large table's
`<id>.parquet` is a folder (`ml.data.blocks.parts`), which Parquet readers take as they take a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.data import snapshot_store
from ml.data.blocks import parts as part_files
from ml.data.blocks.disk_table import DiskTable, blocks, in_memory
from ml.data.blocks.parts import PartFiles, sha256
from ml.data.manifest import Labelled, Manifest
from ml.data.split import PARTS, Method
from ml.errors import DataError
from ml.messages import message
from ml.schema.findings import Report
from ml.schema.schema import Schema
from ml.settings import Settings
from ml.storage import files

# Columns beside the inputs; the prefix keeps them apart from any customer's own names.
Y, PART, WEIGHT, ID, TIME = (f"__refit_{name}" for name in ("y", "part", "weight", "id", "time"))
_ABANDONED_S = 3_600.0  # a file half-written for so long belongs to nobody; our choice
KEPT_CELLS = 5_000_000  # a table of no more is read once a process: 20 MB of numbers; our choice
_SCHEMA_KEY = b"refit.schema"


class Part(NamedTuple):
    """Rows of one part: canonical inputs (n, K + M), codes (n,) int64, and what belongs to each row."""

    X: pd.DataFrame
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None
    ids: NDArray[np.object_] | None
    time: NDArray[Any] | None


class Snapshot:
    """One snapshot, verified when it was opened."""

    def __init__(self, path: Path, manifest: Manifest, schema: Schema):
        self.path = path
        self.manifest = manifest
        self.schema = schema
        self._kept: pa.Table | None = None

    @property
    def id(self) -> str:
        """The first 16 hex digits of the file's SHA-256."""
        return self.path.stem

    def __repr__(self) -> str:
        return f"Snapshot({self.id}, {self.manifest.rows:,} rows)"

    def frame(self) -> pd.DataFrame:
        """All rows: the canonical inputs, and the target as int64 codes in `schema.target`.

        In the order of the table where it is one file, else part after part.
        """
        names = [column.name for column in self.schema.columns]
        tables = list(part_files.read(part_files.files(self.path), [*names, Y]))
        frame: pd.DataFrame = part_files.frame_of(tables, names, sum(map(len, tables)))
        frame[self.schema.target] = np.concatenate([table.column(Y).to_numpy() for table in tables])
        return frame

    def part(self, name: str) -> Part:
        """The rows of "train", "validation", "test" or "recent" (which may be empty).

        A small table is kept for the process, a large one is read each time.

        Raises
        ------
        KeyError
            Another name.
        """
        return self._part(list(self._tables(name)))

    def sample(self, name: str, most: int, seed: int = 0) -> Part:
        """The rows of a part; of more than `most`, so many drawn at random, in their order: the same for one seed.

        Labelled production rows of training and validation, which stand last, are drawn before others.

        Parameters
        ----------
        name
            As of `part`.
        """
        rows = self.manifest.parts[name]
        if rows <= most:
            return self.part(name)
        labelled = {"train": self.manifest.labelled.train, "validation": self.manifest.labelled.validation}
        last = min(labelled.get(name, 0), most)
        drawn = np.random.default_rng(seed).choice(rows - last, most - last, replace=False)
        chosen = np.concatenate([np.sort(drawn), np.arange(rows - last, rows)])
        tables, start = [], 0
        for table in self._tables(name):
            first, end = np.searchsorted(chosen, [start, start + len(table)])
            tables.append(table.take(pa.array(chosen[first:end] - start)))
            start += len(table)
        return self._part(tables)

    def blocks(self, name: str) -> Iterator[Part]:
        """The rows of a part, some at a time: as `part`, in its order, with no more in memory than one file has."""
        for table in self._tables(name):
            if len(table):
                yield self._part([table])

    def labels(self, name: str) -> NDArray[np.int64]:
        """(n,) the codes of a part's rows, without their inputs."""
        return np.concatenate([table.column(Y).to_numpy() for table in self._tables(name, [Y])])

    def ids(self, name: str) -> NDArray[np.object_]:
        """(n,) whom a part's rows are about, without their inputs; empty where nobody is named."""
        found = [table.column(ID) for table in self._tables(name, [ID]) if ID in table.column_names]
        return np.concatenate([column.to_pandas().to_numpy(object) for column in found] or [np.empty(0, object)])

    def _tables(self, name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a part, at least one table; a column that no row has is left out."""
        if name not in PARTS:
            raise KeyError(f"no part '{name}': one of {', '.join(PARTS)}")
        if not self.path.is_dir():
            table = self._whole(columns)
            yield table.filter(pc.equal(table.column(PART), PARTS.index(name)))
        elif found := part_files.files(self.path, name):
            yield from part_files.read(found, columns)
        else:
            yield next(part_files.read(part_files.files(self.path)[:1], columns)).slice(0, 0)

    def _whole(self, columns: list[str] | None) -> pa.Table:
        """The table of a single file."""
        if self._kept is not None:
            return self._kept
        small = self.manifest.rows * len(self.schema.columns) <= KEPT_CELLS
        wanted = None if small or columns is None else [*columns, PART]
        table = next(part_files.read([self.path], wanted))
        self._kept = table if small else None
        return table

    def _part(self, tables: list[pa.Table]) -> Part:
        names = [column.name for column in self.schema.columns]
        X = part_files.frame_of(tables, names, sum(map(len, tables)))
        rest = pa.concat_tables([table.drop_columns(names) for table in tables])
        there = set(rest.column_names)
        return Part(
            X=X,
            y=rest.column(Y).to_numpy(),
            weight=rest.column(WEIGHT).to_numpy() if WEIGHT in there else None,
            ids=rest.column(ID).to_pandas().to_numpy(object) if ID in there else None,
            time=rest.column(TIME).to_pandas().to_numpy() if TIME in there else None,
        )


class Rows(NamedTuple):
    """A whole table, ready to be kept: canonical inputs, in memory or on disk, and what belongs to each row."""

    X: pd.DataFrame | DiskTable
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None
    ids: NDArray[np.object_] | None = None
    time: NDArray[Any] | None = None

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows (n,) that are kept, numbered from 0."""
        if keep.all():
            return self._replace(X=self.X.reset_index(drop=True))
        return Rows(
            self.X[keep].reset_index(drop=True),
            *(None if values is None else values[keep] for values in self[1:]),  # type: ignore[arg-type]
        )

    def rest(self, here: slice) -> Rows:
        """What belongs to some rows beside their inputs, which stay those of all."""
        return Rows(self.X, *(None if values is None else values[here] for values in self[1:]))  # type: ignore[arg-type]


def write(
    rows: Rows,
    schema: Schema,
    report: Report,
    parts: NDArray[np.int8],
    settings: Settings,
    *,
    parent: str | None = None,
    source: Mapping[str, str] | None = None,
    split: Method = "stratified",
    labelled: Labelled | None = None,
) -> Snapshot:
    """Keep a table. The same table gives the same id and is not written again.

    Parameters
    ----------
    parts
        (n_rows,) indices into `PARTS`.
    parent, source, split, labelled
        For the manifest: see `Manifest`.

    Raises
    ------
    DataError
        The disk is full or not writable; nothing half-written is left.
    """
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        path, digest = _write(rows, schema, parts, folder)
        manifest = Manifest(
            id=path.stem,
            sha256=digest,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            rows=len(rows.y),
            columns=tuple(column.name for column in schema.columns),
            classes={label: int((rows.y == code).sum()) for code, label in enumerate(schema.classes)},
            parts={name: int((parts == code).sum()) for code, name in enumerate(PARTS)},
            seed=settings.data.seed,
            parent=parent,
            time_range=None if rows.time is None else (str(rows.time.min()), str(rows.time.max())),
            report=tuple(report.findings),
            schema=schema,
            source=dict(source or {}),
            split=split,
            labelled=labelled or Labelled(),
        )
        if not path.with_suffix(".json").exists():
            files.write_json(path.with_suffix(".json"), manifest)
    except OSError as error:
        raise DataError(message("data.not_written", error=str(error)), file=str(folder)) from error
    made = _opened(settings, path, anew=True)
    # Where the same rows were there already, what is told is of this reading: another file, other checks.
    known = {"report": manifest.report, "source": manifest.source, "labelled": manifest.labelled}
    made.manifest = msgspec.structs.replace(made.manifest, **known)
    return made


def open(settings: Settings, snapshot_id: str) -> Snapshot:
    """Open a snapshot by its id, once its bytes were found to be those that were written.

    One that is not on this machine is fetched from `storage.url`.

    Raises
    ------
    DataError
        There is none of that id, or its content is not what the id says.
    """
    path = settings.data_dir / f"{snapshot_id}.parquet"
    if not snapshot_id.isalnum() or not (snapshot_store.is_here(path) or snapshot_store.fetch(settings, snapshot_id)):
        raise DataError(message("data.no_snapshot", snapshot=snapshot_id, folder=str(settings.data_dir)))
    digest = sha256(path)
    if not digest.startswith(snapshot_id) or len(snapshot_id) != snapshot_store.ID_LENGTH:
        raise DataError(message("data.snapshot_altered", sha256=digest), file=str(path))
    return _opened(settings, path)


def _opened(settings: Settings, path: Path, *, anew: bool = False) -> Snapshot:
    """One whose bytes are those of its id; others get it once it was found whole. `anew`: made just now."""
    try:
        manifest = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Manifest)
        schema = Schema.from_json(pq.read_schema(part_files.files(path)[0]).metadata[_SCHEMA_KEY])
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, pa.ArrowInvalid) as error:
        raise DataError(message("data.other_snapshot", error=str(error)), file=str(path)) from error
    snapshot_store.share(settings, path, anew=anew)
    return Snapshot(path, manifest, schema)


def _table(X: pd.DataFrame, rows: Rows, schema: Schema, parts: NDArray[np.int8]) -> pa.Table:
    """The rows with the inputs X, as they are in a file."""
    frame = X[[column.name for column in schema.columns]].reset_index(drop=True)
    more = {Y: rows.y, PART: parts, WEIGHT: rows.weight, ID: rows.ids, TIME: rows.time}
    frame = pd.concat([frame, pd.DataFrame({k: v for k, v in more.items() if v is not None})], axis=1)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _SCHEMA_KEY: schema.to_json()})


def _sweep(folder: Path) -> None:
    """Remove what a killed process left; nothing takes an hour to write."""
    for left in folder.glob(".*.*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime <= _ABANDONED_S:
                continue
            if left.is_file():
                left.unlink()
            else:
                shutil.rmtree(left, ignore_errors=True)


def _write(rows: Rows, schema: Schema, parts: NDArray[np.int8], folder: Path) -> tuple[Path, str]:
    """One file, or a folder of them where the rows are more than a file may hold; and its hash, which names it."""
    if len(rows.y) <= part_files.PART_ROWS:
        return _write_table(_table(in_memory(rows.X), rows, schema, parts), folder)
    made = Path(tempfile.mkdtemp(dir=folder, prefix=".snapshot."))
    try:
        writer, start = PartFiles(made, PARTS), 0
        for block in blocks(rows.X):
            here = slice(start, start + len(block))
            writer.add(_table(block, rows.rest(here), schema, parts[here]), parts[here])
            start = here.stop
        writer.finish()
        digest = sha256(made)
        path = folder / f"{digest[: snapshot_store.ID_LENGTH]}.parquet"
        if path.exists() and sha256(path) == digest:
            os.utime(path)  # made anew: what is deleted as old goes by it
            shutil.rmtree(made)
        else:
            made.chmod(0o755)
            files.replace_folder(made, path)
        return path, digest
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _write_table(table: pa.Table, folder: Path) -> tuple[Path, str]:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".snapshot.")
    try:
        with os.fdopen(handle, "wb") as stream:
            pq.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        digest = sha256(Path(name))
        path = folder / f"{digest[: snapshot_store.ID_LENGTH]}.parquet"
        if path.exists() and sha256(path) == digest:
            os.utime(path)
            os.unlink(name)
        else:
            os.replace(name, path)
            files.sync_folder(folder)
        return path, digest
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
