"""Retention: rows and labels past `log.retention_days` are deleted, by a clock that is not believed at once.

A clock that is wrong for a moment must not delete history, neither ahead (everything is old then) nor behind (what is
answered then is old as soon as it is right again). So the log shipper keeps a time of its own, in
`var/serving/clock.json`: it follows the machine's clock while that is within `BELIEVED_S` of it, runs on by itself
where the clock leaps further, and takes a leap for true after `PROVEN_S` of running with it. What is deleted is past
its days by both.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from ml import predictions
from ml.settings import Settings
from ml.storage.files import write_bytes

log = logging.getLogger("refit.log_shipper")

DAY_S = 86_400.0  # seconds
BELIEVED_S = 7 * DAY_S  # the machine was off, or asleep: longer than that has to be proven
PROVEN_S = DAY_S
FIRST = 1_767_225_600.0  # 2026-01-01: nothing was answered before Refit was written
TICK_S = KEEP_EVERY_S = 60.0  # seconds; our choice


class Clock(msgspec.Struct):
    """Content of `clock.json`: the log shipper's time, seconds since 1970; for how many seconds of running the
    machine's has differed; and when the last purge was, by the log shipper's."""

    now: float
    differed_s: float = 0.0
    purged: float = 0.0


class Retention:
    """The log shipper's time and the daily purge. `tick` at least every few seconds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = settings.var / "serving" / "clock.json"
        self.clock = _read(self.file)
        self._ticked = self._kept = time.monotonic()
        self.tick()

    @property
    def horizon(self) -> float:
        """What was answered before this moment is past its days, by the machine's clock and the log shipper's."""
        return min(time.time(), self.clock.now) - DAY_S * self.settings.log.retention_days

    def tick(self) -> None:
        """Follow the machine's clock, or run on without it."""
        passed, self._ticked = time.monotonic() - self._ticked, time.monotonic()
        clock, wall = self.clock, time.time()
        clock.now += passed
        if abs(wall - clock.now) > BELIEVED_S:
            if not clock.differed_s:
                days = (wall - clock.now) / DAY_S
                log.error("the machine's clock has leapt by %.0f days; nothing is deleted by it for a day", days)
            clock.differed_s += min(passed, TICK_S) or 1e-9  # it may have leapt at the end of a long pass
            if clock.differed_s < PROVEN_S:
                return
            log.warning("the machine's clock has kept its leap for a day of running and is taken for right")
        clock.now, clock.differed_s = wall, 0.0

    def moment(self, told: float) -> float:
        """The moment of an answer or a label: as `told`, or now where no clock that was right can have told it.

        A clock that was set back by more than the retention, but not to before `FIRST`, is not noticed.
        """
        earliest = max(self.horizon, FIRST)
        return told if earliest <= told <= max(time.time(), self.clock.now) + DAY_S else self.clock.now

    def purge_daily(self) -> None:
        """Delete what is past its days, once a day, also over restarts."""
        clock = self.clock
        if 0 <= clock.now - clock.purged < DAY_S:
            if time.monotonic() - self._kept > KEEP_EVERY_S:
                self._keep()
            return
        gone = predictions.purge(self.settings, self.horizon)
        clock.purged = clock.now
        self._keep()
        if gone:
            log.info("predictions past their retention deleted", extra={"rows": gone})

    def _keep(self) -> None:
        self._kept = time.monotonic()
        try:
            write_bytes(self.file, msgspec.json.encode(self.clock))
        except OSError as error:  # a full disk; nothing is lost but how long a leap has been watched
            log.warning("cannot note the time: %s", error)


def _read(file: Path) -> Clock:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Clock)
    except (OSError, msgspec.DecodeError):
        return Clock(time.time())
