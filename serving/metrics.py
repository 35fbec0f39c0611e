"""Prometheus metrics, right across workers.

The request path only adds to plain Python lists; a thread sums them up every `FLUSH_S` and publishes the sums in the
worker's slot (`serving/status/slots.py`), so that `/metrics` of any worker adds up those of all. Not in the files of
prometheus_client: they are mapped, and a full disk would kill workers and master. A `kill -9` loses what a worker
counted since it last published; the prediction log, not these, is the record of what was answered.
"""

from __future__ import annotations

import bisect
import logging
import threading
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, chain
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ml.schema.warnings import RowWarning
from serving.model.store import read_refusals, worker_states
from serving.prediction_log.records import backlog_bytes
from serving.status.slots import Slots

logger = logging.getLogger("refit.serving")

FLUSH_S = 0.1  # between two writes of what was counted
# Seconds. One row takes tenths of a millisecond, a large file seconds.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BOUNDS = (*BUCKETS, float("inf"))
VERDICTS = ("insufficient data", "stable", "drift", "degraded", "broken data")


class Sums(msgspec.Struct):
    """What has been counted: requests by route and status, of each route the answers by bucket of time and their
    seconds, rows by version, unusual values by column and code, problems by code."""

    requests: dict[tuple[str, int], int] = {}
    buckets: dict[str, list[int]] = {}
    seconds: dict[str, float] = {}
    rows: dict[str, int] = {}
    flagged: dict[tuple[str, str], int] = {}
    problems: dict[str, int] = {}
    swaps: int = 0
    log_refusals: int = 0

    def time(self, route: str, seconds: float) -> None:
        """Count the duration of one answer."""
        self.buckets.setdefault(route, [0] * len(BOUNDS))[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.seconds[route] = self.seconds.get(route, 0.0) + seconds

    def add(self, other: Sums) -> None:
        """Add what another process has counted."""
        for name in ("requests", "seconds", "rows", "flagged", "problems"):
            mine = getattr(self, name)
            for key, value in getattr(other, name).items():
                mine[key] = mine.get(key, 0) + value
        for route, counts in other.buckets.items():
            mine = self.buckets.get(route, [0] * len(counts))
            self.buckets[route] = [a + b for a, b in zip(mine, counts, strict=True)]
        self.swaps += other.swaps
        self.log_refusals += other.log_refusals


class Metrics:
    """Counts of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._slots = Slots()
        self._sums = Sums()
        self._lock = threading.Lock()
        self._answered: deque[tuple[str, int, float]] = deque()
        self._scored: deque[tuple[str, int, tuple[tuple[RowWarning, ...], ...]]] = deque()
        self._problems: deque[str] = deque()
        self._published = b""
        self._claimed = False
        self._told = False  # that the sums cannot be published
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the rule, never the path: it must have few values."""
        self._answered.append((route, status, seconds))

    def scored(self, version: str, rows: int, warnings: tuple[tuple[RowWarning, ...], ...]) -> None:
        """Count the rows of an answer and what was unusual about them.

        Parameters
        ----------
        warnings
            For each row what was unusual about it.
        """
        self._scored.append((version, rows, warnings))

    def problem(self, code: str) -> None:
        """Count a problem that was answered, by the code of its message; "" where the sentence is not ours."""
        self._problems.append(code)

    def swapped(self, version: str) -> None:
        """Count a version taken into service."""
        with self._lock:
            self._sums.swaps += 1

    def log_refused(self) -> None:
        """Count an answer refused for want of the log."""
        with self._lock:
            self._sums.log_refusals += 1

    def start(self) -> None:
        """After the fork: go on from what a dead worker has counted, and start publishing."""
        with self._lock:
            before = self._slots.claim()
            self._claimed = True
            if before:
                self._sums.add(msgspec.msgpack.decode(before, type=Sums))
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="refit-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Publish the rest."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    def flush(self) -> None:
        """Sum up what was counted since the last time, and publish the sums."""
        with self._lock:
            sums = self._sums
            answered = [self._answered.popleft() for _ in range(len(self._answered))]
            for (route, status), n in Tally((route, status) for route, status, _ in answered).items():
                sums.requests[route, status] = sums.requests.get((route, status), 0) + n
            for code in [self._problems.popleft() for _ in range(len(self._problems))]:
                sums.problems[code] = sums.problems.get(code, 0) + 1
            for route, _, seconds in answered:
                sums.time(route, seconds)
            for version, n, warnings in [self._scored.popleft() for _ in range(len(self._scored))]:
                sums.rows[version] = sums.rows.get(version, 0) + n
                for warning in chain.from_iterable(warnings):
                    key = (warning.column, warning.code)
                    sums.flagged[key] = sums.flagged.get(key, 0) + 1
            self._publish()

    def _publish(self) -> None:
        content = msgspec.msgpack.encode(self._sums)
        if not self._claimed or content == self._published:
            return
        try:
            self._slots.publish(content)
            self._published, self._told = content, False
        except OSError as error:
            if not self._told:
                logger.error("other workers do not see what this one counts: %s", error)
            self._told = True

    def render(self) -> bytes:
        """The exposition text, of all workers."""
        self.flush()
        total = Sums()
        with self._lock:
            total.add(self._sums)
        for content in self._slots.others():
            if content:
                total.add(msgspec.msgpack.decode(content, type=Sums))
        registry = CollectorRegistry()
        registry.register(_Counted(total))
        registry.register(_Files(self.folder))
        return generate_latest(registry)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            try:
                self.flush()
            except Exception:  # counting must not end because of one failure
                logger.exception("metrics could not be handed on")


class _Counted(Collector):
    """Sums as Prometheus's families."""

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    def collect(self) -> Iterator[Metric]:
        sums = self.sums
        requests = CounterMetricFamily("refit_requests", "Requests answered", labels=["route", "status"])
        for (route, status), n in sums.requests.items():
            requests.add_metric([route, str(status)], n)
        yield requests
        seconds = HistogramMetricFamily("refit_request_seconds", "Time to answer", labels=["route"])
        bounds = [str(floatToGoString(bound)) for bound in BOUNDS]  # type: ignore[no-untyped-call]
        for route, counts in sums.buckets.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            seconds.add_metric([route], buckets, sums.seconds[route])
        yield seconds
        rows = CounterMetricFamily("refit_rows", "Rows scored", labels=["model_version"])
        for version, n in sums.rows.items():
            rows.add_metric([version], n)
        yield rows
        flagged = CounterMetricFamily("refit_flagged_inputs", "Unusual values scored", labels=["column", "code"])
        for labels, n in sums.flagged.items():
            flagged.add_metric(labels, n)
        yield flagged
        problems = CounterMetricFamily("refit_problems", "Problems answered, by what was wrong", labels=["code"])
        for code, n in sums.problems.items():
            problems.add_metric([code], n)
        yield problems
        yield CounterMetricFamily("refit_swaps", "Versions taken into service by workers", value=sums.swaps)
        refusals = "Answers refused because the log was not to be had"
        yield CounterMetricFamily("refit_log_refusals", refusals, value=sums.log_refusals)


class _Files(Collector):
    """What is read from files at the moment of the scrape, the same whichever worker answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        workers = GaugeMetricFamily("refit_workers", "Workers by the version they serve", labels=["model_version"])
        for version, n in Tally(state.model_version or "none" for state in worker_states(self.folder)).items():
            workers.add_metric([version], n)
        yield workers
        refused = len(read_refusals(self.folder))
        yield GaugeMetricFamily("refit_versions_refused", "Versions that this machine refused", value=refused)
        lag = backlog_bytes(self.folder / "segments")
        yield GaugeMetricFamily("refit_log_lag_bytes", "Prediction log not yet in the database", value=lag)
        verdict = self._verdict()
        drift = GaugeMetricFamily(
            "refit_drift_verdict", "1 for the latest verdict of the drift check", labels=["verdict"]
        )
        for name in VERDICTS:
            drift.add_metric([name], float(name == verdict))
        yield drift

    def _verdict(self) -> str | None:
        try:
            status = msgspec.json.decode((self.folder / "status.json").read_bytes(), type=_Status)
        except (OSError, msgspec.DecodeError):
            return None
        return status.checks[0].verdict if status.checks else None


class _Check(msgspec.Struct):
    verdict: str


class _Status(msgspec.Struct):
    checks: list[_Check] = []
