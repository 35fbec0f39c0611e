"""Ask the supervisor: which programs run, what they take, and the end of their logs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from ops.layout import HOST, Layout


@dataclass(frozen=True)
class State:
    """One program as the supervisor sees it."""

    name: str
    state: str
    description: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


class _Transport(SupervisorTransport):
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
    """Resident memory of the whole stack, MB; shared pages are counted once a process."""
    control = supervisor(layout)
    process = process_of(control) if control else None
    if process is None:
        return 0.0
    total = 0
    for child in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += child.memory_info().rss
    return total / 1e6


def last_lines(layout: Layout, program: str, count: int = 8) -> str:
    """The end of a program's log."""
    path = layout.logs / f"{program}.log"
    if not path.exists():
        return "(no log)"
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 8_000))
        return "\n".join(handle.read().decode("utf-8", "replace").splitlines()[-count:])
