"""A real service for tests: gunicorn in a process of its own, on a free port, stopped and checked at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.01)


class Server:
    """A gunicorn with Refit's configuration; `values` are REFIT_* variables without the prefix."""

    def __init__(self, home: Path, values: dict[str, str], preexec: Callable[[], None] | None = None) -> None:
        self.home = home
        self.port = free_port()
        env = {k: v for k, v in os.environ.items() if not k.startswith("REFIT_")}
        env |= {"REFIT_HOME": str(home), "REFIT_SERVING_PORT": str(self.port), "OMP_NUM_THREADS": "1"}
        env["REFIT_CONFIG"] = str(home / "refit.toml")  # not the checkout's
        env |= {f"REFIT_{k}": v for k, v in values.items()}
        self.errors = home / "gunicorn.log"
        self.env, self._preexec = env, preexec
        self.start()

    def start(self) -> None:
        """Start the master; again, after its end, on the same port."""
        with self.errors.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("-c", "serving/gunicorn.conf.py", "serving.app:create_app()"),
                ],
                cwd=ROOT,
                env=self.env,
                stderr=log,
                stdout=log,
                preexec_fn=self._preexec,
            )

    def live(self) -> bool:
        """Whether it answers."""
        if self.process.poll() is not None:
            raise AssertionError(f"gunicorn ended: {self.errors.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            return self.get("/health/live")[0] == 200
        return False

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """GET."""
        return self.request("GET", path)

    def predict(self, rows: list[dict[str, Any]], **headers: str) -> tuple[int, dict[str, str], bytes]:
        """POST /predict."""
        body = json.dumps({"rows": rows}).encode()
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.request("POST", "/predict", body, {"Content-Type": "application/json", **named})

    def ready(self) -> dict[str, Any]:
        """The JSON of /health/ready."""
        found: dict[str, Any] = json.loads(self.get("/health/ready")[2])
        return found

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def raw(self, data: bytes, *, seconds: float = 5.0, then: bytes = b"") -> bytes:
        """Send bytes as they are; everything that comes back until the other side closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as sock:
            sock.sendall(data)
            got = b""
            with contextlib.suppress(OSError):
                while chunk := sock.recv(65536):
                    got += chunk
                    if then and then in got:
                        break
            return got

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the master and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=40)


@contextlib.contextmanager
def serving(home: Path, preexec: Callable[[], None] | None = None, **values: str) -> Iterator[Server]:
    """A live service, stopped at the end."""
    server = Server(home, values, preexec)
    try:
        wait_for(server.live, what="the service answers")
        yield server
    finally:
        workers = server.workers() if server.process.poll() is None else []
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            server.process.kill()
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
