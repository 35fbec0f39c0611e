"""What breaks in earnest: killed processes, a full disk, a database that is away, slow clients, a clock set back."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from ml.errors import StoreUnavailable
from ml.settings import Settings
from ml.storage import database
from serving.model.store import open_served
from serving.prediction_log import shipper as shippers
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from serving.scoring import score
from tests.serving import tiny
from tests.serving.counting import Traffic, lost_and_doubled
from tests.serving.running import serving, wait_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = tiny.settings_for(tmp_path)
    tiny.publish(made, "1")
    return made


def test_killed_workers_lose_no_answer(settings: Settings) -> None:
    with serving(settings.home) as server:
        traffic = Traffic(server.port)
        for _ in range(3):
            seen = len(traffic.ids)
            wait_for(lambda n=seen: len(traffic.ids) > n + 200, what="traffic")
            victim = wait_for(server.workers)[0]
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda v=victim: len(server.workers()) == 2 and v not in server.workers(), what="a new worker")
        wait_for(lambda: len(server.ready()["workers"]) == 2, what="both workers")
        result = traffic.stop()
    assert set(result.failures) <= {"closed without an answer", "[Errno 104] Connection reset by peer"}
    assert lost_and_doubled(settings, traffic.ids) == (0, 0)


def test_killed_master_ends_its_workers_and_the_next_one_starts(settings: Settings) -> None:
    with serving(settings.home) as server:
        traffic = Traffic(server.port)
        wait_for(lambda: len(traffic.ids) > 300, what="traffic")
        workers = server.workers()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(timeout=10)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), what="the workers end")
        traffic.stop()
    with serving(settings.home) as server:
        wait_for(lambda: server.ready()["status"] == "ready", what="readiness")
        assert not set(workers) & {worker["pid"] for worker in server.ready()["workers"]}
    assert lost_and_doubled(settings, traffic.ids) == (0, 0)


def test_terminate_under_load_loses_no_answer(settings: Settings) -> None:
    with serving(settings.home) as server:
        traffic = Traffic(server.port)
        wait_for(lambda: len(traffic.ids) > 300, what="traffic")
        server.stop()
        traffic.stop()
    assert lost_and_doubled(settings, traffic.ids) == (0, 0)


@pytest.mark.parametrize("policy", ["refuse", "answer"])
def test_full_disk_degrades_as_configured_and_recovers(settings: Settings, policy: str) -> None:
    """The kernel refuses to let any file grow; then the limit is lifted."""
    answered: list[str] = []
    with serving(settings.home, SERVING__WORKERS="1", LOG__ON_FAILURE=policy) as server:
        (worker,) = server.workers()
        answered += ids(server.predict([tiny.row()]))
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (100, before[1]))
        for _ in range(20):
            answer = server.predict([tiny.row()])
            assert answer[0] == (503 if policy == "refuse" else 200)
            answered += ids(answer)
        ready = server.ready()
        assert any("too large" in problem for problem in ready["problems"])
        assert ready["status"] == ("not ready" if policy == "refuse" else "ready")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        wait_for(lambda: server.ready()["problems"] == [], what="recovery without a request")
        answered += ids(server.predict([tiny.row()]))
    assert len(answered) == (2 if policy == "refuse" else 22)
    assert lost_and_doubled(settings, answered) == (0, 0)


def ids(answer: tuple[int, dict[str, str], bytes]) -> list[str]:
    from tests.serving.counting import ID

    return [found.decode() for found in ID.findall(answer[2])] if answer[0] == 200 else []


def test_locked_database_is_waited_for(settings: Settings) -> None:
    answered = append(settings, 10)
    database.engine(settings)  # makes the file
    lock = sqlite3.connect(settings.var / "refit.db", check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    thread = threading.Timer(0.5, lock.rollback)
    thread.start()
    assert lost_and_doubled(settings, answered) == (0, 0)
    thread.join()
    lock.close()


def test_database_that_is_gone_stops_no_answer_and_comes_back(settings: Settings, tmp_path: Path) -> None:
    gone = tiny.settings_for(tmp_path, database_url="postgresql+psycopg2://nobody@127.0.0.1:1/refit")
    with serving(settings.home, DATABASE_URL=gone.database_url) as server:
        answered = [i for _ in range(20) for i in ids(server.predict([tiny.row()]))]
        with pytest.raises(StoreUnavailable):
            LogShipper(gone).step()
    assert len(answered) == 20
    assert lost_and_doubled(settings, answered) == (0, 0)


def test_log_shipper_that_is_killed_at_any_moment_doubles_nothing(settings: Settings) -> None:
    answered = append(settings, 50)
    pid = os.fork()
    if pid == 0:
        shippers.BATCH_ROWS = 5
        LogShipper(settings).step()
        os._exit(0)
    time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert lost_and_doubled(settings, answered) == (0, 0)


def append(settings: Settings, n: int) -> list[str]:
    """Log `n` answers as a worker does, and end it."""
    served = open_served(settings.var / "serving", tiny.publish(settings, "1"))
    log = PredictionLog(settings)
    made: list[str] = []
    for _ in range(n):
        scored = score.score(served, score.reader(served).records([tiny.row()]))
        log.append(served, scored)
        made += scored.ids
    log.close()
    return made


def test_clock_that_is_set_back_loses_and_doubles_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments' names, ids and times are taken from the clock; nothing relies on their order."""
    answered = append(settings, 5)
    then = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: then)
    monkeypatch.setattr(time, "time_ns", lambda: int(then * 1e9))
    answered += append(settings, 5)
    answered += append(settings, 5)
    assert len(set(answered)) == 15
    assert lost_and_doubled(settings, answered) == (0, 0)


def test_ten_thousand_slow_connections_hold_nobody_up(settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard - 500)
    slow: list[socket.socket] = []
    try:
        with serving(settings.home, SERVING__WORKERS="2", SERVING__MAX_CONNECTIONS="4000") as server:
            for _ in range(count):
                sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
                sock.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX: ")
                slow.append(sock)
            assert len(slow) == count
            for _ in range(20):
                assert server.predict([tiny.row()])[0] == 200
    finally:
        for sock in slow:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
