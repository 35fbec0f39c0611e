"""Follows the champion: registry → verified local cache → pointer file. One process a machine.

`python -m serving.model.follower`. Every `reload_interval_s`, and at once when `promote` touches
`var/serving/notified`, it asks which version is the champion. A new one is copied into `var/serving/cache/<sha256>`,
its hashes are verified, it is opened and must reproduce its own examples; then `current.json` is replaced, and the
workers swap. A version that fails is written to `refused.json` with the reason, and the old one keeps serving. When the
registry is out of reach, or this process is not there, the workers serve on from the cache.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml import alerts
from ml.bundle import cache
from ml.bundle.reader import Bundle
from ml.errors import BundleError, RegistryUnavailable, StoreUnavailable, explained
from ml.messages import Text, message
from ml.settings import Settings
from ml.storage.files import write_bytes
from serving import processes
from serving.model import champion_lookup
from serving.model.champion_lookup import Champion
from serving.model.store import Pointer, Refusal, read_pointer, read_refusals, worker_states, write_pointer

log = logging.getLogger("refit.follower")

LOOK_S = 0.05  # at the file that `promote` touches: a stat
RETRY_REFUSED_S = 30.0  # a refused version is tried again: its artifact may have been mended
CHECK_WORKERS_S = 1.0  # between two looks at what the workers serve
KEPT_BUNDLES = 5  # with the one that serves, for a way back without a download; our choice
MAX_REFUSALS = 20  # versions whose refusal is remembered; our choice
STOP_RECORDER_S = 10.0  # when the service stops
END_HEARTBEAT_S = 5.0  # for the last word to the database, when the service stops
MAX_WAIT_S = 5.0  # between two questions to a registry that does not answer


def _record() -> subprocess.Popen[bytes]:
    """Record a move of the alias: in a process of its own, as it waits for others and needs MLflow's 240 MB."""
    return subprocess.Popen([sys.executable, "-m", "ml.registry.outside_moves"])


