"""Four machines, one PostgreSQL: nothing lost, doubled or unjoined, whichever log shipper is killed, and when."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions.tables import WAITING, prediction_keys
from ml.settings import Settings
from ml.storage import database
from serving.model.store import open_served
from serving.prediction_log import segments
from serving.prediction_log.records import Label
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from serving.scoring import score
from tests import postgresql
from tests.serving import tiny

HOSTS = 4
ANSWERS = 250  # of each host
KILLS = 6


@pytest.fixture
def url() -> Iterator[str]:
    with postgresql.running() as server:
        yield server.url
        database._engine(server.url).dispose()


def settings_of(home: Path, url: str) -> Settings:
    return tiny.settings_for(home, database_url=url)


def ship(home: Path, url: str, parent: int) -> None:
    """A log shipper's process: until it is killed, or the test is gone."""
    shipper = LogShipper(settings_of(home, url))
    while os.getppid() == parent:
        try:
            shipper.step()
        except StoreUnavailable:
            continue
        time.sleep(0.01)


class Machines:
    """Four homes, each with a log and a log shipper of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url, self.homes = url, [folder / f"host{i}" for i in range(HOSTS)]
        self._shippers: list[multiprocessing.process.BaseProcess | None] = [None] * HOSTS
        self.labels: dict[str, list[Label]] = defaultdict(list)
        self.ids: list[str] = []
        self._lock = threading.Lock()
        database.engine(settings_of(self.homes[0], url))

    def start(self, host: int) -> None:
        context = multiprocessing.get_context("spawn")
        made = context.Process(target=ship, args=(self.homes[host], self.url, os.getpid()), daemon=True)
        made.start()
        self._shippers[host] = made

    def kill(self, host: int) -> None:
        shipper = self._shippers[host]
        if shipper is not None and shipper.pid is not None:
            os.kill(shipper.pid, signal.SIGKILL)
            shipper.join()

    def work(self, host: int) -> None:
        """Answer; label what any host has answered, or will have, more than once and not always alike."""
        chance = random.Random(host)
        settings = settings_of(self.homes[host], self.url)
        served, log = open_served(settings.var / "serving", tiny.publish(settings, "1")), PredictionLog(settings)
        for i in range(ANSWERS):
            key = f"{host}-{i}"
            repeated = [f"shared-{i}"] if i % 10 == 0 else []  # a caller sends it to each of the machines
            for one in [key, *repeated]:
                rows = score.reader(served).records([tiny.row(f0=i / 100)])
                log.append(served, score.score(served, rows, [one]))
            for _ in range(2):
                whose = f"{chance.randrange(HOSTS)}-{chance.randrange(max(i - 20, 0), min(i + 20, ANSWERS))}"
                with self._lock:
                    self.labels[whose] += log.append_feedback([(whose, chance.choice("01"))])
            with self._lock:
                self.ids += [key, *repeated]
            time.sleep(chance.random() / 100)
        log.close()

    def finish(self) -> None:
        """The last passes, of shippers that start anew as after a boot."""
        for host in range(HOSTS):
            self.kill(host)
            shipper = LogShipper(settings_of(self.homes[host], self.url))
            shipper.step()
            assert segments.segments(shipper.folder) == []


def expected_history(labels: list[Label]) -> list[tuple[str, float]]:
    """The first of each run of equal labels."""
    ordered = sorted(labels, key=lambda one: (one.received_at, one.id))
    runs = itertools.groupby(ordered, key=lambda one: one.label)
    return [(label, next(run).received_at) for label, run in runs]


def test_four_machines_with_labels_at_any_of_them(tmp_path: Path, url: str) -> None:
    machines, chance = Machines(tmp_path, url), random.Random(0)
    for host in range(HOSTS):
        machines.start(host)
    workers = [threading.Thread(target=machines.work, args=(host,)) for host in range(HOSTS)]
    for worker in workers:
        worker.start()
    for _ in range(KILLS):
        time.sleep(chance.random())
        host = chance.randrange(HOSTS)
        machines.kill(host)
        machines.start(host)
    for worker in workers:
        worker.join()
    machines.finish()

    p, f, k = predictions.predictions.c, predictions.feedback.c, prediction_keys.c
    with database.engine(settings_of(machines.homes[0], url)).connect() as connection:
        times = {row.prediction_id: row.time for row in connection.execute(sa.select(p.prediction_id, p.time))}
        count = connection.execute(sa.select(sa.func.count()).select_from(predictions.predictions)).scalar()
        marked = connection.execute(sa.select(predictions.feedback).order_by(f.received_at, f.id)).all()
        keys = connection.execute(sa.select(prediction_keys).where(k.time == WAITING)).all()
    assert sorted(times) == sorted(set(machines.ids)), "none is lost"
    assert count == len(times), "none is doubled"
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for row in marked:
        assert row.answered == times[row.prediction_id], "each is beside its prediction"
        found[row.prediction_id].append((row.label, row.received_at))
    assert keys == []
    assert found == {key: expected_history(labels) for key, labels in machines.labels.items()}
    frame = predictions.window(database.engine(settings_of(machines.homes[0], url)), labelled_only=True)
    latest = dict(zip(frame["prediction_id"], frame["actual"], strict=True))
    assert latest == {key: expected_history(labels)[-1][0] for key, labels in machines.labels.items()}
