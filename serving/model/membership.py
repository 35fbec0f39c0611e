"""Membership: what a worker knows of the other services, from the file that this machine's follower writes.

`var/serving/fleet.json`. A thread looks at it, so that no request does; when the database is away, what was last known
stays true.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml.messages import Text
from ml.storage.files import write_bytes

FILE = "fleet.json"
LOOK_S = 0.5  # between two looks at the file: a stat
FIRST_BEAT_S = 10.0  # a service that starts waits so long for its first heartbeat before it is ready; our choice


class Membership(msgspec.Struct, frozen=True):
    """How many services live, this one with them, and why this one is out of rotation ("" where it is not).

    `identity` is this service's own, "" as long as it has not been registered.
    """

    identity: str = ""
    live: int = 1
    out: Text = ""


def read(folder: Path) -> Membership:
    """What the follower last wrote in `folder` (`var/serving`); a service by itself where there is nothing."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Membership)
    except (OSError, msgspec.DecodeError):
        return Membership()


def write(folder: Path, found: Membership) -> None:
    """Replace it, where it is another."""
    if read(folder) != found:
        write_bytes(folder / FILE, msgspec.json.encode(found))


class Watch:
    """Keeps `current` as the file says, in a thread of its own. `start` after the fork."""

    def __init__(self, folder: Path, on_change: Callable[[Membership], None]) -> None:
        self.folder = folder
        self.current = Membership()
        self._on_change = on_change
        self._seen: tuple[int, int] | None = None
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look now, and again and again from then on."""
        self._started = time.monotonic()
        self.look()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="refit-membership", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    @property
    def is_awaited(self) -> bool:
        """Whether the first heartbeat has not come, and may still: until then it may serve what others have left."""
        return not self.current.identity and time.monotonic() - self._started < FIRST_BEAT_S

    def look(self) -> None:
        """Read the file if it has been replaced since the last look."""
        try:
            stat = os.stat(self.folder / FILE)
        except OSError:
            return
        identity = (stat.st_ino, stat.st_mtime_ns)
        if identity != self._seen:
            self._seen = identity
            self.current = read(self.folder)
            self._on_change(self.current)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()
