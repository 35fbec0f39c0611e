"""Live traffic in the background: customers come at a steady rate, their labels some seconds later."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec

from demo.send import records
from demo.traffic import Client, Delayed
from ml.data.sources import customers

BLOCK_ROWS = 2_000  # customers drawn at once


class Phase(msgspec.Struct, frozen=True):
    """A state of the world: see `ml.data.sources.customers.make`."""

    name: str
    shift: float = 0.0
    concept: float = 0.0


USUAL = Phase("usual")
SHIFTED = Phase("covariate shift", shift=1.0)
CONCEPT = Phase("concept shift", shift=1.0, concept=1.0)
PHASES = (USUAL, SHIFTED, CONCEPT)


class Batch(msgspec.Struct, frozen=True):
    """One answered request: `at` seconds since the start, and how many of its rows were decided right."""

    at: float
    rows: int
    right: int
    version: str
    phase: str


class Traffic(threading.Thread):
    """Sends batches until it is stopped; keeps what was answered.

    Parameters
    ----------
    rate
        Rows a second.
    label_delay_s
        Seconds from an answer to its label.
    """

    def __init__(self, url: str, *, rate: float, label_delay_s: float, seed: int, batch: int = 10) -> None:
        super().__init__(name="traffic", daemon=True)
        self._client = Client(url)
        self._labels = Delayed(self._client, label_delay_s)
        self._rate, self._batch, self._seed = rate, batch, seed
        self._phase = Phase("usual")
        self._finished = threading.Event()
        self.started = time.monotonic()
        self.batches: list[Batch] = []
        self.failure: Exception | None = None

    @property
    def requests(self) -> int:
        """Answered requests, labels included."""
        return self._client.requests

    @property
    def retried(self) -> int:
        """Requests that were sent again."""
        return self._client.retried

    def change(self, phase: Phase) -> None:
        """From the next batch on, customers come from this world."""
        self._phase = phase

    def stop(self) -> None:
        """Send the labels that wait, and end."""
        self._finished.set()
        self.join(60)

    def accuracy(self, last_s: float) -> float | None:
        """Share of right decisions in the last seconds; None without any."""
        since = time.monotonic() - self.started - last_s
        recent = [b for b in self.batches if b.at >= since]
        rows = sum(b.rows for b in recent)
        return sum(b.right for b in recent) / rows if rows else None

    def run(self) -> None:
        """The thread's work."""
        try:
            self._send_until_stopped()
            self._labels.flush()
        except Exception as error:  # shown by the main thread, which would otherwise wait for ever
            self.failure = error
        finally:
            self._client.close()

    def _send_until_stopped(self) -> None:
        schema = self._client.schema()
        due = time.monotonic()
        phase: Phase | None = None
        rows: list[dict[str, Any]] = []
        labels: list[str] = []
        while not self._finished.is_set():
            if phase is not self._phase or not rows:
                phase = self._phase
                rows, labels = self._draw(phase, schema)
            part, rows = rows[: self._batch], rows[self._batch :]
            actual, labels = labels[: self._batch], labels[self._batch :]
            answers = self._client.predict(part)
            now = time.monotonic()
            right = sum(a.label == label for a, label in zip(answers, actual, strict=True))
            self.batches.append(Batch(now - self.started, len(part), right, answers[0].model_version, phase.name))
            self._labels.later([(a.prediction_id, label) for a, label in zip(answers, actual, strict=True)], now)
            self._labels.send(now)
            due = max(due + self._batch / self._rate, now - 1.0)  # after a pause there is no burst to catch up
            self._finished.wait(max(0.0, due - time.monotonic()))

    def _draw(self, phase: Phase, schema: Any) -> tuple[list[dict[str, Any]], list[str]]:
        self._seed += 1
        frame = customers.make(BLOCK_ROWS, self._seed, shift=phase.shift, concept=phase.concept)
        labels = frame[customers.TARGET].astype(str).tolist()
        return records(frame, schema), labels
