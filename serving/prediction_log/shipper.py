"""The log shipper: moves the prediction log from segments into the database. One process a machine.

`python -m serving.prediction_log.shipper`. Records go in by their ids, and one that is there already is left alone, so
a crash at any point costs a repetition and never a row. A segment is deleted after its last record is committed, which
with SQLite's `synchronous=FULL` and PostgreSQL's default means on the disk, and its writer has let go of it: a power
cut costs no more. While the database is locked or away, segments pile up (the service's back-pressure is in
`serving/prediction_log/writer.py`) and the shipper tries again. It also writes `status.json` for the pages, and purges
(`serving/prediction_log/retention.py`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions import PredictionRow
from ml.settings import Settings
from ml.storage import database, files
from serving import processes
from serving.prediction_log import segments
from serving.prediction_log.records import HEAD, Actions, Feedback, Model, Position, Predictions, Record
from serving.prediction_log.retention import Retention
from serving.status import collector, reader, version_keeper

log = logging.getLogger("refit.log_shipper")

BATCH_ROWS = 10_000  # handed to the database at once; our choice: 3 MB of rows
STATUS_EVERY_S = 5.0  # between two collections for the pages
STATUS_REST = 20  # times as long as a collection took, until the next: it has at most a twentieth of a core
STATUS_AT_LEAST_EVERY_S = 60.0  # however long it takes; our choice
MAX_WAIT_S = 5.0  # between two tries while the database is away, doubled from 0.1 on
HOW_TO_REPAIR = "python -m ml verify --repair reads back what can be"


class LogShipper:
    """One pass over all segments is `step`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.serving = settings.var / "serving"
        self.retention = Retention(settings)
        self.folder = self.serving / "segments"
        self.moved = 0  # rows and labels, ever
        self.damaged = 0
        self._offsets: dict[Path, int] = {}
        self._models: dict[tuple[Path, str], Model] = {}
        self._seen: dict[Path, int] = {}
        self._places: dict[Path, Position] = {}  # how far each segment has been read
        self._packed = database.url(settings).startswith("postgresql")
        self._told: set[bytes] = set()  # layouts that the database has

    def step(self) -> int:
        """Move what is there; returns how many rows and labels were handed to the database.

        Raises
        ------
        StoreUnavailable
            The database does not take them now; nothing is lost.
        """
        before = self.moved
        self.retention.tick()
        began = self.retention.clock.now
        for segment in segments.segments(self.folder):
            self._move(segment)
        self.retention.passed(began)
        return self.moved - before

    def _move(self, segment: Path) -> None:
        sealed = segments.is_sealed(segment)  # before reading: what was written until then is read below
        try:
            size = segment.stat().st_size
        except FileNotFoundError:
            return
        if size > self._seen.get(segment, 0) or (sealed and size > self._offset(segment)):
            self._read(segment, sealed=sealed)
            self._seen[segment] = size
        if sealed:
            self._delete(segment)

    def _read(self, segment: Path, *, sealed: bool) -> None:
        # After a restart from the beginning, for the Model records that the rest is read with.
        place = self._places.get(segment)
        with segment.open("rb") as file:
            file.seek(place.at if place else 0)
            content = file.read()
        if place is None:
            place = segments.start(content)
            if place is None:
                self._headless(segment, content, sealed=sealed)
                return
            content = content[place.at :]
        self._places[segment] = self._take_all(segment, segments.records(content, place, sealed=sealed), place)

    def _take_all(self, segment: Path, found: Iterator[tuple[Position, Record | None]], place: Position) -> Position:
        """Hand the records to the database in batches; returns the place behind the last."""
        done, batch = self._offset(segment), _Batch()
        for place, record in found:
            batch.end = place.at
            if isinstance(record, Model):
                self._models[segment, record.version] = record
                batch.meanings[record.sha256] = record.schema
            elif batch.end > done:
                self._take(segment, record, batch)
            if len(batch) >= BATCH_ROWS:
                self._commit(segment, batch)
                batch = _Batch()
        if batch.end > done:
            self._commit(segment, batch)
        return place

    def _headless(self, segment: Path, content: bytes, *, sealed: bool) -> None:
        """A segment whose head is not whole yet, was never finished, or is not of this version."""
        if sealed and len(content) >= HEAD.size:
            self.damaged += 1
            log.error("%s is no segment of this version of Refit; it is kept in 'damaged'", segment.name)
            _keep(segment)

    def _take(self, segment: Path, record: Predictions | Feedback | Actions | None, batch: _Batch) -> None:
        match record:
            case Predictions() if (model := self._models.get((segment, record.version))) is not None:
                moment = self.retention.arrived(record.time)
                if self._packed:
                    layout, rows = segments.packed_rows(record, model, moment)
                    batch.layouts[layout.key] = layout.content
                    batch.rows += rows
                else:
                    batch.rows += [row | {"time": moment} for row in segments.rows(record, model)]
            case Feedback():
                batch.labels += [
                    label | {"received_at": self.retention.arrived(label["received_at"])}
                    for label in segments.labels(record)
                ]
            case Actions():
                batch.actions += [
                    one | {"told_at": self.retention.arrived(one["told_at"])} for one in segments.told_actions(record)
                ]
            case _:
                self._put_aside(segment)

    def _put_aside(self, segment: Path) -> None:
        self.damaged += 1
        log.error("a damaged stretch in %s; the segment is kept in 'damaged': %s", segment.name, HOW_TO_REPAIR)
        _keep(segment)

    def _commit(self, segment: Path, batch: _Batch) -> None:
        engine = database.engine(self.settings)
        predictions.insert_meanings(engine, batch.meanings)  # first: no row is there without what it means
        if new := {key: content for key, content in batch.layouts.items() if key not in self._told}:
            predictions.insert_layouts(engine, new)
            self._told |= new.keys()
        _insert(engine, predictions.insert, batch.rows, segment)
        _insert(engine, predictions.insert_feedback, batch.labels, segment)
        _insert(engine, predictions.insert_actions, batch.actions, segment)
        self.moved += len(batch)
        self._offsets[segment] = batch.end
        _write_offset(segment, batch.end)

    def _offset(self, segment: Path) -> int:
        if segment not in self._offsets:
            try:
                self._offsets[segment] = int(_offset_file(segment).read_text())
            except (OSError, ValueError):
                self._offsets[segment] = 0
        return self._offsets[segment]

    def _delete(self, segment: Path) -> None:
        place = self._places.get(segment)
        with segment.open("rb") as file:
            file.seek(place.at if place is not None else self._offset(segment))
            tail = file.read()
        if tail and (place is None or segments.is_torn(tail, place)):
            log.warning("%d bytes of a request that was never answered end %s", len(tail), segment.name)
        elif tail:
            self._put_aside(segment)
        segment.unlink()
        _offset_file(segment).unlink(missing_ok=True)
        self._offsets.pop(segment, None)
        self._seen.pop(segment, None)
        self._places.pop(segment, None)
        self._models = {key: model for key, model in self._models.items() if key[0] != segment}


