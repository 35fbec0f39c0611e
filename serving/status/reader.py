"""What the pages and /metrics know of the world outside of a worker: one JSON file, `var/serving/status.json`.

The log shipper writes it every few seconds (it has the database), workers only read it, so that no worker
imports SQLAlchemy or MLflow. Every field has a default: a reader shows what is there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ml.charts import Histogram
from ml.messages import Text
from ml.storage.files import write_bytes

RANGES = {"1d": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}  # seconds back from now
NEWEST_ROWS = 50_000  # predictions that windows are made of at most: bounds the query on a log of any length


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event: `time` in seconds since 1970; versions are "" where there is none."""

    time: float
    what: str
    from_version: str = ""
    to_version: str = ""
    who: str = ""
    why: Text = ""


class VersionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version, newest first. `metrics` maps a name to (value, low, high); `sha256` is its bundle's."""

    version: str
    time: float = 0.0
    family: str = ""
    verdict: str = ""
    sentence: Text = ""
    aliases: tuple[str, ...] = ()
    quarantined: bool = False
    why_quarantined: Text = ""
    run_id: str = ""
    sha256: str = ""
    metrics: dict[str, tuple[float, float | None, float | None]] = {}


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One drift check, newest first, of `version`. `columns` maps a column to its effect size; `report` names the HTML
    file; `decision` says why it asks for a retraining or not; `histograms` has the newest comparison alone."""

    id: str
    time: float
    verdict: str
    retrain: bool = False
    decision: Text = ""
    reasons: tuple[Text, ...] = ()
    columns: dict[str, float] = {}
    rows: int = 0
    report: str = ""
    version: str = ""
    histograms: tuple[Histogram, ...] = ()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was sent from this machine, newest first; `address` is that of a failed run, or ""."""

    time: float
    kind: str
    sentences: tuple[Text, ...] = ()
    address: str = ""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of traffic in time order: how much came, how much of it is labelled, how right it was."""

    start: float
    end: float
    version: str = ""
    predictions: int = 0
    labelled: int = 0
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything above, when it was written, and how the challenger in shadow stands ("" where none waits).

    `windows` slice the newest predictions of all time, `recent` those of the last day, week and month (`RANGES`).
    `next_check` is when the schedule brings the next drift check, 0 where that is not known.
    `versions` are those that the registry named at `versions_time`: where that is long before `time`, it is silent.
    """

    time: float = 0.0
    shadow: Text = ""
    ledger: tuple[LedgerEntry, ...] = ()
    versions: tuple[VersionEntry, ...] = ()
    versions_time: float = 0.0
    checks: tuple[CheckEntry, ...] = ()
    windows: tuple[Window, ...] = ()
    recent: dict[str, tuple[Window, ...]] = {}
    alerts: tuple[Alert, ...] = ()
    next_check: float = 0.0


def write(folder: Path, status: Status) -> None:
    """Replace `status.json` in `folder`."""
    write_bytes(folder / "status.json", msgspec.json.encode(status))


def read(folder: Path) -> Status:
    """The last status; an empty one where there is none yet or it cannot be read."""
    try:
        return msgspec.json.decode((folder / "status.json").read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return Status()
