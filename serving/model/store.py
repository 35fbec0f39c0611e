"""The model store of a worker: follows the pointer file, loads beside the one in service, swaps one reference.

The follower replaces `var/serving/current.json` ({"version", "path", "sha256"}) once a version is downloaded,
verified and checked. A thread in every worker looks at the file's identity every `POLL_S` (a `stat` is 2 µs),
opens and warms up the new bundle while the old one answers, and then assigns `_served`. A request takes the
reference once and keeps it, so that no answer mixes two versions and a request in flight ends on its own.

What each worker serves is written to `var/serving/workers/<host>-<pid>-<random>.json`: `promote` reads it, through
`/health/ready`, to prove that all have swapped. A worker lives as long as it holds the lock beside its report: a pid
tells nothing in another container, nor after a restart.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ml.bundle.reader import Bundle
from ml.errors import BundleError, explained
from ml.messages import Text, message
from ml.storage.files import is_locked, write_bytes

log = logging.getLogger("refit.serving")

POLL_S = 0.01  # between two looks for a new pointer
REPORT_AGAIN_S = 1.0  # after it could not be written


class Pointer(msgspec.Struct, frozen=True):
    """Content of `current.json`: `path` is absolute or relative to the serving folder."""

    version: str
    path: str
    sha256: str


class Refusal(msgspec.Struct, frozen=True):
    """A version that could not be taken into service, and why. `time`: seconds since 1970."""

    version: str
    reason: Text
    time: float = 0.0


class WorkerState(msgspec.Struct, frozen=True):
    """Content of a worker's report; `pid` and `host` are for people."""

    pid: int
    model_version: str | None
    time: float
    refused: Refusal | None = None
    sha256: str = ""  # of the bundle that is served
    host: str = ""


class WorkerReport:
    """A worker's report, which counts until it is withdrawn or the process ends, however it ends.

    Parameters
    ----------
    folder
        Of all workers' reports.
    """

    def __init__(self, folder: Path) -> None:
        self.host, self.pid = socket.gethostname(), os.getpid()
        name = f"{self.host}-{self.pid}-{secrets.token_hex(4)}"
        self.file, self._lock_file = folder / f"{name}.json", folder / f"{name}.lock"
        self._lock = -1

    def write(self, state: WorkerState) -> None:
        """Replace it. Not synced: it describes a process and is worthless after a power cut."""
        self._hold()
        temporary = self.file.with_name(f".{self.file.name}.{threading.get_ident()}")
        temporary.write_bytes(msgspec.json.encode(state))
        os.replace(temporary, self.file)

    def withdraw(self) -> None:
        """Remove it, and its lock with it."""
        for file in (self.file, self._lock_file):
            with contextlib.suppress(OSError):
                file.unlink()
        self._let_go()

    def _hold(self) -> None:
        if self._lock >= 0 and self._lock_file.exists():
            return
        self._let_go()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)  # others look at it for a moment only
        self._lock = handle

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Served:
    """A version in service: immutable, so that a request that holds it sees one model throughout.

    `derived` is for what is made from the bundle once and kept as long as it serves (row readers, documents).
    """

    __slots__ = ("bundle", "derived", "sha256", "version")

    def __init__(self, version: str, bundle: Bundle, sha256: str) -> None:
        self.version = version
        self.bundle = bundle
        self.sha256 = sha256
        self.derived: dict[str, Any] = {}


