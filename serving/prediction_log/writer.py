"""The prediction log, worker's side: append-only binary segments that a log shipper takes into the database.

The guarantee, exactly. `append` returns after the record is in the kernel (`write` to an `O_APPEND` file), so an
answered request survives `kill -9` of its worker and of the whole service. With `durability = "process"` (the
default) it reaches the disk within `sync_interval_s`: a power cut or a kernel crash may lose that long. With
`durability = "machine"` `append` returns after `fdatasync`: it survives these too, at about half the throughput.

A segment is a row of framed records (`serving/prediction_log/records.py`). Each worker writes segments of its own and
holds a lock (`flock`) on the open one, which the kernel lets go when the worker dies: the log shipper knows by it that
nothing more will come. A torn tail is a request that was never answered. What stands behind a damaged stretch is read
when the segment is sealed, and not before: until then it may be a write under way, whose bytes callers chose.

When the disk is full, or the database has not taken `max_backlog_bytes`: with `on_failure = "refuse"` the request
is answered 503; with "answer" it is answered, and its record waits in memory (at most `max_memory_bytes`, and lost
with the worker) until it can be written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml.errors import Transient, explained
from ml.messages import message
from ml.settings import Settings
from ml.storage.files import make_folder, sync_folder
from ml.storage.secrets import hash_key
from serving.ids import token
from serving.prediction_log.records import (
    SUFFIX,
    Actions,
    Feedback,
    Label,
    Model,
    Position,
    Predictions,
    ToldAction,
    backlog_bytes,
    begin,
    encode,
    frame,
)

if TYPE_CHECKING:
    from ml.exploration.policy import Action
    from ml.schema.rows import Rows
    from serving.model.store import Served
    from serving.scoring.score import Scored

logger = logging.getLogger("refit.serving.log")

BACKLOG_EVERY_S = 1.0  # between two looks at the size of what waits
TABLES_SHARE = 0.25  # of `max_backlog_bytes`: the rest is for single rows


class LogUnavailable(Transient):
    """Raised when a record can neither be written nor, as the settings say, kept in memory."""


class PredictionLog:
    """The open segment of one process. Threads may share it. `start` after the fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.log
        self.folder = settings.var / "serving" / "segments"
        self._whole = settings
        self._machine = settings.log.durability == "machine"
        self._private = frozenset(settings.log.drop_columns) | frozenset(settings.log.hash_columns)
        self._key = b""
        self._lock = threading.Lock()
        self._fd = -1
        self._head = b""  # of the open segment, until it is written
        self._place = Position(b"", 0, 0)  # behind the last frame of the open segment
        self._known: dict[str, str] = {}  # version → SHA-256 of its newest Model record in the open segment
        self._dirty = False
        self._unlisted = False  # the open segment's name may not be on the disk
        self._retired: list[int] = []
        self._spool: deque[tuple[Model | None, bytes]] = deque()  # payloads: a frame belongs to its place
        self._spooled_bytes = 0
        self._over_backlog = False
        self._backlog = 0  # bytes, as they were last looked at
        self._failing = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.kept_in_memory = 0  # records, ever
        self.failures = 0

    def start(self) -> None:
        """Make the folder and start the thread that syncs, retries and watches the backlog."""
        with contextlib.suppress(OSError):  # a full disk is told at the first append
            self.folder.mkdir(parents=True, exist_ok=True)
        if self.settings.hash_columns:
            self._key = hash_key(self._whole)
        self._watch_backlog()
        self._stop.clear()
        self._thread = threading.Thread(target=self._housekeeping, name="refit-log-sync", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write out what waits in memory, sync, and close the segment."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._drain()
        if self._spool:
            logger.error("%d answered records could not be written before the end", len(self._spool))
        with self._lock:
            self._retire()
        self._sync()

    @property
    def problem(self) -> str:
        """Why the last record could not be written; empty when all is well."""
        return self._failing

    @property
    def waiting(self) -> int:
        """Answered records that are in memory only."""
        return len(self._spool)

    @property
    def takes_tables(self) -> bool:
        """Whether the backlog leaves room for more than single rows: at most `TABLES_SHARE` of it waits."""
        return self._backlog <= TABLES_SHARE * self.settings.max_backlog_bytes

    def append(self, served: Served, scored: Scored) -> None:
        """Log the rows of one answer; returns when the guarantee of the module holds.

        Raises
        ------
        LogUnavailable
            See the module.
        """
        rows = scored.rows
        numbers, categories = rows.numbers, rows.categories
        hashed: dict[str, list[str]] = {}
        if self._private:
            numbers, categories, hashed = self._without_private(served, rows)
        record = Predictions(
            time.time(),
            served.version,
            scored.ids,
            numbers.tobytes(),
            categories.tolist() if categories.size else [],
            scored.labels,
            scored.chosen.tobytes(),
            scored.probabilities.tobytes(),
            [[flag.message.text for flag in flags] for flags in rows.warnings],
            hashed,
            rows.who if rows.who and not self._private.intersection(served.bundle.schema.id_columns) else (),
            scored.actions,
        )
        self._put(encode(record), served)

    def append_feedback(self, labels: Iterable[tuple[str, str]]) -> list[Label]:
        """Log labels, pairs of prediction id and label, with the same guarantee."""
        now = time.time()
        # Ids in the order of the request: of two labels for one prediction in it, the later one counts.
        written = [Label(f"{i:08x}{token()}", key, label, now) for i, (key, label) in enumerate(labels)]
        self._put(encode(Feedback(written)), None)
        return written

    def append_actions(self, told: Iterable[tuple[str, Action]]) -> None:
        """Log what callers say that followed, pairs of prediction id and action, with the same guarantee."""
        now = time.time()
        self._put(encode(Actions([ToldAction(key, action, now) for key, action in told])), None)

    def _put(self, payload: bytes, served: Served | None) -> None:
        payload_crc = zlib.crc32(payload)  # here, as no other thread waits for it
        with self._lock:
            try:
                if self._over_backlog:
                    raise LogUnavailable(message("requests.backlog_full", limit=self.settings.max_backlog_bytes))
                self._write(payload, served, payload_crc)
            except (OSError, LogUnavailable) as error:
                self._failed(error, payload, served)
                return
            self._failing = ""

    def _write(self, payload: bytes, served: Served | Model | None, payload_crc: int | None = None) -> None:
        """Append to the open segment, whole or not at all."""
        if self._fd < 0 or self._place.at >= self.settings.segment_bytes:
            self._roll()
        parts, place = [self._head], self._place
        version, sha256 = (served.version, served.sha256) if served is not None else ("", "")
        if served is not None and self._known.get(version) != sha256:
            model = encode(served if isinstance(served, Model) else self._model(served))
            fields, place = frame(model, place)
            parts += [fields, model]
        fields, place = frame(payload, place, payload_crc)
        self._append(b"".join((*parts, fields, payload)))
        self._head, self._place = b"", place
        self._known[version] = sha256
        self._dirty = True

    def _append(self, content: bytes) -> None:
        try:
            written = os.write(self._fd, content)
            while written < len(content):
                written += os.write(self._fd, memoryview(content)[written:])
            if self._machine:
                self._list()
                os.fdatasync(self._fd)
        except OSError:
            try:
                os.ftruncate(self._fd, self._place.at - len(self._head))
            except OSError:  # the half-written frame stays: the reader skips it, and nothing follows it
                self._retire()
            raise

    def _failed(self, error: Exception, payload: bytes, served: Served | None) -> None:
        self.failures += 1
        if not self._failing:
            logger.error("the prediction log cannot be written: %s", error)
        self._failing = str(error)
        room = self.settings.max_memory_bytes - self._spooled_bytes
        if self.settings.on_failure == "refuse" or len(payload) > room:
            raise LogUnavailable(explained(error)) from error
        self._spool.append((self._model(served) if served else None, payload))
        self._spooled_bytes += len(payload)
        self.kept_in_memory += 1

    def _model(self, served: Served) -> Model:
        schema = served.bundle.schema
        absent = tuple(name for name in (*schema.numbers, *schema.categories) if name in self._private)
        return Model(
            served.version, schema.numbers, schema.categories, schema.classes, absent, served.sha256, schema.to_json()
        )

    def _roll(self) -> None:
        self._retire()
        make_folder(self.folder)
        # In the order of time, for people; random, as a clock that is set back tells the same time twice.
        name = f"{time.time_ns():x}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(self.folder / name, flags, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._fd, self._known = fd, {}
        self._head, self._place = begin(os.urandom(16))
        self._unlisted = True

    def _list(self) -> None:
        """Sync the folder once a segment: a synced file without its name is lost in a power cut."""
        if self._unlisted:
            sync_folder(self.folder)
            self._unlisted = False

    def _retire(self) -> None:
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd = -1

    def _housekeeping(self) -> None:
        looked = 0.0
        while not self._stop.wait(self.settings.sync_interval_s):
            try:
                self._sync()
                if self._spool:
                    self._drain()
                if time.monotonic() - looked >= BACKLOG_EVERY_S:
                    looked = time.monotonic()
                    self._watch_backlog()
            except Exception:  # this thread is what recovery depends on
                logger.exception("the log's housekeeping failed; it goes on")

    def _sync(self) -> None:
        with self._lock:
            unlisted, self._unlisted = self._unlisted, False
            retired, self._retired = self._retired, []
            dirty, self._dirty = self._dirty, False
            current = os.dup(self._fd) if dirty and self._fd >= 0 else -1
        if unlisted:
            try:
                sync_folder(self.folder)
            except OSError as error:
                logger.error("fsync of the prediction log's folder: %s", error)
                self._unlisted = True
        for fd in [*retired, current]:
            if fd < 0:
                continue
            try:
                os.fdatasync(fd)
            except OSError as error:  # the pages may be gone: only a power cut can show, and nothing can mend it
                logger.error("fdatasync of the prediction log: %s", error)
            os.close(fd)

    def _drain(self) -> None:
        while self._spool:
            with self._lock:
                if self._over_backlog or not self._spool:
                    return
                model, payload = self._spool[0]
                try:
                    self._write(payload, model)
                except OSError:
                    return
                self._spool.popleft()
                self._spooled_bytes -= len(payload)
                self._failing = ""

    def _watch_backlog(self) -> None:
        self._backlog = backlog_bytes(self.folder)
        over = self._backlog > self.settings.max_backlog_bytes
        if over and not self._over_backlog:
            logger.error("the database has not taken %d bytes of the log", self.settings.max_backlog_bytes)
        self._over_backlog = over
        if not over and self._failing and not self._spool:
            self._probe()

    def _probe(self) -> None:
        """Tell `problem` the truth again although no request came since."""
        with self._lock, contextlib.suppress(OSError):
            if self._fd < 0:
                self._roll()
            self._write(encode(Feedback([])), None)
            self._failing = ""

    def _without_private(
        self, served: Served, rows: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.object_], dict[str, list[str]]]:
        """Rows without the columns that must not be logged, and keyed hashes of those that are hashed."""
        schema = served.bundle.schema
        numbers, categories, hashed = rows.numbers.copy(), rows.categories.copy(), {}
        for names, values, missing in ((schema.numbers, numbers, np.nan), (schema.categories, categories, "")):
            for j, name in enumerate(names):
                if name not in self._private:
                    continue
                if name in self.settings.hash_columns and name not in self.settings.drop_columns:
                    hashed[name] = [self._hash(name, value) for value in values[:, j].tolist()]
                values[:, j] = missing
        return numbers, categories, hashed

    def _hash(self, name: str, value: object) -> str:
        if value == "" or value != value:
            return ""
        text = f"{name}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).hexdigest()