class Follower:
    """One round is `step`; `run` repeats it."""

    def __init__(self, settings: Settings, *, record: Callable[[], subprocess.Popen[bytes]] = _record) -> None:
        self.settings = settings
        self._record = record
        self._recorder: subprocess.Popen[bytes] | None = None
        self._recorded_at = -RETRY_REFUSED_S
        self._in_ledger: Champion | None = None  # what the alias named when the ledger was last seen to know it
        self.folder = settings.var / "serving"
        self.cache = self.folder / "cache"
        self._found: Champion | None = None
        self._refused_at: dict[Champion, float] = {}
        self._reachable = True
        self._notified = self._notified_at()
        self._suspect = True  # whether the bundle in service must be verified: at the start, and on a worker's word

    def step(self) -> bool:
        """Look once. True when the pointer was replaced.

        Raises
        ------
        RegistryUnavailable
            Nothing could be asked; what serves, serves on.
        """
        champion = champion_lookup.champion(self.settings)
        if champion != self._found:
            self._refused_at.clear()  # the alias was moved: somebody waits for an answer of now
        self._found = champion
        pointer = self._pointer()
        if champion is None:
            return False
        same = pointer is not None and (pointer.version, pointer.sha256) == (champion.version, champion.sha256)
        if same and not self._suspect:
            return False
        if time.monotonic() - self._refused_at.get(champion, -RETRY_REFUSED_S) < RETRY_REFUSED_S:
            return False
        try:
            path = self.fetch(champion)
            if same and pointer is not None and self._is_whole(pointer):
                self._suspect = False
                self._accepted(champion)
                return False
            check(path, champion.sha256)
        except RegistryUnavailable:
            raise
        except Exception as error:  # whatever is wrong with a version, it must not end the follower
            self._refuse(champion, error)
            return False
        write_pointer(self.folder, Pointer(champion.version, str(path.relative_to(self.folder)), champion.sha256))
        self._suspect = False
        self._accepted(champion)
        log.info("champion published", extra={"model_version": champion.version, "sha256": champion.sha256})
        return True

    def look_for_outside_move(self) -> None:
        """Have a move recorded that was made in MLflow's registry, once it serves; or that the alias is gone.

        One of our own has its intention in the ledger first, and is left alone.
        """
        if self._recorder is not None:
            if self._recorder.poll() is None:
                return
            self._recorder = None
        named, pointer = self._found or Champion("", ""), self._pointer()
        serves = Champion(pointer.version, pointer.sha256) if pointer is not None else None
        if named == self._in_ledger or (named.version and named != serves):
            return
        from ml.registry import ledger

        try:
            if ledger.open_intention(self.settings) is not None:
                return
            known = next(iter(ledger.events(self.settings, limit=1, what=[*ledger.SERVED, ledger.ALIAS_GONE])), None)
        except StoreUnavailable as error:
            log.warning("whether the ledger knows version %s is not known yet: %s", named.version or "none", error)
            return
        if known.is_to(named.version, named.sha256) if known is not None else not named.version:  # "" where it is gone
            self._in_ledger = named
        elif time.monotonic() - self._recorded_at >= RETRY_REFUSED_S:
            self._recorded_at = time.monotonic()
            self._recorder = self._record()

    def fetch(self, found: Champion) -> Path:
        """The champion's bundle in the cache: whole, of the registered hash, and signed by a trusted key."""
        if not found.sha256:
            raise BundleError(message("bundle.no_hash", version=found.version, tag=champion_lookup.SHA256))
        return cache.obtain(self.settings, self.cache, found.sha256, lambda folder: self._load(found, folder))

    def _load(self, found: Champion, into: Path) -> Path:
        source = champion_lookup.local_bundle(self.settings, found.version)
        if source is not None:
            return Path(shutil.copytree(source, into / "bundle", symlinks=True))  # a link stays one, and is refused
        from ml import registry  # takes seconds and 240 MB: only for artifacts that are not plain files here

        return registry.download(self.settings, registry.version(self.settings, found.version), into)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`: ask, then wait for the next round or a notice."""
        wait, next_check = 0.0, 0.0
        while not stop.is_set():
            started = time.monotonic()
            try:
                self.step()
                self._tell_reachable(True)
                self.look_for_outside_move()
                wait = self.settings.serving.reload_interval_s
            except RegistryUnavailable as error:
                self._tell_reachable(False, error)
                wait = min(max(2 * wait, self.settings.serving.reload_interval_s), MAX_WAIT_S)
            except Exception:  # a full disk, for one: the service goes on, and so does this
                log.exception("a round failed; the served version stays")
                wait = MAX_WAIT_S
            while not stop.is_set() and not self._was_notified() and time.monotonic() - started < wait:
                stop.wait(LOOK_S)
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_WORKERS_S
                self._suspect = self._suspect or self._workers_refuse()
        self._end_recorder()

    def _end_recorder(self) -> None:
        """Let it finish; what it cannot is done at the next start."""
        if self._recorder is not None:
            try:
                self._recorder.wait(STOP_RECORDER_S)
            except subprocess.TimeoutExpired:
                self._recorder.kill()
                self._recorder.wait()

    def _pointer(self) -> Pointer | None:
        try:
            return read_pointer(self.folder)
        except BundleError as error:
            log.error("%s; it is written anew", error)
            return None

    def _is_whole(self, pointer: Pointer) -> bool:
        """False when the workers must look again: the folder was replaced since they refused it."""
        return not self._workers_refuse() and (self.folder / pointer.path).is_dir()

    def _workers_refuse(self) -> bool:
        pointer = self._pointer()
        states = worker_states(self.folder)
        return pointer is not None and any(s.refused and s.refused.version == pointer.version for s in states)

    def _refuse(self, found: Champion, error: Exception) -> None:
        reason = explained(error)
        self._refused_at[found] = time.monotonic()
        log.error("version refused", extra={"model_version": found.version, "reason": str(reason)})
        known = any((r.version, r.reason) == (found.version, reason) for r in read_refusals(self.folder))
        self._write_refusals(Refusal(found.version, reason, time.time()))
        self._tell(found, reason, known=known)

    def _tell(self, found: Champion, reason: Text, *, known: bool) -> None:
        """An alert and a row of the ledger, once a refusal: tried again at every retry until the ledger has it."""
        from ml.registry import ledger

        try:
            earlier = ledger.events(self.settings, limit=MAX_REFUSALS, what=[ledger.NOT_SERVED])
            if known and any(e.is_to(found.version, found.sha256) and e.because == reason for e in earlier):
                return
            ledger.append(
                self.settings, ledger.NOT_SERVED, who="service", why=reason, to_version=found.version,
                to_sha256=found.sha256,
            )  # fmt: skip
        except StoreUnavailable as error:
            log.warning("the refusal of version %s is not in the ledger yet: %s", found.version, error)
            return
        alerts.send(
            self.settings,
            ledger.NOT_SERVED,
            [message("release.of_version", version=found.version, reason=reason)],
            model_version=found.version,
        )

    def _accepted(self, found: Champion) -> None:
        self._refused_at.pop(found, None)
        if any(refusal.version == found.version for refusal in read_refusals(self.folder)):
            self._write_refusals(None, without=found.version)
        with contextlib.suppress(OSError):
            os.utime(self.cache / found.sha256)
            self._clean(found.sha256)

    def _write_refusals(self, new: Refusal | None, without: str = "") -> None:
        version = new.version if new else without
        others = [refusal for refusal in read_refusals(self.folder) if refusal.version != version]
        refusals = ([new] if new else []) + others
        write_bytes(self.folder / "refused.json", msgspec.json.encode(refusals[:MAX_REFUSALS]))

    def _clean(self, served: str) -> None:
        """Keep the bundle in service, whatever the clock has written on it, and the newest others to go back to."""
        others = [f for f in self.cache.iterdir() if f.is_dir() and f.name != served]
        for folder in sorted(others, key=lambda f: f.stat().st_mtime, reverse=True)[KEPT_BUNDLES - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)

    def _notified_at(self) -> int:
        try:
            return (self.folder / "notified").stat().st_mtime_ns
        except OSError:
            return 0

    def _was_notified(self) -> bool:
        notified = self._notified_at()
        if notified == self._notified:
            return False
        self._notified = notified
        self._refused_at.clear()  # somebody is waiting for an answer of now
        return True

    def _tell_reachable(self, reachable: bool, error: Exception | None = None) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            if reachable:
                log.info("the registry answers again")
            else:
                log.warning("%s; the served version stays", error)


def check(path: Path, sha256: str) -> None:
    """Open a bundle and recompute its examples.

    Raises
    ------
    BundleError
        It does not load here, or gives other numbers than were judged.
    """
    Bundle.open(path, sha256=sha256).self_check()


def run(settings: Settings, stop: threading.Event) -> None:
    """Follow until `stop`, and register the service where it may be one of several."""
    beats = None
    if settings.database_url.startswith("postgresql"):
        from serving.model.heartbeat import Heartbeat  # takes SQLAlchemy's memory

        beats = threading.Thread(target=Heartbeat(settings).run, args=(stop,), name="heartbeat", daemon=True)
        beats.start()
    Follower(settings).run(stop)
    if beats is not None:
        beats.join(END_HEARTBEAT_S)


if __name__ == "__main__":
    processes.main("follower", run)
