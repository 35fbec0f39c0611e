"""What is looked at before anything is started; each trouble is one sentence."""

from __future__ import annotations

import shutil
import sys

import psutil

from ops import stack
from ops.layout import Layout

# Measured on the running stack during a default run; see docs/why.md.
NEEDED_MEMORY_GB = 3.0
NEEDED_DISK_GB = 1.0


def troubles(layout: Layout) -> list[str]:
    """Everything that would stop the stack from starting; empty is good."""
    return [sentence for sentence in (*_ports(layout), _memory(), _disk(layout), _python(), _path(layout)) if sentence]


def _ports(layout: Layout) -> list[str]:
    variables = {"service": "REFIT_SERVING_PORT", "mlflow": "REFIT_MLFLOW_PORT"}
    found = []
    seen: dict[int, str] = {}
    for name, port in layout.ports.items():
        variable = variables.get(name, "REFIT_AIRFLOW_PORT")
        if not 1 <= port <= 65535:
            found.append(f"Port {port} for {name} is not between 1 and 65535: set {variable}.")
        elif port in seen:
            found.append(f"Port {port} is wanted by {seen[port]} and by {name}: set {variable} to another.")
        elif stack.listens(port):
            holder = _holder(port)
            found.append(f"Port {port} for {name} is taken{holder}: stop that, or set {variable} to another.")
        seen.setdefault(port, name)
    return found


def _holder(port: int) -> str:
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
    if sys.version_info[:2] == (3, 11):
        return ""
    return f"This is Python {sys.version.split()[0]} and Refit needs 3.11: remove .venv and run the command again."


def _path(layout: Layout) -> str:
    """The supervisor expands `%` in the paths of logs twice: no way of writing it survives."""
    named = [str(path) for path in (layout.home, layout.checkout) if "%" in str(path)]
    return f"{named[0]}: a path with '%' in it cannot be used: choose another directory." if named else ""
