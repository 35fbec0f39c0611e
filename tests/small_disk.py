"""A file system of a few megabytes of its own, which a test can fill: a full disk in earnest, not a pretended one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """The folder `path` is all of a file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take every byte but `leave`."""
        with self._ballast.open("ab", buffering=0) as file:
            for block in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * block)
        if leave:
            os.truncate(self._ballast, max(self._ballast.stat().st_size - leave, 0))

    def make_room(self) -> None:
        """Give it all back."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk on `folder`, a tmpfs of its own; the test fails, and says so, where none may be mounted."""
    folder.mkdir(exist_ok=True)
    size = f"size={megabytes}m"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"a full disk is tested on a mount of its own, which needs root: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
