"""How far a run's stage is, where another process can read it, `var/runs/<run_key>/progress.json`, and in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml.settings import Settings

Progress = Callable[[str, int, int, str], None]  # told the stage, its steps done, its steps in all, what is at hand

# Seconds between two writes; a stage may report thousands of steps.
_INTERVAL_S = 0.3
LOG_S = 30.0  # between two lines of a task's log; our choice

logger = logging.getLogger("refit.pipeline")


class Report(msgspec.Struct, frozen=True):
    """One report: `done` of `total` steps of `stage`, and what is at hand."""

    stage: str
    done: int
    total: int
    note: str


def writer(settings: Settings, run_key: str) -> Progress:
    """A progress function for the stages of the pipeline. Losing a report costs nothing: nothing is synced."""
    file, last, logged = _file(settings, run_key), 0.0, 0.0

    def report(stage: str, done: int, total: int, note: str) -> None:
        nonlocal last, logged
        if time.monotonic() - logged >= LOG_S or done >= total:
            logged = time.monotonic()
            logger.info("%s: %d of %d %s", stage, done, total, note)
        if time.monotonic() - last < _INTERVAL_S and done < total:
            return
        last = time.monotonic()
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(Report(stage, done, total, note)))
        fresh.replace(file)

    return report


def read(settings: Settings, run_key: str) -> Report | None:
    """The last report, or None."""
    try:
        return msgspec.json.decode(_file(settings, run_key).read_bytes(), type=Report)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _file(settings: Settings, run_key: str) -> Path:
    return settings.var / "runs" / run_key / "progress.json"
