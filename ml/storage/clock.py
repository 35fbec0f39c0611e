"""The clock that decides: the machine's, as long as it has not leapt.

What is kept, compared or deleted by time must not go by a clock that was set wrong for a moment, ahead or back. The log
shipper keeps a time of its own in `var/serving/clock.json` (`serving/prediction_log/retention.py`), which does not
believe a leap before a day of running; `now` holds the machine's clock against it.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import time
from pathlib import Path

import msgspec

from ml.settings import Settings

DAY_S = 86_400.0  # seconds
BELIEVED_S = 7 * DAY_S  # the machine was off: longer than that has to be proven; our choice
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former runs on in sleep


class Clock(msgspec.Struct):
    """Content of `clock.json`. Times are seconds since 1970 by the log shipper.

    `differed_s`: for how many seconds of running the machine's clock has differed; `purged`: when the last purge was;
    `moved`: when the last pass began that moved all there was. `boot` is the one in which the machine's clock was last
    believed, and `now` was when it had run for `ran_s`.
    """

    now: float
    differed_s: float = 0.0
    purged: float = 0.0
    moved: float = 0.0
    boot: str = ""
    ran_s: float = 0.0


def now(settings: Settings) -> float:
    """Seconds since 1970 UTC, for what is decided or kept by time.

    The machine's clock; the log shipper's where the former is more than `BELIEVED_S` behind it, or ahead of it without
    having been switched off in between.
    """
    wall, kept = time.time(), read(settings)
    if kept is None:
        return wall
    expected, same = kept.now + since_kept(kept), kept.boot == boot()
    leapt = wall < expected - BELIEVED_S or (same and wall > expected + BELIEVED_S)
    return expected if leapt else wall


def since_kept(kept: Clock) -> float:
    """Seconds since `kept.now` was; 0 where the machine was switched off in between."""
    return max(ran_s() - kept.ran_s, 0.0) if kept.boot == boot() else 0.0


def ran_s() -> float:
    """Seconds since the machine was switched on, also those that it slept."""
    return time.clock_gettime(_SINCE_BOOT)


@functools.cache
def boot() -> str:
    """Tells one run of the machine from the next; where the system does not say, one process from the next."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return secrets.token_hex(16)


def file(settings: Settings) -> Path:
    """Where the log shipper keeps its time."""
    return settings.var / "serving" / "clock.json"


def read(settings: Settings) -> Clock | None:
    """What the log shipper kept; None before its first pass, and where the file is damaged."""
    try:
        return msgspec.json.decode(file(settings).read_bytes(), type=Clock)
    except (OSError, msgspec.DecodeError):
        return None
