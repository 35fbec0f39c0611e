"""docker-compose.yaml under a project's name, ports and secrets of its own, and what the tests do with it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ml import http
from ml.pipeline.run_key import run_key
from ops.airflow_api import AirflowApi, AirflowUnavailable
from tests.ports import free_ports
from tests.stack.conftest import NEVER

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 900.0  # on anything that ought to happen: a first start on a busy machine takes minutes; our choice
COMMAND_S = 3600.0  # of one command of the engine: a first build loads gigabytes; our choice
WORKERS, SERVICES = 2, 3
ENDED = ("success", "failed")
SETTLED = {"healthy", "running", "exited 0"}  # of containers


class NoEngine(Exception):
    """Raised when there is no container engine that answers; the message says what to do."""


@functools.cache
def compose_command() -> list[str]:
    """Compose 2 or 1, whichever is here, with an engine that answers.

    Raises
    ------
    NoEngine
        See there.
    """
    candidates = [["docker", "compose"], ["docker-compose"]]
    found = next((words for words in candidates if shutil.which(words[0]) and _works([*words, "version"])), None)
    if found is None:
        raise NoEngine("there is no docker compose here: on Debian, apt install docker.io docker-compose")
    if not _works(["docker", "info"]):
        raise NoEngine("the container engine does not answer (docker info): start it, or set DOCKER_HOST")
    return found


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


class Cluster:
    """One project of compose.

    Parameters
    ----------
    folder
        For its secrets and its logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = f"refit-tests-{os.getpid()}"
        self.service_port, self.airflow_port, mlflow_port = free_ports(3, 1)
        self.figures: list[str] = []
        self.started = 0.0
        chosen = {
            "REFIT_SERVING_PORT": self.service_port,
            "REFIT_AIRFLOW_PORT": self.airflow_port,
            "REFIT_MLFLOW_PORT": mlflow_port,
            "REFIT_SERVING__PUBLIC_URL": f"http://127.0.0.1:{self.service_port}",
            "REFIT_SCHEDULE__PUBLIC_URL": f"http://127.0.0.1:{self.airflow_port}",
            "REFIT_REGISTRY__PUBLIC_URL": f"http://127.0.0.1:{mlflow_port}",
            "REFIT_TUNE__MAX_EVALS": 12,
            # The clock starts nothing in the middle of a test.
            "REFIT_SCHEDULE__RETRAIN_CRON": NEVER,
            "REFIT_SCHEDULE__DRIFT_CRON": NEVER,
        }
        self._env_file = folder / ".env"
        subprocess.run([ROOT / "ops" / "compose_env.sh", self._env_file], check=True)
        lines = self._env_file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in chosen]
        self._env_file.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in chosen.items()), ""]))
        self._secrets = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def compose(self, *arguments: str, check: bool = True) -> str:
        """A command of compose on this project; returns its output."""
        files = ["--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yaml")]
        project = ["--project-name", self.project, "--env-file", str(self._env_file)]
        return _output([*compose_command(), *files, *project, *arguments], check=check)

    def docker(self, *arguments: str, check: bool = True) -> str:
        """A command of the engine; returns its output."""
        return _output(["docker", *arguments], check=check)

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers, short as in their host names; stopped ones too."""
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        return self.docker("ps", "--all", "--quiet", *filters).split()

    @cached_property
    def api(self) -> AirflowApi:
        """Airflow, at its published port."""
        password = self._secrets["AIRFLOW_ADMIN_PASSWORD"]
        return AirflowApi(f"http://127.0.0.1:{self.airflow_port}", lambda: password)

    def service(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """JSON from the service, at its published port."""
        return http.request("GET" if body is None else "POST", f"http://127.0.0.1:{self.service_port}{path}", body)

    def champion(self) -> str:
        """The version that answers a prediction, once one does."""

        def answer() -> str:
            row = self.service("/model")["example"]
            return str(self.service("/predict", {"rows": [row]})["model_version"])

        return self.until(answer, "no prediction is answered")

    def finished(self, run_id: str) -> dict[str, Any]:
        """A run of `retrain`, once it has ended."""

        def ended() -> dict[str, Any] | None:
            run = self.api.run("retrain", run_id)
            return run if run["state"] in ENDED else None

        return self.until(ended, f"{run_id} does not end", every=1.0)

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """A task instance of a run of `retrain`."""
        return next(task for task in self.api.tasks("retrain", run_id) if task["task_id"] == task_id)

    def in_state(self, run_id: str, task_id: str, *states: str) -> dict[str, Any]:
        """A task instance, once it is in one of these states."""

        def reached() -> dict[str, Any] | None:
            task = self.task(run_id, task_id)
            return task if task["state"] in states else None

        return self.until(reached, f"{task_id} of {run_id} is never {' or '.join(states)}", every=0.5)

    def ledger(self, run_id: str, what: str) -> list[str]:
        """Versions of which the ledger says `what` for a run, oldest first."""
        query = f"select to_version from ledger where run_key = '{run_key(run_id)}' and what = '{what}' order by id"
        return self.sql("refit", query).split()

    def sql(self, database: str, query: str) -> str:
        """What PostgreSQL answers, one row a line."""
        words = ["psql", "--username", "postgres", "--no-align", "--tuples-only", "--dbname", database, "-c", query]
        return self.docker("exec", self.containers("postgres")[0], *words)

    def queue_length(self) -> int:
        """Tasks that wait in Redis."""
        script = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli llen default'
        return int(self.docker("exec", self.containers("redis")[0], "sh", "-c", script))

    def failures(self, run_id: str) -> dict[str, list[str]]:
        """The last lines of the log of each task that did not end well."""
        return {
            task["task_id"]: [str(event)[:300] for event in self._log(run_id, task)[-15:]]
            for task in self.api.tasks("retrain", run_id)
            if task["state"] not in ("success", "skipped")
        }

    def _log(self, run_id: str, task: dict[str, Any]) -> list[Any]:
        try:
            return self.api.log("retrain", run_id, task["task_id"], task["try_number"])
        except AirflowUnavailable as error:
            return [error]

    def states(self) -> dict[str, str]:
        """Container → healthy, unhealthy or starting; running where it has no check; "exited 0" once it has ended."""
        wanted = "{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        found = {}
        for name, line in self._inspect(wanted).items():
            status, code, *health = line.split()
            found[name] = f"{status} {code}" if status == "exited" else (health or [status])[0]
        return found

    def restarts(self) -> dict[str, int]:
        """Container → how often the engine has started it again."""
        return {name: int(count) for name, count in self._inspect("{{.RestartCount}}").items()}

    def volumes(self) -> dict[str, dict[str, str]]:
        """Container → its folder → the volume that is mounted there."""
        wanted = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Destination}}={{.Name}} {{end}}{{end}}'
        found = self._inspect(wanted)
        return {name: dict(word.split("=", 1) for word in line.split()) for name, line in found.items()}

    def image_sizes(self) -> str:
        """Of our own images, for people."""
        images = sorted(set(re.findall(r"^ *image: (refit\S+)$", self.compose("config"), re.MULTILINE)))
        sizes = [int(self.docker("image", "inspect", "--format", "{{.Size}}", image)) for image in images]
        return ", ".join(f"{image} {size / 1e9:.2f} GB" for image, size in zip(images, sizes, strict=True))

    def cpu_seconds(self) -> dict[str, float]:
        """Container → CPU seconds of all its processes so far, its health checks' included."""
        return {name: self._cpu_seconds(name) for name in self._running()}

    def _cpu_seconds(self, container: str) -> float:
        # Control groups of version 2 (microseconds), else of version 1 (nanoseconds).
        script = "cat /sys/fs/cgroup/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
        text = self.docker("exec", container, "sh", "-c", script)
        found = re.search(r"^usage_usec (\d+)$", text, re.MULTILINE)
        return int(found[1]) / 1e6 if found else int(text) / 1e9

    def memory(self) -> str:
        """Of all containers, for people."""
        lines = self.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *self._running()).splitlines()
        used = [line.split("/")[0].strip() for line in lines]
        units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
        total = sum(float(one[:-3]) * units[one[-3:]] for one in used)
        return f"{len(used)} containers, {total / 1e9:.2f} GB"

    def _running(self) -> list[str]:
        states = self._inspect("{{.State.Running}}")
        return [name for name, running in states.items() if running == "true"]

    def _inspect(self, wanted: str) -> dict[str, str]:
        """Container's name → a template of the engine's, filled in."""
        ids = self.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        lines = self.docker("inspect", "--format", "{{.Name}} " + wanted, *ids.split()).splitlines()
        return {name.lstrip("/"): rest for name, _, rest in (line.partition(" ") for line in lines)}

    def note(self, figure: str) -> None:
        """Keep a measured figure for the end."""
        self.figures.append(figure)
        print(figure)

    def keep_logs(self) -> Path:
        """Write what all containers said; returns the file."""
        file = self.folder / "compose.log"
        file.write_text(self.compose("logs", "--no-color", check=False), encoding="utf-8")
        return file

    @staticmethod
    def until(ready: Callable[[], Any], complaint: str, *, every: float = 0.5) -> Any:
        """What `ready` gives, once it gives something; errors of connections are waited out."""
        end, last = time.monotonic() + PATIENCE_S, ""
        while time.monotonic() < end:
            try:
                if found := ready():
                    return found
            except Exception as error:  # of many clients, while something is down
                last = f": {error}"
            time.sleep(every)
        raise AssertionError(f"{complaint} within {PATIENCE_S:.0f} s{last}")


def moment(text: str) -> float:
    """Seconds since the epoch of a date of Airflow's."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _output(command: list[str], *, check: bool) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, cwd=ROOT)
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise AssertionError(f"{json.dumps(command)} ended with {done.returncode}:\n{tail}")
    return done.stdout
