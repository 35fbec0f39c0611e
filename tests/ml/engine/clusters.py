"""Real Dask clusters on loopback: a scheduler and workers as processes, started as a person starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml.settings import CHECKOUT
from tests.ports import free_port

DASK = Path(sys.executable).parent / "dask"
TO_START_S = 60.0  # a busy machine takes long to import


class LocalCluster:
    """`dask scheduler` at a free port, and `dask worker`s, each one process of one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """At the address, where none runs."""
        self.scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])
        until(lambda: self._answers())
        return self.scheduler

    def start_workers(self, n: int, **environment: str) -> None:
        for _ in range(n):
            self.workers.append(
                self._start(
                    "worker", self.address, "--nthreads", "1", "--no-nanny", "--death-timeout", "60", **environment
                )
            )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                self.kill(process)

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self._folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(
                [DASK, *words, "--host", "127.0.0.1", "--no-dashboard"], cwd=self._folder, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **environment},
            )  # fmt: skip

    def _answers(self) -> bool:
        host, _, port = self.address.removeprefix("tcp://").partition(":")
        with socket.socket() as asked:
            return asked.connect_ex((host, int(port))) == 0


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[LocalCluster]:
    """One with so many workers, which ends with the block."""
    made = LocalCluster(folder)
    try:
        made.start_workers(workers)
        yield made
    finally:
        made.close()


def until(true: Callable[[], Any]) -> None:
    """Wait for something that comes."""
    deadline = time.monotonic() + TO_START_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)
