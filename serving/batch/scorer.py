"""From units of rows to parts of the output, on one or more processes, or on a Dask cluster.

The table is read by one process, strictly and in order, with the reader of `POST /predict/file`: one set of rules, one
set of messages. Models cost more than reading, so what the others get is rows as the model takes them. A part appears
when it is whole; one that is there already is not scored again. Workers of a cluster give their parts back as bytes:
this process alone writes the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ml.bundle.reader import Bundle
from ml.data.sources import csv_reader
from ml.engine.cluster import Cluster
from ml.errors import DataError, Transient
from ml.messages import message
from ml.schema.rows import RowReader
from ml.settings import Settings, from_values, to_values
from ml.storage import files
from serving.batch import plan as plans
from serving.batch.plan import Plan
from serving.batch.units import Unit, cut, from_bytes, to_bytes
from serving.scoring import score
from serving.scoring.upload import Upload

ROW = "row"
_UNLIMITED = 1 << 40  # nobody's request: the table is as long as it is
AHEAD = 2  # units a process or a cluster's worker that wait for it, so that it has always one; our choice


def run(
    settings: Settings,
    bundle: Bundle,
    file: Path,
    folder: Path,
    plan: Plan,
    *,
    workers: int,
    done: Callable[[int], None] = lambda _: None,
) -> tuple[int, Upload]:
    """Score the table into `folder`.

    Parameters
    ----------
    plan
        As `plans.begin` gave it.
    workers
        Processes; 1: this one alone. Where `tune.engine` is dask, a cluster has its own number of them.
    done
        Called with the number of rows that are in their parts.

    Returns
    -------
    The number of rows, and the reader, whose report has what was noticed.

    Raises
    ------
    DataError, RowsError
        The table is wrong somewhere: before anything was scored.
    Transient
        A process was ended from outside, or the cluster was lost: the command goes on where it was.
    """
    with file.open("rb") as stream:
        upload = reader(settings, bundle, stream, file.name)
        upload.checked(0)
        units = (unit for unit in cut(upload, plan) if not plans.part(folder, unit.number).exists())
        there = _there(folder, upload.rows, plan)
        done(there)
        if settings.tune.engine == "dask":
            written = _on_cluster(settings.tune.engine_address, bundle.path, folder, units)
        elif workers == 1:
            written = (write(bundle, folder, unit) for unit in units)
        else:
            written = _in_parallel(bundle.path, folder, units, workers)
        for rows in written:
            there += rows
            done(there)
    return upload.rows, upload


def reader(settings: Settings, bundle: Bundle, stream: Any, name: str) -> Upload:
    """Of a table of any length: `stream` is seekable, messages begin with `name`."""
    values = to_values(settings)
    values["serving"] |= {"max_file_rows": _UNLIMITED, "max_file_cells": _UNLIMITED}
    data = settings.data
    options = csv_reader.Options(max_bytes=_UNLIMITED, max_columns=data.max_columns, max_cell_chars=data.max_cell_chars)
    return Upload(stream, name, RowReader(bundle.schema), settings=from_values(values), options=options)


def _there(folder: Path, rows: int, plan: Plan) -> int:
    units = -(-rows // plan.unit_rows)
    found = sum(plans.part(folder, unit).exists() for unit in range(units))
    return min(found * plan.unit_rows, rows)


def write(bundle: Bundle, folder: Path, unit: Unit) -> int:
    """Score a unit and write its part into `folder`, whole or not at all; returns its rows."""
    answers = _scored(bundle, unit)
    target = plans.part(folder, unit.number)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        pq.write_table(answers, fresh)
        files.sync_file(fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
    files.sync_folder(folder)
    return len(unit.rows)


def answer(bundle: Bundle, ask: bytes) -> bytes:
    """Score a unit that came as bytes; its part as bytes."""
    content = pa.BufferOutputStream()
    pq.write_table(_scored(bundle, from_bytes(ask)), content)
    return bytes(content.getvalue())


def _scored(bundle: Bundle, unit: Unit) -> pa.Table:
    probabilities = score.run(bundle, unit.rows)
    if not np.isfinite(np.add.reduce(probabilities, axis=None)):
        raise DataError(message("requests.no_finite_probability", row=unit.first + _first_bad(probabilities)))
    return _answers(bundle, unit, probabilities)


def _first_bad(probabilities: npt.NDArray[np.float32]) -> int:
    return int(np.argmin(np.isfinite(probabilities).all(axis=1)))


def _answers(bundle: Bundle, unit: Unit, probabilities: npt.NDArray[np.float32]) -> pa.Table:
    """The row's place, the columns that go through, and what `POST /predict/file` adds but for an id of the answer."""
    schema, n = bundle.schema, len(probabilities)
    codes = bundle.decision.codes(probabilities, schema)
    classes = pa.array(schema.classes, pa.string())
    columns: dict[str, Any] = {ROW: pa.array(np.arange(unit.first, unit.first + n))}
    columns |= dict(zip(unit.kept.column_names, unit.kept.columns, strict=True))
    added = {
        "label": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), classes).dictionary_decode(),
        "probability": pa.array(probabilities[np.arange(n), codes]),
        **(
            {"positive_probability": pa.array(probabilities[:, schema.classes.index(schema.positive_label)])}
            if schema.positive_label in schema.classes
            else {}
        ),
        **{f"probability_{name}": pa.array(probabilities[:, j]) for j, name in enumerate(schema.classes)},
        "warnings": unit.warnings,
    }
    for name, column in added.items():
        while name in columns:
            name = f"predicted_{name}"
        columns[name] = column
    return pa.table(columns)


_bundle: Bundle | None = None  # of a process of the pool


def _open(folder: Path) -> None:
    global _bundle
    _bundle = Bundle.open(folder)


def _write(folder: Path, unit: Unit) -> int:
    assert _bundle is not None  # `_open` came first
    return write(_bundle, folder, unit)


def _in_parallel(bundle: Path, folder: Path, units: Iterator[Unit], workers: int) -> Iterator[int]:
    """Rows of each part that is written, as they come; no more units are in memory than the processes soon need."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_open, initargs=(bundle,))
    under_way: set[Future[int]] = set()
    try:
        for unit in units:
            under_way.add(pool.submit(_write, folder, unit))
            if len(under_way) >= AHEAD * workers:
                finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in finished)
        yield from (one.result() for one in under_way)
    except BrokenProcessPool as error:
        raise Transient(message("requests.scorer_ended")) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _on_cluster(address: str, bundle: Path, folder: Path, units: Iterator[Unit]) -> Iterator[int]:
    """As `_in_parallel`, by workers that have neither the bundle nor the folder."""
    cluster: Cluster[tuple[int, int]] = Cluster(address, bundle, Bundle.open, answer)
    under_way = 0
    try:
        for unit in units:
            cluster.submit((unit.number, len(unit.rows)), to_bytes(unit))
            under_way += 1
            if under_way >= AHEAD * max(1, cluster.workers):
                yield _kept(cluster, folder)
                under_way -= 1
        for _ in range(under_way):
            yield _kept(cluster, folder)
    finally:
        cluster.close()


def _kept(cluster: Cluster[tuple[int, int]], folder: Path) -> int:
    """Wait for a part and write it; returns its rows."""
    (number, rows), content = cluster.wait()
    if content is None:
        raise Transient(message("requests.scorer_ended"))
    files.write_bytes(plans.part(folder, number), content)
    return rows
