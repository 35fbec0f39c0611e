"""What was answered, and what of it is in the log: for the fault tests and for bench/swap.py."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa

from bench import load
from ml import predictions
from ml.settings import Settings
from ml.storage import database
from serving.prediction_log import segments
from serving.prediction_log.records import Predictions, Record
from serving.prediction_log.shipper import LogShipper
from tests.serving import tiny

ID = re.compile(rb'"prediction_id":"(\w+)"')


class Traffic:
    """Single rows over kept connections in a thread, until `stop`; remembers the id of every answer."""

    def __init__(self, port: int, connections: int = 8) -> None:
        self.ids: list[str] = []
        self.moments: list[float] = []  # monotonic seconds of each answer
        self.result: load.Result | None = None
        self._end = threading.Event()
        request = load.post("/predict", json.dumps({"rows": [tiny.row()]}).encode())
        self._thread = threading.Thread(target=self._run, args=(port, request, connections))
        self._thread.start()

    def stop(self) -> load.Result:
        """End the traffic; what it saw."""
        self._end.set()
        self._thread.join(timeout=60)
        assert self.result is not None, "the traffic ended with an error"
        return self.result

    def silent_since(self, began: float) -> float:
        """The longest time without an answer from `began` (monotonic) until now, in seconds."""
        moments = [began, *(moment for moment in self.moments if moment > began), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(moments))

    def _run(self, port: int, request: bytes, connections: int) -> None:
        self.result = load.run(
            port, request, connections=connections, seconds=120, on_answer=self._answer, stop=self._end.is_set
        )

    def _answer(self, _sent: float, content: bytes) -> None:
        found = ID.findall(content)
        if found:
            self.moments.append(time.monotonic())
        self.ids += [one.decode() for one in found]


def whole(segment: Path) -> list[Record | None]:
    """The records of a segment that nobody writes to; None for a damaged stretch."""
    content = segment.read_bytes()
    place = segments.start(content)
    return [r for _, r in segments.records(content[place.at :], place, sealed=True)] if place else []


def logged(home: Path) -> Counter[str]:
    """How often each id stands in the segments that are there."""
    found: Counter[str] = Counter()
    for segment in segments.segments(home / "var" / "serving" / "segments"):
        for record in whole(segment):
            if isinstance(record, Predictions):
                found.update(record.ids)
    return found


def lost_and_doubled(settings: Settings, answered: list[str]) -> tuple[int, int]:
    """Move everything to the database; (answered ids that are not there, ids that the log has twice)."""
    doubled = sum(n > 1 for n in logged(settings.home).values())
    LogShipper(settings).step()
    with database.engine(settings).connect() as connection:
        there = set(connection.execute(sa.select(predictions.predictions.c.prediction_id)).scalars())
    return len(set(answered) - there), doubled