def read_pointer(folder: Path) -> Pointer | None:
    """The pointer in `folder`, or None where there is none yet.

    Raises
    ------
    BundleError
        The file is there and cannot be read as a pointer.
    """
    try:
        return msgspec.json.decode((folder / "current.json").read_bytes(), type=Pointer)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(message("bundle.no_pointer", file=str(folder / "current.json"), error=str(error))) from error


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Replace the pointer in one step; every worker follows it within `POLL_S` and the loading time."""
    write_bytes(folder / "current.json", msgspec.json.encode(pointer))


class ModelStore:
    """Holds the served model of one process. `start` after the fork, `close` at the end."""

    def __init__(self, folder: Path, *, on_swap: Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self.refused: Refusal | None = None
        self._served: Served | None = None
        self._seen: tuple[int, int, int] | None = None
        self._own_report: WorkerReport | None = None
        self._unreported = 0.0  # since when (monotonic) the report is not as it should be; 0: it is
        self._on_swap = on_swap
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> Served | None:
        """The version in service, or None before the first one."""
        return self._served

    def start(self) -> None:
        """Load what the pointer names now, and follow it from then on."""
        self.refresh()
        self._report()
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, name="refit-model-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following and withdraw this worker's report."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._worker_report().withdraw()

    def refresh(self) -> None:
        """Follow the pointer if it has been replaced since the last look."""
        try:
            stat = os.stat(self.folder / "current.json")
        except OSError:
            return
        identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if identity == self._seen:
            return
        with self._lock:
            if identity == self._seen:
                return
            self._load()
            self._seen = identity

    def _follow(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.refresh()
                if self._unreported and time.monotonic() - self._unreported > REPORT_AGAIN_S:
                    self._report()
            except Exception:  # the follower of the model must outlive anything, and says what it met
                log.exception("following the model pointer failed; the served version stays")
                self._stop.wait(1.0)

    def _load(self) -> None:
        version = "unknown"
        try:
            pointer = read_pointer(self.folder)
            if pointer is None:
                return
            version = pointer.version
            if self._served is not None and (self._served.version, self._served.sha256) == (version, pointer.sha256):
                return
            served = open_served(self.folder, pointer)
        except Exception as error:  # whatever is wrong with a new version, the old one keeps serving
            self.refused = Refusal(version, explained(error), time.time())
            log.error("model version refused", extra={"model_version": version, "reason": str(self.refused.reason)})
            self._report()
            return
        self._served = served
        self.refused = None
        self._report()
        log.info("model version in service", extra={"model_version": version})
        if self._on_swap is not None:
            self._on_swap(version)

    def _worker_report(self) -> WorkerReport:
        """This process's: a store may be made before a fork."""
        if self._own_report is None or self._own_report.pid != os.getpid():
            self._own_report = WorkerReport(self.folder / "workers")
        return self._own_report

    def _report(self) -> None:
        version, sha256 = (self._served.version, self._served.sha256) if self._served else (None, "")
        report = self._worker_report()
        state = WorkerState(report.pid, version, time.time(), self.refused, sha256, report.host)
        try:
            report.write(state)
            self._unreported = 0.0
        except OSError as error:  # a full disk must not stop a swap; it is written once there is room
            if not self._unreported:
                log.warning("cannot write the worker's report: %s", error)
            self._unreported = time.monotonic()


def open_served(folder: Path, pointer: Pointer) -> Served:
    """Open, verify and warm up what a pointer names.

    Raises
    ------
    BundleError
        The bundle is incomplete or altered, or gives other numbers than its own examples.
    """
    bundle = Bundle.open(folder / pointer.path, sha256=pointer.sha256 or None)
    bundle.self_check()  # also the warm-up: the first run allocates
    return Served(pointer.version, bundle, bundle.sha256)


def worker_states(folder: Path) -> list[WorkerState]:
    """Reports of the workers that live; those of dead ones are removed."""
    states = []
    for file in sorted((folder / "workers").glob("*.json")):
        lock = file.with_suffix(".lock")
        try:
            if _is_held(lock):
                states.append(msgspec.json.decode(file.read_bytes(), type=WorkerState))
            else:
                file.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        except (OSError, msgspec.DecodeError):
            continue
    return states


def _is_held(lock: Path) -> bool:
    try:
        return is_locked(lock)
    except FileNotFoundError:
        return False


def read_refusals(folder: Path) -> list[Refusal]:
    """Versions that the follower refused, newest first: `refused.json`."""
    try:
        return msgspec.json.decode((folder / "refused.json").read_bytes(), type=list[Refusal])
    except (OSError, msgspec.DecodeError):
        return []
