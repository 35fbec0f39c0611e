"""What the pages and /metrics know of the world outside of a worker: one JSON file, `var/serving/status.json`.

The log shipper writes it every few seconds (it has the database), workers only read it, so that no worker
imports SQLAlchemy or MLflow. Every field has a default: a reader shows what is there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ml.charts import Histogram
from ml.exploration.label_coverage import Coverage
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


# The model's own scores among the columns of a check: `ml.drift.verdict.PREDICTION`, which is too heavy for a worker.
SCORES = "prediction"


class EstimateEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A metric guessed without labels: see `ml.drift.verdict.Estimated`."""

    value: float
    reference: float
    guessed: float | None = None
    measured: float | None = None


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One drift check, newest first, of `version`. `columns` maps a column, or SCORES, to its effect size; `report`
    names the HTML file; `decision` says why it asks for a retraining or not; `histograms`, `coverage` and `estimates`
    (with the labels they are held against) are of the newest comparison alone."""

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
    coverage: Coverage = Coverage()
    estimates: dict[str, EstimateEntry] = {}
    estimate_labels: int = 0


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was sent from this machine, newest first; `address` is that of a failed run, or ""."""

    time: float
    kind: str
    sentences: tuple[Text, ...] = ()
    address: str = ""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of traffic in time order: how much came, how much of it is labelled, how right it was.

    Where propensities are logged, labelled rows count by them (`ml.exploration.weights`): `weight` is their sum, and
    `effective` how many rows of equal weight would tell as much; elsewhere both are the number of labels.
    """

    start: float
    end: float
    version: str = ""
    predictions: int = 0
    labelled: int = 0
    weight: float = 0.0
    effective: float = 0.0
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


class ServiceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A service that registered itself (`ml.fleet`): what its workers serve, when it was last heard of, and why it is
    out of rotation ("" where it is not); `stale` where it is taken for dead."""

    host: str
    address: str
    versions: tuple[str, ...] = ()
    workers: int = 0
    seen: float = 0.0
    stale: bool = False
    out: Text = ""


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
    services: tuple[ServiceEntry, ...] = ()
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
