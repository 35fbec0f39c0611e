"""The programs of the stack, the supervisor's configuration for them, and what the supervisor says of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sysconfig
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from ops.layout import HOST, Layout

# Started only when Airflow's database is there; see ops.stack.
AIRFLOW_PROGRAMS = (
    "airflow-api",
    "airflow-execution",
    "airflow-dag-processor",
    "airflow-scheduler",
    "airflow-triggerer",
)
# Seconds a stop waits for an open stream, such as a log that is being watched; the default is 120.
_GRACE = ["--worker-timeout", "10"]
# Code that a running process has loaded already: a change there needs a restart.
_CODE = ("ml", "serving", "plugins", "config", "ops", "requirements.txt")


@dataclass(frozen=True)
class Program:
    """One supervised process."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # Grace between SIGTERM and SIGKILL, seconds.
    stop_s: int = 10
    at_once: bool = True


def programs(layout: Layout) -> list[Program]:
    """Everything that runs, in the order in which it is started; stopped in reverse."""
    return [mlflow(layout), *service(layout), *airflow(layout)]


def mlflow(layout: Layout, *, port: int | None = None) -> Program:
    """MLflow's server: one worker and no job runner (2 processes, 480 MB; the default makes 15, 2.5 GB)."""
    port = port or layout.ports["mlflow"]
    store = f"sqlite:///{layout.mlflow_home / 'mlflow.db'}"
    command = [
        str(layout.bin / "python"), "-m", "ml.tracking.server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--backend-store-uri", store,
        # Artifacts are plain files under one absolute root for the server and for embedded clients alike:
        # runs made through either are read by both.
        "--default-artifact-root", (layout.mlflow_home / "artifacts").as_uri(), "--no-serve-artifacts",
        "--allowed-hosts", f"{HOST}:{port},localhost:{port}",
    ]  # fmt: skip
    return Program("mlflow", command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, stop_s=5)


def service(layout: Layout) -> list[Program]:
    """gunicorn, and the two processes beside it: registry to local cache, segments to database."""
    python = str(layout.bin / "python")
    config = str(layout.checkout / "serving" / "gunicorn.conf.py")
    return [
        # Where no server answers, its client makes MLflow's tables itself, and breaks the server that is doing so.
        Program("follower", [python, "-m", "serving.model.follower"], at_once=False),
        Program("service", [str(layout.bin / "gunicorn"), "-c", config, "serving.app:create_app()"], stop_s=30),
        Program("log-shipper", [python, "-m", "serving.prediction_log.shipper"]),
    ]


def airflow(layout: Layout) -> list[Program]:
    """Airflow's five processes. The log servers stay off: they bind every interface and logs are on this disk."""
    command = str(layout.bin / "airflow")
    ports = layout.ports
    arguments = {
        "airflow-api": ["api-server", "--apps", "core", "--port", str(ports["airflow"]), *_GRACE],
        "airflow-execution": ["api-server", "--apps", "execution", "--port", str(ports["airflow-execution"]), *_GRACE],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }
    return [Program(name, [command, *arguments[name]], stop_s=15, at_once=False) for name in AIRFLOW_PROGRAMS]


def supervisor_config(layout: Layout) -> str:
    """Text of supervisord.conf."""
    parser = RawConfigParser()
    parser["unix_http_server"] = {"file": str(layout.socket), "chmod": "0700"}
    parser["supervisord"] = {
        "logfile": str(layout.logs / "supervisord.log"),
        "logfile_maxbytes": "10MB",
        "logfile_backups": "2",
        "pidfile": str(layout.supervisor_pid),
        "childlogdir": str(layout.logs),
        "directory": str(layout.home),  # by which `stack.left_listening` knows them
        "umask": "077",
        # Without it supervisord says at length that it runs as root.
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    parser["supervisorctl"] = {"serverurl": f"unix://{layout.socket}"}
    # Takes what a killed program leaves behind before its successor starts.
    parser["eventlistener:reaper"] = {
        "command": _quote([str(layout.bin / "python"), "-m", "ops.reaper"]),
        "events": "PROCESS_STATE_EXITED,PROCESS_STATE_RUNNING,PROCESS_STATE_FATAL",
        "stdout_logfile": "NONE",  # its output is the protocol
        "stderr_logfile": str(layout.logs / "reaper.log"),
        "priority": "1",
    }
    for order, program in enumerate(programs(layout)):
        parser[f"program:{program.name}"] = _program(layout, program, order)
    # supervisord interpolates %(…)s in every value.
    for section in parser.sections():
        for name, value in parser[section].items():
            parser[section][name] = value.replace("%", "%%")
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _program(layout: Layout, program: Program, order: int) -> dict[str, str]:
    return {
        "command": _quote(program.command),
        "environment": ",".join(f'{name}="{value}"' for name, value in program.environment.items()),
        "priority": str(10 + order),
        "autostart": str(program.at_once).lower(),
        "autorestart": "true",
        # A program that keeps dying is tried this often with growing pauses, then shown as FATAL.
        "startretries": "10",
        "startsecs": "2",
        "stopwaitsecs": str(program.stop_s),
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.logs / f"{program.name}.log"),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _quote(command: list[str]) -> str:
    """For supervisord's shlex: spaces and quotes in a checkout's path survive."""
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in command)


