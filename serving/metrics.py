"""Prometheus metrics, right across workers.

Under gunicorn `PROMETHEUS_MULTIPROC_DIR` is set before this is imported, so that `prometheus_client` keeps every
worker's numbers in files and `/metrics` of any worker sums them. The request path only adds to plain Python
numbers; a thread hands them on every `FLUSH_S` (a `kill -9` loses what a worker counted in that time; the
prediction log, not these, is the record of what was answered).
"""

from __future__ import annotations

import bisect
import logging
import os
import threading
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ml.schema.warnings import Flag
from serving.model.store import read_refusals, worker_states
from serving.prediction_log.records import backlog_bytes

logger = logging.getLogger("refit.serving")

FLUSH_S = 0.1
# Seconds. One row takes tenths of a millisecond, a large file seconds.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
VERDICTS = ("insufficient data", "stable", "drift", "degraded", "broken data")


class Metrics:
    """Counts of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        registry = self.registry = CollectorRegistry()
        self._requests = Counter("refit_requests", "Requests answered", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "refit_request_seconds", "Time to answer", ["route"], buckets=BUCKETS, registry=registry
        )
        self._rows = Counter("refit_rows", "Rows scored", ["model_version"], registry=registry)
        self._flagged = Counter("refit_flagged_inputs", "Unusual values scored", ["column", "code"], registry=registry)
        self._swaps = Counter("refit_swaps", "Versions taken into service by workers", registry=registry)
        self._log_refusals = Counter(
            "refit_log_refusals", "Answers refused because the log was not to be had", registry=registry
        )
        self._lock = threading.Lock()
        self._answered: deque[tuple[str, int, float]] = deque()
        self._scored: deque[tuple[str, int, tuple[tuple[Flag, ...], ...]]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the rule, never the path: it must have few values."""
        self._answered.append((route, status, seconds))

    def scored(self, version: str, rows: int, flags: tuple[tuple[Flag, ...], ...]) -> None:
        """Count the rows of an answer and what was unusual about them."""
        self._scored.append((version, rows, flags))

    def swapped(self, version: str) -> None:
        """Count a version taken into service."""
        self._swaps.inc()

    def log_refused(self) -> None:
        """Count an answer refused for want of the log."""
        self._log_refusals.inc()

    def start(self) -> None:
        """Start handing on what is counted."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="refit-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hand on the rest."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        with self._lock:
            answered = [self._answered.popleft() for _ in range(len(self._answered))]
            for (route, status), n in Tally((route, status) for route, status, _ in answered).items():
                self._requests.labels(route, status).inc(n)
            by_route: dict[str, list[float]] = {}
            for route, _, seconds in answered:
                by_route.setdefault(route, []).append(seconds)
            for route, times in by_route.items():
                _observe(self._seconds.labels(route), times)
            scored = [self._scored.popleft() for _ in range(len(self._scored))]
            rows: Tally[str] = Tally()
            for version, n, flags in scored:
                rows[version] += n
                for flag in chain.from_iterable(flags):
                    self._flagged.labels(flag.column, flag.code).inc()
            for version, n in rows.items():
                self._rows.labels(version).inc(n)

    def render(self) -> bytes:
        """The exposition text, of all workers."""
        self.flush()
        shared = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        now = CollectorRegistry()
        now.register(_Files(self.folder))
        return generate_latest(shared) + generate_latest(now)

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            try:
                self.flush()
            except Exception:  # counting must not end because of one failure
                logger.exception("metrics could not be handed on")


def _observe(child: Histogram, seconds: list[float]) -> None:
    """`child.observe` for each, but with one addition a bucket: single ones cost more than parsing a request does."""
    bounds = [*BUCKETS, float("inf")]
    child._sum.inc(sum(seconds))
    for bucket, n in Tally(bisect.bisect_left(bounds, one) for one in seconds).items():
        child._buckets[bucket].inc(n)


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
