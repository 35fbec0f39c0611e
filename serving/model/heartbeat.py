"""The heartbeat: the follower registers this service in the database, and tells the workers what it learns there.

A thread of the follower's process, so that a database that does not answer keeps neither the champion nor a request
waiting. It beats every `serving.heartbeat_s`, and at once when a worker has taken over or refused a version: a
promotion waits for that.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import threading
import time
from typing import NamedTuple

from ml.errors import StoreUnavailable
from ml.fleet import rotation, services
from ml.fleet.services import Fleet, Loaded, Refused, State
from ml.messages import code_of
from ml.registry import ledger
from ml.settings import Settings
from ml.storage.secrets import hash_key
from serving.auth import keys
from serving.model import membership
from serving.model.membership import Membership
from serving.model.store import Refusal, read_refusals, worker_states

log = logging.getLogger("refit.follower")

LOOK_S = 0.1  # between two looks at what the workers report: a few small files
MOVING_S = 600.0  # a move of the alias that began longer ago was cut short; our choice
BEHIND_S = 10.0  # a service that has not taken over the champion for so long is out of rotation; our choice


class Reports(NamedTuple):
    """What each worker serves, and the newest refusal of any of them or of the follower."""

    workers: tuple[Loaded, ...]
    refusal: Refusal | None


class Heartbeat:
    """One beat is `beat`; `run` repeats it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.var / "serving"
        self.identity = secrets.token_hex(8)
        self._fingerprint = fingerprint(settings)
        # Since when (monotonic) it is behind the champion; 0: it is not. Who comes back has no time: it may be old.
        self._behind_since = time.monotonic() - BEHIND_S
        self._silent = False

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; then the row is withdrawn."""
        told, due = None, 0.0
        while not stop.is_set():
            try:
                found = self.reports()
                if found != told or time.monotonic() >= due:
                    due = time.monotonic() + self.settings.serving.heartbeat_s
                    self.beat(found)
                    told = found
                self._tell_silent(None)
            except StoreUnavailable as error:
                self._tell_silent(error)
                stop.wait(self.settings.serving.heartbeat_s)
            except Exception:  # a full disk, for one: the follower goes on, and so does this
                log.exception("a heartbeat failed; it is tried again")
                stop.wait(self.settings.serving.heartbeat_s)
            stop.wait(LOOK_S)
        with contextlib.suppress(StoreUnavailable):
            services.withdraw(self.settings, self.identity)

    def reports(self) -> Reports:
        """What stands in the files of workers and follower now."""
        states = worker_states(self.folder)
        refusals = [*read_refusals(self.folder)[:1], *(state.refused for state in states if state.refused)]
        workers = tuple(Loaded(state.model_version or "", state.sha256) for state in states)
        return Reports(workers, max(refusals, key=lambda refusal: refusal.time, default=None))

    def beat(self, found: Reports) -> Fleet:
        """Renew the row, and write down for the workers what follows from all rows.

        Raises
        ------
        StoreUnavailable
            The database does not answer; what was known stays.
        """
        refusal = found.refusal
        age_s = max(time.time() - refusal.time, 0.0) if refusal else 0.0
        state = State(
            workers=found.workers,
            refused=Refused(refusal.version, refusal.reason, age_s) if refusal else None,
            hash_key=self._fingerprint,
            out=membership.read(self.folder).out,
        )
        fleet = services.beat(self.settings, self.identity, state)
        keys.mirror(self.settings)
        own = next(service for service in fleet.services if service.id == self.identity)
        move = ledger.newest_move(self.settings)

        def serves(loaded: Loaded) -> bool:
            confirmed = (move.to_version, move.to_sha256) if move is not None else ("", "")
            return ledger.same((loaded.version, loaded.sha256), confirmed)

        if found.workers:
            self._note_behind(move is None or all(map(serves, found.workers)), fleet.now)
        champion = move.to_version if move is not None and self._behind_since else ""
        out = rotation.out(fleet, own, champion, serves, left_s=BEHIND_S - (time.monotonic() - self._behind_since))
        if code_of(out) != code_of(state.out):
            log.warning("%s", f"out of rotation: {out}" if out else "in rotation again")
        membership.write(self.folder, Membership(self.identity, max(len(fleet.live), 1), out))
        return fleet

    def _note_behind(self, serves: bool, now: float) -> None:
        """Who served the champion when a move of the alias began may be ahead of the ledger until it has ended."""
        if serves:
            self._behind_since = 0.0
        elif not self._behind_since and not self._is_moving(now):
            self._behind_since = time.monotonic()

    def _is_moving(self, now: float) -> bool:
        intention = ledger.open_intention(self.settings)
        return intention is not None and now - intention.time < MOVING_S

    def _tell_silent(self, error: Exception | None) -> None:
        if error is not None and not self._silent:
            log.warning("%s; the other services take this one for dead", error)
        elif error is None and self._silent:
            log.info("the database answers again")
        self._silent = error is not None


def fingerprint(settings: Settings) -> str:
    """Tells the key of `log.hash_columns` from another, and not what it is; "" where no column is hashed."""
    if not settings.log.hash_columns:
        return ""
    return hashlib.sha256(b"refit: which key are columns hashed with\0" + hash_key(settings)).hexdigest()[:16]
