"""What the tests ask of workers, which import it by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def opened(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def together(files: dict[str, bytes], ask: bytes) -> bytes:
    """All that there is."""
    return b"".join(files[name] for name in sorted(files)) + ask


def once_deadly(files: dict[str, bytes], ask: bytes) -> bytes:
    """Kills the first worker that is asked, and tells in a file that it did."""
    marker = Path(os.fsdecode(ask))
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return together(files, b"")


def deadly(files: dict[str, bytes], ask: bytes) -> bytes:
    """Kills every worker that is asked."""
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def long(files: dict[str, bytes], ask: bytes) -> bytes:
    """Tells in a file that it began, and takes longer than any test."""
    Path(os.fsdecode(ask)).touch()
    time.sleep(1_000)
    return b""