@dataclass(frozen=True)
class State:
    """One program as the supervisor sees it."""

    name: str
    state: str
    description: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


class _Transport(SupervisorTransport):  # type: ignore[misc]
    """A connection a call: nothing has to be closed by whoever asks."""

    def request(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().request(*arguments, **named)
        finally:
            self.close()


def supervisor(layout: Layout) -> Any:
    """The supervisor's RPC interface, or None when it does not run."""
    proxy = ServerProxy(f"http://{HOST}", transport=_Transport(None, None, f"unix://{layout.socket}"))
    try:
        proxy.supervisor.getState()
    except (OSError, Fault):
        return None
    return proxy.supervisor


def states(layout: Layout) -> list[State]:
    """Every program of the running stack; empty when nothing runs."""
    control = supervisor(layout)
    if control is None:
        return []
    rows = control.getAllProcessInfo()
    return [State(row["name"], row["statename"], row["description"]) for row in rows if row["name"] != "reaper"]


def process_of(control: Any) -> psutil.Process | None:
    """The supervisor's own process."""
    with contextlib.suppress(psutil.Error, OSError, Fault):
        return psutil.Process(control.getPID())
    return None


def memory_mb(layout: Layout) -> float:
    """Memory of the whole stack, MB: proportional set size, so that a shared page is counted once in all."""
    control = supervisor(layout)
    process = process_of(control) if control else None
    if process is None:
        return 0.0
    total = 0
    for child in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            memory = child.memory_full_info()
            total += getattr(memory, "pss", memory.rss)  # Linux alone knows it
    return total / 1e6


def last_lines(layout: Layout, program: str, count: int = 8) -> str:
    """The end of a program's log.

    Parameters
    ----------
    program
        As supervisor calls it.
    """
    path = layout.logs / f"{program}.log"
    if not path.exists():
        return "(no log)"
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 8_000))
        return "\n".join(handle.read().decode("utf-8", "replace").splitlines()[-count:])


def fingerprint(layout: Layout) -> dict[str, str]:
    """What the processes were started with, by part: when it changes, they have to be started again."""
    code = hashlib.sha256()
    for top in _CODE:
        for path in sorted((layout.checkout / top).rglob("*.py")) or [layout.checkout / top]:
            code.update(f"{path}{path.stat().st_mtime_ns}".encode())
    mine = {name: value for name, value in os.environ.items() if name.startswith(("REFIT_", "AWS_", "MLFLOW_"))}
    return {
        "code": code.hexdigest(),
        # Each process looks once for what is optional, a model family's library for one.
        "packages": hashlib.sha256("\n".join(_packages()).encode()).hexdigest(),
        "ports": json.dumps(layout.ports),
        # A digest: the environment can hold secrets.
        "environment": hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest(),
        "settings": hashlib.sha256(repr(layout.settings.serving).encode()).hexdigest(),
    }


def _packages() -> list[str]:
    """Every installed package with its version, as its folder in the environment that runs this is called."""
    folders = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    return sorted({path.name for folder in folders for path in Path(folder).glob("*.dist-info")})


def changed(layout: Layout) -> list[str]:
    """The parts of the fingerprint in which the running stack differs from what would be started now."""
    try:
        before = json.loads(layout.fingerprint_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["start"]
    return [part for part, value in fingerprint(layout).items() if before.get(part) != value]
