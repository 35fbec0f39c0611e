"""From units of rows to parts of the output, on one or more processes.

The table is read by one process, strictly and in order, with the reader of `POST /predict/file`: one set of rules, one
set of messages. Models cost more than reading, so what the others get is rows as the model takes them. A part appears
when it is whole; one that is there already is not scored again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ml.bundle.reader import Bundle
from ml.data.sources import csv_reader
from ml.errors import DataError, Transient
from ml.messages import message
from ml.schema.rows import RowReader, Rows
from ml.settings import Settings, from_values, to_values
from ml.storage import files
from serving.batch import plan as plans
from serving.batch.plan import Plan
from serving.scoring import score
from serving.scoring.file_writers import warning_texts
from serving.scoring.upload import Upload

ROW = "row"
_UNLIMITED = 1 << 40  # nobody's request: the table is as long as it is
AHEAD = 2  # units a process that wait for it, so that it has always one; our choice


class Unit(NamedTuple):
    """Some rows of the table: their number, the place of the first, and the columns that go through."""

    number: int
    first: int
    rows: Rows
    kept: pa.Table


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
        Processes; 1: this one alone.
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
        A process was ended from outside: the command goes on where it was.
    """
    with file.open("rb") as stream:
        upload = reader(settings, bundle, stream, file.name)
        upload.checked(0)
        units = (unit for unit in _units(upload, plan) if not plans.part(folder, unit.number).exists())
        there = _there(folder, upload.rows, plan)
        done(there)
        if workers == 1:
            for unit in units:
                there += write(bundle, folder, unit)
                done(there)
        else:
            for rows in _in_parallel(bundle.path, folder, units, workers):
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


def _units(upload: Upload, plan: Plan) -> Iterator[Unit]:
    """Parts of the reader cut into units of the plan's size: the same ones in every run."""
    waiting: list[tuple[Rows, pa.Table]] = []
    number = first = held = 0
    for part in upload:
        place, n = 0, len(part.rows)
        while place < n:
            take = min(plan.unit_rows - held, n - place)
            kept = part.table.slice(place, take).select(plan.columns)
            waiting.append((part.rows.part(place, place + take), kept))
            held, place = held + take, place + take
            if held == plan.unit_rows:
                yield _joined(number, first, waiting)
                number, first, held, waiting = number + 1, first + held, 0, []
    if held:
        yield _joined(number, first, waiting)


def _joined(number: int, first: int, parts: Sequence[tuple[Rows, pa.Table]]) -> Unit:
    rows = Rows(
        np.concatenate([part.numbers for part, _ in parts]),
        np.concatenate([part.categories for part, _ in parts]),
        sum((part.warnings or ((),) * len(part) for part, _ in parts), ()) if any(p.warnings for p, _ in parts) else (),
    )
    return Unit(number, first, rows, pa.concat_tables([kept for _, kept in parts], promote_options="permissive"))


def write(bundle: Bundle, folder: Path, unit: Unit) -> int:
    """Score a unit and write its part into `folder`, whole or not at all; returns its rows."""
    probabilities = score.run(bundle, unit.rows)
    if not np.isfinite(np.add.reduce(probabilities, axis=None)):
        raise DataError(message("requests.no_finite_probability", row=unit.first + _first_bad(probabilities)))
    target = plans.part(folder, unit.number)
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        pq.write_table(_answers(bundle, unit, probabilities), fresh)
        files.sync_file(fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
    files.sync_folder(folder)
    return len(unit.rows)


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
        "warnings": warning_texts(unit.rows),
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
