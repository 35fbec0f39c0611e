"""One real stack for all of these tests: started by the one command, on free ports, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.settings import chosen_file, load
from ml.storage.files import write_json
from ops import supervision
from ops.airflow_api import AirflowApi
from ops.layout import Layout
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent.parent
# The tests' own limit on anything that ought to happen; a loaded machine is slow.
PATIENCE_S = 600
NEVER = "0 0 29 2 *"


@dataclass
class Stack:
    """The running stack and what the tests do with it."""

    layout: Layout
    environment: dict[str, str]
    output: str = ""

    @cached_property
    def api(self) -> AirflowApi:
        return AirflowApi.embedded(self.layout)

    def command(self, *arguments: str, script: str = "run_pipeline.sh") -> subprocess.CompletedProcess[str]:
        """Run a top-level command as a person does."""
        return subprocess.run(
            [ROOT / script, *arguments], env=self.environment, capture_output=True, text=True, timeout=900
        )

    def get(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """JSON from the service."""
        request = urllib.request.Request(
            f"{self.layout.url('service')}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def choose(self, choices: dict[str, Any] | None = None) -> None:
        """Lay settings over the defaults, as `--data` does, for what starts from now on; nothing: the tests' own.

        The search then needs no pool of processes, whose start takes half of a small run.
        """
        usual = {"tune": {"workers": 1}, "schedule": {"retrain_cron": NEVER}}
        write_json(chosen_file(self.layout.home), usual | (choices or {}))

    def pid(self, program: str) -> int:
        """Process id of a supervised program."""
        return int(supervision.supervisor(self.layout).getProcessInfo(program)["pid"])

    def finished(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The run, once it has ended."""
        return self.until(lambda: self._ended(dag_id, run_id), f"{dag_id} {run_id} does not end", every=0.5)

    def _ended(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        run = self.api.run(dag_id, run_id)
        return run if run["state"] in ("success", "failed") else None

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """A task instance of a `retrain` run."""
        return next(task for task in self.api.tasks("retrain", run_id) if task["task_id"] == task_id)

    def task_process(self, run_id: str, task_id: str) -> psutil.Process:
        """The process in which a task's code runs, once it runs: Airflow names it after the task instance."""

        def find() -> psutil.Process | None:
            title = f"airflow worker -- {self.task(run_id, task_id)['id']}"  # another one at each try
            for _ in range(5):  # for each question, whose answer costs Airflow 50 ms
                for process in psutil.process_iter(["cmdline"]):
                    if title in " ".join(process.info["cmdline"] or []):
                        return process
                time.sleep(0.1)
            return None

        return self.until(find, f"{task_id} does not run", every=0)

    @staticmethod
    def until(ready: Callable[[], Any], complaint: str, *, every: float = 0.1) -> Any:
        """What `ready` gives, once it gives something; asked `every` so many seconds, which costs the servers."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if found := ready():
                    return found
            except (OSError, StopIteration, psutil.NoSuchProcess):
                pass
            time.sleep(every)
        raise AssertionError(f"{complaint} within {PATIENCE_S} s")


def environment_of(home: str, ports: Sequence[int]) -> dict[str, str]:
    """What the stack is started with: small data, few evaluations, and a clock that starts nothing."""
    service, airflow, mlflow = ports
    return {
        **{name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"},
        "REFIT_HOME": home,
        "REFIT_SERVING_PORT": str(service),
        "REFIT_AIRFLOW_PORT": str(airflow),
        "REFIT_MLFLOW_PORT": str(mlflow),
        "REFIT_SYNTHETIC__N_SAMPLES": "400",
        "REFIT_TRAIN__FAMILIES": "logistic,mlp",
        "REFIT_TUNE__MAX_EVALS": "4",
        # The clock starts nothing in the middle of a test; see also `Stack.choose`.
        "REFIT_SCHEDULE__DRIFT_CRON": NEVER,
        "REFIT_SCHEDULE__WATCH_INTERVAL_S": "1",
        # 80 of the 400 rows are the first champion's reference.
        "REFIT_DRIFT__MIN_LABELS": "80",
        "REFIT_DRIFT__REPORT_ROWS": "300",
        # Earlier tests' refusals do not hold the circle up.
        "REFIT_DRIFT__COOLDOWN_S": "0",
        "REFIT_DRIFT__BREAKER_REFUSALS": "1000",
    }


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """The stack after `./run_pipeline.sh` on small settings: its first run has been promoted."""
    with tempfile.TemporaryDirectory(prefix="refit-stack-") as home:
        environment = environment_of(home, free_ports(3, 1))
        made = Stack(Layout(load(environment)), environment)
        made.choose({"tune": {}})  # the first run searches as everybody's does
        try:
            done = made.command()
            assert done.returncode == 0, done.stdout + done.stderr
            made.output = done.stdout
            made.choose()
            yield made
        finally:
            made.command("--stop")


@pytest.hookimpl(tryfirst=True)  # tests/conftest.py puts what is marked here into one process
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(1200))
