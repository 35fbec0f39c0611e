"""supervisord's event listener: when a program has died, kill what is left of its process group, and never give up.

A scheduler or an MLflow server that is killed leaves children that hold its port and its tasks; the
successor then cannot start. Each program leads its own group, so its pid names the group.

The supervisor gives a program up that keeps dying, as all do on a full disk. One that has run before is started
again, so that the stack is whole once there is room; one that never ran is broken, and a person is told so.

**Source** supervisord's event protocol: http://supervisord.org/events.html
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from xmlrpc.client import Fault

from supervisor import childutils


def main() -> None:
    ran: set[str] = set()
    while True:
        _say("READY\n")
        header = _pairs(sys.stdin.readline())
        if not header:
            return
        payload = _pairs(sys.stdin.read(int(header["len"])))
        name = f"{payload['groupname']}:{payload['processname']}"
        match header["eventname"]:
            case "PROCESS_STATE_RUNNING":
                ran.add(name)
            case "PROCESS_STATE_FATAL" if name in ran:
                with contextlib.suppress(OSError, Fault):
                    childutils.getRPCInterface(os.environ).supervisor.startProcess(name, False)
            case "PROCESS_STATE_EXITED":
                # An expected exit (a stop) has been through stopasgroup already; doing it again harms nothing.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(payload["pid"]), signal.SIGKILL)
        _say("RESULT 2\nOK")


def _pairs(line: str) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in line.split())


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
