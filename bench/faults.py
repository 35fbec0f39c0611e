"""What was answered, lost and doubled when something breaks under load, and how soon the service was back.

Traffic of single rows on 8 connections; "back" is the time from the fault until every worker is ready again.
A killed master is started again at once, as the supervisor does.

    python -m bench.faults [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml.settings import Settings
from tests.serving import tiny
from tests.serving.counting import Traffic, lost_and_doubled
from tests.serving.running import Server, serving, wait_for

WORKERS = 2


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


def terminated(server: Server) -> None:
    """SIGTERM to the master: everything that was sent is answered."""
    server.process.terminate()
    server.process.wait(timeout=60)


FAULTS: tuple[Callable[[Server], None], ...] = (killed_worker, killed_workers, killed_master, full_disk, terminated)


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
            result = traffic.stop()
        lost, doubled = lost_and_doubled(settings, traffic.ids)
    return {
        "fault": (fault.__doc__ or "").strip(),
        "answered": len(traffic.ids),
        "failures": result.failures,
        "lost": lost,
        "doubled": doubled,
        "back_s": round(back, 2),
    }


def main() -> None:
    """The command line; exits 1 when an answer was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    found = []
    for fault in FAULTS:
        try:
            found.append(measure(fault))
        except (AssertionError, subprocess.SubprocessError) as error:
            raise SystemExit(f"{fault.__name__}: {error}") from error
        if not options.json:
            one = found[-1]
            print(f"{one['fault']}\n    answered {one['answered']}, lost {one['lost']}, doubled {one['doubled']}, "
                  f"back after {one['back_s']} s; not answered: {one['failures'] or 'none'}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps(found))
    if any(one["lost"] or one["doubled"] for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
