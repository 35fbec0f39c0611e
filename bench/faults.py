"""What was answered, lost and doubled when something breaks under load, and how soon the service was back.

Traffic of single rows on 8 connections. "Silent" is the longest time without an answer from the fault on; "back" the
time from the fault until every worker is ready again (with a locked database: until the log has been moved).
A killed master is started again at once, as the supervisor does.

    python -m bench.faults [--only NAME …] [--json]
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import harness
from ml.settings import Settings
from serving.prediction_log.records import backlog_bytes
from tests.serving import tiny
from tests.serving.counting import Traffic, lost_and_doubled
from tests.serving.running import ROOT, Server, serving, wait_for

WORKERS = 2
SLOW = 10_000


def all_ready(server: Server, gone: set[int]) -> bool:
    """Whether every worker serves, and none of them is one of `gone`."""
    try:
        found = server.ready()
    except (OSError, ValueError):
        return False
    pids = {worker["pid"] for worker in found["workers"] if worker["model_version"]}
    return len(pids) == WORKERS and not pids & gone


def killed_worker(server: Server) -> None:
    """`kill -9` of one of two workers."""
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: all_ready(server, {victim}), what="the service is back")


def killed_workers(server: Server) -> None:
    """`kill -9` of both workers at once."""
    victims = set(server.workers())
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    wait_for(lambda: all_ready(server, victims), what="the service is back")


def killed_master(server: Server) -> None:
    """`kill -9` of the master, which is started again on its port at once."""
    gone = set(server.workers())
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.start()
    wait_for(lambda: all_ready(server, gone), what="the service is back")


def full_disk(server: Server) -> None:
    """No file may grow for a second; requests are refused (503) then."""
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in server.workers()}
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, hard))
    time.sleep(1)
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    wait_for(lambda: server.ready()["problems"] == [] and all_ready(server, set()), what="recovery")


def locked_database(server: Server) -> None:
    """Another program holds the database's write lock for two seconds; the log shipper waits, answers go on."""
    shipper = subprocess.Popen([sys.executable, "-m", "serving.prediction_log.shipper"], cwd=ROOT, env=server.env)
    try:
        folder = server.home / "var" / "serving" / "segments"
        wait_for(lambda: moved(server.home) > 0, what="the log shipper works")
        with contextlib.closing(sqlite3.connect(server.home / "var" / "refit.db")) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            time.sleep(2)
            lock.rollback()
        behind = backlog_bytes(folder)
        wait_for(lambda: backlog_bytes(folder) < max(behind / 2, 100_000), 60, what="the log shipper catches up")
    finally:
        shipper.terminate()
        shipper.wait(timeout=60)


def moved(home: Path) -> int:
    """Rows in the database."""
    with contextlib.closing(sqlite3.connect(home / "var" / "refit.db")) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


def slow_connections(server: Server) -> None:
    """10,000 clients connect, send half a head and no more."""
    slow: list[socket.socket] = []
    try:
        for _ in range(SLOW):
            slow.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            slow[-1].sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX: ")
        time.sleep(2)
    finally:
        for sock in slow:
            sock.close()


def terminated(server: Server) -> None:
    """SIGTERM to the master: everything that was sent is answered."""
    server.process.terminate()
    server.process.wait(timeout=60)


FAULTS: tuple[Callable[[Server], None], ...] = (
    killed_worker, killed_workers, killed_master, full_disk, locked_database, slow_connections, terminated,
)  # fmt: skip


def measure(fault: Callable[[Server], None]) -> dict[str, Any]:
    """One fault in the middle of traffic."""
    with tempfile.TemporaryDirectory() as folder:
        settings: Settings = tiny.settings_for(Path(folder))
        tiny.publish(settings, "1")
        with serving(settings.home, SERVING__WORKERS=str(WORKERS)) as server:
            wait_for(lambda: all_ready(server, set()), what="readiness")
            traffic = Traffic(server.port)
            wait_for(lambda: len(traffic.ids) > 1000, what="traffic")
            began = time.monotonic()
            fault(server)
            back = time.monotonic() - began
            time.sleep(0.5)
            silent = traffic.silent_since(began)
            result = traffic.stop()
        lost, doubled = lost_and_doubled(settings, traffic.ids)
    return {
        "fault": (fault.__doc__ or "").strip(),
        "answered": len(traffic.ids),
        "failures": result.failures,
        "lost": lost,
        "doubled": doubled,
        "silent_s": round(silent, 2),
        "p99_ms": round(1000 * result.percentile(0.99), 1),
        "back_s": round(back, 2),
    }


def main() -> None:
    """The command line; exits 1 when an answer was lost or doubled."""
    parser = harness.options(__doc__)
    names = [fault.__name__ for fault in FAULTS]
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="some of the faults")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = []
    for fault in (fault for fault in FAULTS if fault.__name__ in options.only):
        try:
            found.append(measure(fault))
        except (AssertionError, subprocess.SubprocessError) as error:
            raise SystemExit(f"{fault.__name__}: {error}") from error
        if not options.json:
            one = found[-1]
            print(f"{one['fault']}\n    answered {one['answered']}, lost {one['lost']}, doubled {one['doubled']}, "
                  f"silent for {one['silent_s']} s, back after {one['back_s']} s, p99 {one['p99_ms']} ms; "
                  f"not answered: {one['failures'] or 'none'}", flush=True)  # fmt: skip
    harness.show(found, as_json=options.json)
    if any(one["lost"] or one["doubled"] for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
