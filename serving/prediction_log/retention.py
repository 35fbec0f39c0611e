"""Retention: rows and labels past `log.retention_days` are deleted, by a clock that is not believed at once.

Rows past `log.archive_after_days` leave the database for Parquet files (`ml.predictions.archiver`) by the same clock.

A clock that is wrong for a moment must not delete history, neither ahead (everything is old then) nor behind (what is
answered then is old as soon as it is right again). So the log shipper keeps a time of its own (`ml.storage.clock`): it
follows the machine's clock while that is within `BELIEVED_S` of it, runs on by itself where the clock leaps further,
and takes a leap for true after `PROVEN_S` of running with it. What is deleted is past its days by both.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.process
import time

import msgspec

from ml import alerts, predictions
from ml.messages import message
from ml.predictions import archiver
from ml.settings import Settings
from ml.storage import clock as clocks
from ml.storage.clock import BELIEVED_S, DAY_S, Clock
from ml.storage.files import write_bytes

log = logging.getLogger("refit.log_shipper")

PROVEN_S = DAY_S
FIRST = 1_767_225_600.0  # 2026-01-01: nothing was answered before Refit was written
TICK_S = KEEP_EVERY_S = 60.0  # seconds; our choice
SLACK_S = 3_600.0  # a small step back of the clock between an answer and its move; our choice


class Retention:
    """The log shipper's time and the daily purge. `tick` at least every few seconds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        kept = clocks.read(settings)
        self.clock = kept or Clock(now=time.time(), purged=time.time())
        self._ticked = clocks.ran_s() - (clocks.since_kept(kept) if kept else 0.0)
        self._kept = float("-inf")
        self._archiving: multiprocessing.process.BaseProcess | None = None
        self.tick()

    @property
    def horizon(self) -> float:
        """What was answered before this moment is past its days, by the machine's clock and the log shipper's."""
        return min(time.time(), self.clock.now) - DAY_S * self.settings.log.retention_days

    def tick(self) -> None:
        """Follow the machine's clock, or run on without it."""
        passed, self._ticked = clocks.ran_s() - self._ticked, clocks.ran_s()
        clock, wall = self.clock, time.time()
        clock.now += passed
        if abs(wall - clock.now) > BELIEVED_S:
            if not clock.differed_s:
                self._tell((wall - clock.now) / DAY_S)
            clock.differed_s += min(passed, TICK_S) or 1e-9  # it may have leapt at the end of a long pass
            if clock.differed_s < PROVEN_S:
                return
            log.warning("the machine's clock has kept its leap for a day of running and is taken for right")
        clock.now, clock.differed_s, clock.boot = wall, 0.0, clocks.boot()

    def _tell(self, days: float) -> None:
        if days > 0 and self.clock.boot != clocks.boot():
            log.warning("the machine was off for %.0f days, or its clock is ahead: nothing is deleted for a day", days)
        else:
            alerts.send(self.settings, "clock", [message("connections.clock_leapt", days=days)])

    def moment(self, told: float) -> float:
        """The moment of an answer or a label: as `told`, or now where no clock that was right can have told it."""
        earliest = max(self.horizon, FIRST)
        return told if earliest <= told <= max(time.time(), self.clock.now) + DAY_S else self.clock.now

    def arrived(self, told: float) -> float:
        """`moment` of what was not there at the last pass that moved all: it was answered after that."""
        return self.clock.now if told < self.clock.moved - SLACK_S else self.moment(told)

    def passed(self, began: float) -> None:
        """A pass that began then, by the log shipper's time, has moved all there was."""
        self.clock.moved = began

    def purge_daily(self) -> None:
        """Delete what is past its days, once a day, also over restarts."""
        clock = self.clock
        if 0 <= clock.now - clock.purged < DAY_S:
            if clocks.ran_s() - self._kept > KEEP_EVERY_S:
                self._keep()
            return
        gone = predictions.purge(self.settings, self.horizon) + archiver.purge(self.settings, self.horizon)
        clock.purged = clock.now
        self._keep()
        if gone:
            log.info("predictions past their retention deleted", extra={"rows": gone})
        self._archive()

    def _archive(self) -> None:
        """In a process of its own, which takes its memory with it; the log shipper goes on."""
        age = self.settings.log.archive_after_days
        if age > 0 and (self._archiving is None or not self._archiving.is_alive()):
            before = min(time.time(), self.clock.now) - DAY_S * age
            spawned = multiprocessing.get_context("spawn").Process(
                target=archiver.run, args=(self.settings, before), name="archive", daemon=True
            )
            spawned.start()
            self._archiving = spawned

    def _keep(self) -> None:
        self._kept, self.clock.ran_s = clocks.ran_s(), self._ticked
        try:
            write_bytes(clocks.file(self.settings), msgspec.json.encode(self.clock))
        except OSError as error:  # a full disk; nothing is lost but how long a leap has been watched
            log.warning("cannot note the time: %s", error)
