"""How each server of the comparison is started, asked and checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench import load
from bench.peers.environment import own
from bench.peers.model import NAMES

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2


@dataclass
class Peer:
    """A server: `command` gets the port, `body` the rows; `rows_in` counts the rows of an answer."""

    name: str
    command: Callable[[int], list[str]]
    path: str
    body: Callable[[np.ndarray], Any]
    rows_in: Callable[[Any], int]
    env: dict[str, str] = field(default_factory=dict)
    patience_s: float = 240.0
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    start_s: float = float("nan")
    _log: Path = Path()
    _began: float = 0.0

    def start(self, port: int, log: Path) -> None:
        """Start and wait until a row is answered; `start_s` is how long that took."""
        self.launch(port, log)
        self.wait()

    def launch(self, port: int, log: Path) -> None:
        """Start without waiting."""
        self.port, self._log = port, log
        fixed = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "REFIT_SERVING_PORT": str(port)}
        env = os.environ | fixed | self.env
        self._began = time.perf_counter()
        with log.open("wb") as file:
            self.process = subprocess.Popen(self.command(port), cwd=ROOT, env=env, stdout=file, stderr=file)

    def wait(self) -> None:
        """Until a row is answered.

        Raises
        ------
        RuntimeError
            The process ended or answered nothing in time, or something else than a row.
        """
        assert self.process is not None
        row = np.zeros((1, len(NAMES)), np.float32)
        while True:
            if self.process.poll() is not None or time.perf_counter() - self._began > self.patience_s:
                self.stop()
                raise RuntimeError(f"{self.name} did not start: {self._log.read_text(errors='replace')[-1500:]}")
            try:
                answer = self.ask(row)
            except (OSError, ValueError):
                time.sleep(0.02)
                continue
            self.start_s = time.perf_counter() - self._began
            if self.rows_in(answer) != 1:
                raise RuntimeError(f"{self.name}: expected one row, got {answer}")
            return

    def ask(self, rows: np.ndarray) -> Any:
        """The decoded answer of one request."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}",
            json.dumps(self.body(rows)).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def request(self, rows: np.ndarray) -> bytes:
        """The bytes of a request."""
        return load.post(self.path, json.dumps(self.body(rows)).encode())

    def processes(self) -> list[psutil.Process]:
        """The server's processes."""
        assert self.process is not None
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used."""
        total = 0.0
        for process in self.processes():
            try:
                total += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return total

    def rss_mb(self) -> float:
        """Memory of its largest process: a worker."""
        return max((process.memory_info().rss for process in self.processes()), default=0) / 1e6

    def stop(self) -> None:
        """End it and its children."""
        if self.process is None:
            return
        family = self.processes()
        self.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=15)
        for process in alive:
            process.kill()
        self.process.wait()


def named(rows: np.ndarray) -> dict[str, Any]:
    """{"rows": [{column: value}]}."""
    return {"rows": [dict(zip(NAMES, row, strict=True)) for row in rows.tolist()]}


def split(rows: np.ndarray) -> dict[str, Any]:
    """MLflow's dataframe_split."""
    return {"dataframe_split": {"columns": NAMES, "data": rows.tolist()}}


def all_peers(folder: Path) -> list[Peer]:
    """Every server; `folder` holds the models. Ours first, MLflow's column mode is what the others are measured by."""
    gunicorn = [sys.executable, "-m", "gunicorn"]
    predictions = lambda a: len(a["predictions"])  # noqa: E731
    return [
        _refit("Refit", folder, "fast"),
        _refit("Refit, stock gthread", folder, "gthread"),
        _mlflow("mlflow models serve, columns", folder / "columns", split),
        _mlflow("mlflow models serve, tensor", folder / "tensor", lambda rows: {"inputs": rows.tolist()}),
        Peer(
            "FastAPI, pydantic, torch",
            lambda port: [
                *(sys.executable, "-m", "uvicorn", "bench.peers.fastapi_app:app", "--port", str(port)),
                *("--workers", str(WORKERS), "--no-access-log", "--log-level", "warning"),
            ],
            "/predict",
            named,
            predictions,
        ),
        Peer(
            "no-op Flask, gthread",
            lambda port: [
                *(*gunicorn, "-b", f"127.0.0.1:{port}", "-w", str(WORKERS), "-k", "gthread", "--threads", "4"),
                *("--keep-alive", "75", "bench.peers.noop_app:app"),
            ],
            "/predict",
            named,
            predictions,
        ),
        Peer(
            "BentoML",
            lambda port: [
                *(own("bentoml", ["bentoml"]), "-m", "bentoml", "serve", "bench.peers.bento_app:Classifier"),
                *("--port", str(port), "--host", "127.0.0.1"),
            ],
            "/predict",
            lambda rows: {"rows": rows.tolist()},
            len,
            env={"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            "LitServe",
            lambda port: [own("litserve", ["litserve"]), "-m", "bench.peers.litserve_app", str(port)],
            "/predict",
            lambda rows: {"rows": rows.tolist()},
            lambda a: len(a["probabilities"]),
        ),
    ]


def _refit(name: str, folder: Path, worker_class: str) -> Peer:
    home = folder / f"home-{worker_class}"

    def command(_port: int) -> list[str]:  # it reads REFIT_SERVING_PORT
        return [sys.executable, "-m", "gunicorn", "-c", "serving/gunicorn.conf.py", "serving.app:create_app()"]

    env = {
        "REFIT_HOME": str(home),
        "REFIT_CONFIG": str(home / "refit.toml"),  # not the checkout's
        "REFIT_SERVING__WORKERS": str(WORKERS),
        "REFIT_SERVING__WORKER_CLASS": worker_class,
        "REFIT_SERVING__MAX_ROWS": "100000",
    }
    return Peer(name, command, "/predict", named, lambda a: len(a["predictions"]), env=env)


def _mlflow(name: str, model: Path, body: Callable[[np.ndarray], Any]) -> Peer:
    def command(port: int) -> list[str]:
        options = ["-p", str(port), "-w", str(WORKERS), "--env-manager", "local", "--host", "127.0.0.1"]
        return [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), *options]

    env = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return Peer(name, command, "/invocations", body, lambda a: len(a["predictions"]), env=env)
