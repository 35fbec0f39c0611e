"""Immutable tables: `<id>.parquet`, named by the hash of its bytes, and its manifest `<id>.json`.

The manifest is written last: a snapshot without one does not exist. Everything that training reads
(rows, codes, parts, schema) is inside the hashed file; the manifest tells people where it came from.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

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

    @property
    def id(self) -> str:
        """The first 16 hex digits of the file's SHA-256."""
        return self.path.stem

    def __repr__(self) -> str:
        return f"Snapshot({self.id}, {self.manifest.rows:,} rows)"

    @functools.cached_property
    def _table(self) -> pd.DataFrame:
        table: pd.DataFrame = pq.read_table(self.path).to_pandas()
        return table

    def frame(self) -> pd.DataFrame:
        """All rows: the canonical inputs, the target as int64 codes in `schema.target`, and `part`-wise order kept."""
        frame: pd.DataFrame = self._table[[column.name for column in self.schema.columns]].copy()
        frame[self.schema.target] = self._table[Y].to_numpy()
        return frame

    def part(self, name: str) -> Part:
        """The rows of "train", "validation", "test" or "recent" (which may be empty).

        Raises
        ------
        KeyError
            Another name.
        """
        if name not in PARTS:
            raise KeyError(f"no part '{name}': one of {', '.join(PARTS)}")
        rows = self._table[self._table[PART] == PARTS.index(name)]
        return Part(
            X=rows[[column.name for column in self.schema.columns]].reset_index(drop=True),
            y=rows[Y].to_numpy(np.int64),
            weight=rows[WEIGHT].to_numpy(np.float64) if WEIGHT in rows else None,
            ids=rows[ID].to_numpy(object) if ID in rows else None,
            time=rows[TIME].to_numpy() if TIME in rows else None,
        )


class Rows(NamedTuple):
    """A whole table, ready to be kept: canonical inputs and what belongs to each row."""

    X: pd.DataFrame
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None
    ids: NDArray[np.object_] | None = None
    time: NDArray[Any] | None = None

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows (n,) that are kept."""
        return Rows(
            self.X[keep].reset_index(drop=True),
            *(None if values is None else values[keep] for values in self[1:]),  # type: ignore[arg-type]
        )


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
        path = _write_table(_table(rows, schema, parts), folder)
        manifest = Manifest(
            id=path.stem,
            sha256=sha256(path),
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
    return open(settings, path.stem)


def open(settings: Settings, snapshot_id: str) -> Snapshot:
    """Open a snapshot by its id, once its bytes were found to be those that were written.

    Raises
    ------
    DataError
        There is none of that id, or its content is not what the id says.
    """
    path = settings.data_dir / f"{snapshot_id}.parquet"
    if not snapshot_id.isalnum() or not path.exists() or not path.with_suffix(".json").exists():
        raise DataError(message("data.no_snapshot", snapshot=snapshot_id, folder=str(settings.data_dir)))
    digest = sha256(path)
    if not digest.startswith(snapshot_id) or len(snapshot_id) != 16:
        raise DataError(message("data.snapshot_altered", sha256=digest), file=str(path))
    try:
        manifest = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Manifest)
        schema = Schema.from_json(pq.read_schema(path).metadata[_SCHEMA_KEY])
    except (msgspec.DecodeError, KeyError, TypeError, pa.ArrowInvalid) as error:
        raise DataError(message("data.other_snapshot", error=str(error)), file=str(path)) from error
    return Snapshot(path, manifest, schema)


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _table(rows: Rows, schema: Schema, parts: NDArray[np.int8]) -> pa.Table:
    frame = rows.X[[column.name for column in schema.columns]].reset_index(drop=True)
    more = {Y: rows.y, PART: parts, WEIGHT: rows.weight, ID: rows.ids, TIME: rows.time}
    frame = pd.concat([frame, pd.DataFrame({k: v for k, v in more.items() if v is not None})], axis=1)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _SCHEMA_KEY: schema.to_json()})


def _sweep(folder: Path) -> None:
    """Remove what a killed process left; nothing takes an hour to write."""
    for left in folder.glob(".*.*"):
        with contextlib.suppress(FileNotFoundError):
            if left.is_file() and time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()


def _write_table(table: pa.Table, folder: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".snapshot.")
    try:
        with os.fdopen(handle, "wb") as stream:
            pq.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        path = folder / f"{sha256(Path(name))[:16]}.parquet"
        if path.exists() and sha256(path)[:16] == path.stem:
            os.unlink(name)
        else:
            os.replace(name, path)
            files.sync_folder(folder)
        return path
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
