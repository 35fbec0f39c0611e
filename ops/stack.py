"""Look before the start, start and stop the supervised stack, and wait until it answers."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil

from ml import http
from ops import StackError, airflow_config, supervision
from ops.layout import HOST, Layout, write_private
from ops.supervision import last_lines, process_of, states, supervisor

# A program that hangs, not one that is slow: a crash is told by the supervisor at once. The start takes about
# 60 CPU seconds, most of them imports.
START_LIMIT_S = 600
START_STEPS = 6  # what `start` says, one after the other
# Measured on the running stack during a default run; see docs/why.md.
NEEDED_MEMORY_GB = 3.0
NEEDED_DISK_GB = 1.0  # for databases, logs and the first bundles; our choice


def environment(layout: Layout) -> dict[str, str]:
    """What every program gets: the caller's environment without Python's and Airflow's own settings in it."""
    stack_environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "PYTHON", "SUPERVISOR_")) and name != "VIRTUAL_ENV"
    }
    return stack_environment | {
        "REFIT_HOME": str(layout.home),
        "AIRFLOW_HOME": str(layout.airflow_home),
        # `config` holds airflow_local_settings.py.
        "PYTHONPATH": f"{layout.checkout}{os.pathsep}{layout.checkout / 'config'}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "PATH": f"{layout.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # Nothing calls home: Evidently and MLflow ask this one.
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def troubles(layout: Layout) -> list[str]:
    """Looked at before the start: a sentence on each thing that would stop it; empty is good."""
    problems = (*_ports(layout), _memory(), _disk(layout), _python(), _unwritable_path(layout))
    return [sentence for sentence in problems if sentence]


def _ports(layout: Layout) -> list[str]:
    problems = []
    seen: dict[int, str] = {}
    for name, port in layout.ports.items():
        variable = _variable(name)
        if not 1 <= port <= 65535:
            problems.append(f"Port {port} for {name} is not between 1 and 65535: set {variable}.")
        elif port in seen:
            problems.append(f"Port {port} is wanted by {seen[port]} and by {name}: set {variable} to another.")
        elif listens(port):
            holder = _port_holder(port)
            problems.append(f"Port {port} for {name} is taken{holder}: stop that, or set {variable} to another.")
        seen.setdefault(port, name)
    return problems


def warnings(layout: Layout) -> list[str]:
    """Looked at before the start: what may go wrong some day, a sentence each."""
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):  # not Linux
        return []
    return [
        f"Port {port} for {name} is one that the kernel gives to outgoing connections ({low} to {high}): "
        f"one of them may hold it at the next start. {_variable(name)} below {low} is safe."
        for name, port in layout.ports.items()
        if low <= port <= high
    ]


def _variable(name: str) -> str:
    return {"service": "REFIT_SERVING_PORT", "mlflow": "REFIT_MLFLOW_PORT"}.get(name, "REFIT_AIRFLOW_PORT")


def _port_holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass  # another user's process: its name is not ours to see
    return ""


def _memory() -> str:
    free = psutil.virtual_memory().available / 1e9
    if free >= NEEDED_MEMORY_GB:
        return ""
    return f"{free:.1f} GB of memory are free, {NEEDED_MEMORY_GB:.0f} GB are needed: close something."


def _disk(layout: Layout) -> str:
    layout.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(layout.home).free / 1e9
    if free >= NEEDED_DISK_GB:
        return ""
    return f"{free:.1f} GB of disk are free under {layout.home}, {NEEDED_DISK_GB:.0f} GB are needed: make room."


def _python() -> str:
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return ""
    version = platform.python_version()
    return f"This is Python {version} and Refit needs 3.11 to 3.13: install it, and Refit with it, anew."


def _unwritable_path(layout: Layout) -> str:
    """The supervisor expands `%` in the paths of logs twice: no way of writing it survives."""
    named = [str(path) for path in (layout.home, layout.checkout) if "%" in str(path)]
    return f"{named[0]}: a path with '%' in it cannot be used: choose another directory." if named else ""


def start(layout: Layout, say: Callable[[str], None]) -> None:
    """Start every program and return when all of them answer.

    Raises
    ------
    StackError
        One of them does not come up: names it, with the last lines of its log.
    """
    for folder in (layout.logs, layout.mlflow_home / "artifacts", layout.airflow_home):
        folder.mkdir(parents=True, exist_ok=True)
    layout.airflow_home.chmod(0o700)  # its database and logs hold what tasks return
    airflow_config.write(layout)
    write_private(layout.supervisor_config, supervision.supervisor_config(layout))
    sweep(layout)
    layout.fingerprint_file.unlink(missing_ok=True)  # there only where a start came to its end
    fingerprint = json.dumps(supervision.fingerprint(layout))
    command = [str(layout.bin / "supervisord"), "-c", str(layout.supervisor_config)]
    started = subprocess.run(command, env=environment(layout), capture_output=True, text=True)
    if started.returncode:
        raise StackError(f"the supervisor did not start: {(started.stderr or started.stdout).strip()}")
    control = _wait_for(lambda: supervisor(layout), 20, "the supervisor does not answer", layout, "supervisord")
    # MLflow, the service and its helpers are coming up meanwhile.
    say("preparing Airflow's database")
    migrate(layout)
    for name in supervision.AIRFLOW_PROGRAMS:
        control.startProcess(name, False)
    say("waiting for mlflow")
    address = f"{layout.url('mlflow')}/health"
    _wait_for(lambda: http.answers(address), START_LIMIT_S, "mlflow does not answer", layout, "mlflow")
    control.startProcess("follower", False)
    wait_until_ready(layout, say)
    write_private(layout.fingerprint_file, fingerprint)


def migrate(layout: Layout) -> None:
    """Make or upgrade Airflow's database; nothing to do when this version did it before."""
    from importlib.metadata import version

    stamp, first = layout.airflow_home / "migrated", layout.airflow_home / "being_made"
    database = layout.airflow_home / "airflow.db"
    wanted = version("apache-airflow-core")
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted and database.exists():
        return
    if first.exists():  # a first one whose making was cut short: nothing is in it yet, and it cannot be gone on with
        for name in ("airflow.db", "airflow.db-wal", "airflow.db-shm", "airflow.db-journal"):
            database.with_name(name).unlink(missing_ok=True)
    if not database.exists():
        first.touch()
    command = [str(layout.bin / "airflow"), "db", "migrate"]
    # Known by it to `sweep` where this command is killed and leaves it behind.
    known = environment(layout) | {"SUPERVISOR_SERVER_URL": f"unix://{layout.socket}"}
    done = subprocess.run(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (layout.logs / "airflow-migrate.log").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        raise StackError("Airflow's database could not be prepared:\n" + "\n".join(done.stdout.splitlines()[-8:]))
    stamp.write_text(wanted, encoding="ascii")
    first.unlink(missing_ok=True)


def wait_until_ready(layout: Layout, say: Callable[[str], None]) -> None:
    """Return when MLflow, the service and Airflow answer; allows for a slow, loaded machine."""
    probes = {
        "mlflow": f"{layout.url('mlflow')}/health",
        "service": f"{layout.url('service')}/health/live",
        "airflow-api": f"{layout.url('airflow')}/api/v2/monitor/health",
        # Also warms it: the first request to a cold execution API takes seconds, and a task would wait for it.
        "airflow-execution": f"{layout.url('airflow-execution')}/execution/health",
    }
    for name, address in probes.items():
        say(f"waiting for {name}")
        _wait_for(partial(http.answers, address), START_LIMIT_S, f"{name} does not answer", layout, name)
    for state in states(layout):
        _wait_for(
            partial(_runs, layout, state.name), START_LIMIT_S, f"{state.name} does not stay up", layout, state.name
        )
    say("waiting for Airflow's scheduler")
    _wait_for(
        lambda: _scheduler_healthy(layout), START_LIMIT_S, "the scheduler gives no sign", layout, "airflow-scheduler"
    )


def stop(layout: Layout) -> bool:
    """Stop everything; returns whether something ran. Nothing of this stack is left when it returns."""
    control = supervisor(layout)
    if control is not None:
        process = process_of(control)
        with contextlib.suppress(OSError, Fault):
            control.stopAllProcesses(True)  # all at once; a shutdown alone stops one after the other
        with contextlib.suppress(OSError, Fault):
            control.shutdown()
        if process is not None:
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(60)
    swept = sweep(layout)
    layout.fingerprint_file.unlink(missing_ok=True)
    return control is not None or swept > 0


def left_listening(layout: Layout) -> dict[str, psutil.Process]:
    """What a killed supervisor left on the ports of this stack, by the port's name.

    A title wipes the environment by which children are known, gunicorn's for one. So these are known by their port, by
    the supervisor's session, and by their working directory, the home: it gives them both, and nothing in them changes
    either. A program that somebody else started in this directory has another session.
    """
    names = {port: name for name, port in layout.ports.items()}
    processes: dict[str, psutil.Process] = {}
    if not (session := _session(layout)):
        return processes
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr.port in names:
                with contextlib.suppress(psutil.Error, OSError):
                    process = psutil.Process(connection.pid)
                    here = os.path.realpath(process.cwd()) == os.path.realpath(layout.home)
                    ours = here and os.getsid(process.pid) == session and process.uids().real == os.getuid()
                    if ours and process.pid not in _own_line():
                        processes[names[connection.laddr.port]] = process
    return processes


def _session(layout: Layout) -> int:
    """The session that this home's last supervisor led, which outlives it; 0 where none is known to be its own.

    The system gives a session's number to no other process while one is left in it, but the file may be older.
    """
    try:
        leader = int(layout.supervisor_pid.read_text(encoding="ascii"))
        return leader if str(layout.supervisor_config) in psutil.Process(leader).cmdline() else 0
    except psutil.NoSuchProcess as gone:
        return int(gone.pid)
    except (OSError, ValueError, psutil.Error):
        return 0


def sweep(layout: Layout) -> int:
    """Kill what a killed supervisor left running: its children carry its socket in their environment, or listen."""
    marker = f"unix://{layout.socket}"
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("SUPERVISOR_SERVER_URL") == marker and process.pid not in _own_line():
                left += [process, *process.children(recursive=True)]
    # A group is of one session, so that all in it are what the supervisor started.
    groups = {_group(listener.pid) for listener in left_listening(layout).values()} - {0, os.getpgrp()}
    left += [process for process in psutil.process_iter() if _group(process.pid) in groups]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)
    layout.socket.unlink(missing_ok=True)
    return len(left)


def listens(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _group(pid: int) -> int:
    """The process's group; 0 where it has just ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _own_line() -> set[int]:
    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}


def _runs(layout: Layout, name: str) -> bool:
    return any(state.name == name and state.running for state in states(layout))


def _scheduler_healthy(layout: Layout) -> bool:
    with contextlib.suppress(http.HttpError):
        parts = http.get(f"{layout.url('airflow')}/api/v2/monitor/health")
        return all(parts[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer"))
    return False


def _wait_for(ready: Callable[[], Any], limit_s: float, complaint: str, layout: Layout, log: str) -> Any:
    for _ in ticks(limit_s):
        if found := ready():
            return found
        fatal = [state for state in states(layout) if state.state == "FATAL"]
        if fatal:
            raise StackError(f"{fatal[0].name} does not start; its last lines:\n{last_lines(layout, fatal[0].name)}")
    raise StackError(f"{complaint} after {limit_s:.0f} s; its last lines:\n{last_lines(layout, log)}")


def ticks(limit_s: float) -> Iterator[None]:
    end = time.monotonic() + limit_s
    while True:
        yield
        if time.monotonic() > end:
            return
        time.sleep(0.2)