class _Batch:
    """Records that go to the database in one go; `end` is the offset behind the last of them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any] | PredictionRow] = []
        self.labels: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []
        self.meanings: dict[str, bytes] = {}
        self.layouts: dict[bytes, bytes] = {}
        self.end = 0

    def __len__(self) -> int:
        return len(self.rows) + len(self.labels) + len(self.actions)


def _insert(engine: Any, write: Callable[[Any, list[Any]], None], rows: list[Any], segment: Path) -> None:
    """Write rows; one that the database will never take is put aside, so that it does not hold up the rest."""
    if not rows:
        return
    try:
        write(engine, rows)
        return
    except StoreUnavailable:
        raise
    except Exception:
        if len(rows) > 1:
            log.warning("%d records of %s were refused; each half is tried by itself", len(rows), segment.name)
            middle = len(rows) // 2
            _insert(engine, write, rows[:middle], segment)
            _insert(engine, write, rows[middle:], segment)
            return
        log.exception("a record was refused; it is kept in 'damaged'")
    with (_damaged(segment) / f"{segment.stem}.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(rows[0]) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(_damaged(segment))


def _keep(segment: Path) -> None:
    target = _damaged(segment) / segment.name
    if not target.exists():
        os.link(segment, target)
        files.sync_file(target)
        files.sync_folder(target.parent)


def _damaged(segment: Path) -> Path:
    folder = segment.parent / "damaged"
    files.make_folder(folder)
    return folder


def _offset_file(segment: Path) -> Path:
    return segment.with_suffix(".moved")


def _write_offset(segment: Path, end: int) -> None:
    """Only saves a repetition: so neither a failure to write it, as on a full disk, nor its loss does harm.

    What it tells was committed, and so is on the disk: after a power cut it is behind the database, never ahead.
    """
    file = _offset_file(segment)
    try:
        temporary = file.with_suffix(".moved-new")
        temporary.write_text(str(end))
        temporary.replace(file)
    except OSError as error:
        log.warning("cannot note how far %s was moved: %s", segment.name, error)


def run(settings: Settings, stop: threading.Event) -> None:
    """Until `stop`, and then one last pass."""
    shipper = LogShipper(settings)
    # Apart: it asks the registry, and the drift check waits for rows and labels, not for the pages.
    status_writer = threading.Thread(target=_tell, args=(settings, stop), name="status", daemon=True)
    status_writer.start()
    wait = settings.log.move_interval_s
    while True:
        stopping = stop.wait(wait)
        try:
            shipper.step()
            wait = settings.log.move_interval_s
            shipper.retention.purge_daily()
        except StoreUnavailable as error:
            log.warning("%s", error)
            wait = min(2 * max(wait, 0.1), MAX_WAIT_S)
        except Exception:  # a full disk, for one
            log.exception("a pass failed; it is tried again")
            wait = MAX_WAIT_S
        if stopping:
            status_writer.join(MAX_WAIT_S)
            return


def _tell(settings: Settings, stop: threading.Event) -> None:
    """Write `status.json` and the versions' files for the pages, again and again until `stop`."""
    keeper = version_keeper.Keeper(settings)
    while True:
        began, took = time.monotonic(), 0.0
        try:
            status = collector.collect(settings)
            reader.write(settings.var / "serving", status)
            took = time.monotonic() - began
            keeper.keep(status.versions)
        except StoreUnavailable as error:
            log.warning("%s", error)
        except Exception:
            log.exception("the pages' overview could not be written; it is tried again")
        if stop.wait(min(max(STATUS_EVERY_S, STATUS_REST * took), STATUS_AT_LEAST_EVERY_S)):
            return


if __name__ == "__main__":
    processes.main("log-shipper", run)
