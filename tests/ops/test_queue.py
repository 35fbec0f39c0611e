"""The queue of tasks on a real Redis, by Airflow's Celery application: what it holds outlives a kill of Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.ports import free_port
from tests.serving.running import wait_for

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "of-the-test"
AGAIN_S = 90.0  # after Redis is back, what waited in it is at work


class Redis:
    """One with the command of docker-compose.yaml, on a folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        assert shutil.which("redis-server"), "needs redis-server: install it (Debian: apt install redis-server)"
        folder.mkdir()
        compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
        self._command = compose["services"]["redis"]["command"][-1].replace("$$", "$").replace("/data", str(folder))
        self._folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For Celery."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", f"{self._command} --port {self.port} --bind 127.0.0.1"],
                env=os.environ | {"REDIS_PASSWORD": PASSWORD}, cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(lambda: self.ask("ping") == "PONG", what="Redis")

    def kill(self) -> None:
        """As the machine's lack of memory would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ask(self, *words: str) -> str:
        """What it answers to a command; "" where it does not."""
        asked = ["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """One that runs."""
    made = Redis(tmp_path / "redis")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def environment(redis: Redis, tmp_path: Path, postgresql_url: str) -> dict[str, str]:
    """What Airflow's processes find in docker-compose.yaml, with the addresses of here."""
    airflow = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["x-airflow"]
    own = {key: str(value) for key, value in airflow.items() if key.startswith("AIRFLOW__") and "${" not in str(value)}
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW__")},
        **own,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CELERY__BROKER_URL": redis.url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{postgresql_url}",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Starts one; it is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "celery", "-A", "tests.ops.celery_app", "worker"]
        with (tmp_path / "worker.log").open("wb") as log:
            options = ["--queues", "default", "--concurrency", "1", "--pool", "solo", "--without-gossip"]
            started.append(
                subprocess.Popen([*command, *options], env=environment, cwd=tmp_path, stdout=log, stderr=log)
            )

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_queued_task_outlives_redis_and_a_worker_finds_it_again(
    redis: Redis, environment: dict[str, str], worker: Callable[[], None], tmp_path: Path
) -> None:
    """Killed with tasks in it and nobody at work; then killed under a worker that waits."""
    file = tmp_path / "lines"

    def queue(*texts: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "tests.ops.celery_app", str(file), *texts], env=environment, cwd=tmp_path, check=True
        )

    def lines() -> list[str]:
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    queue("one", "two", "three")
    redis.kill()
    redis.start()
    worker()
    wait_for(lambda: len(lines()) == 3, what="the tasks that waited", seconds=AGAIN_S)
    assert lines() == ["one", "two", "three"]
    # A task counts as done once its worker has told so: a kill of Redis before that has it done twice.
    wait_for(lambda: redis.ask("hlen", "unacked") == "0", what="that they are done")
    redis.kill()
    redis.start()
    queue("four")
    wait_for(lambda: "four" in lines(), what="the task after Redis came back", seconds=AGAIN_S)
    assert lines() == ["one", "two", "three", "four"]
