"""A disk whose power can be cut: ext4 in a file on a loop device, and copies of that file as the disk stood.

What was written and not synced is in the kernel's memory alone, so it is not in the copy, as it would not be on the
disk; the copy is mounted, which replays its journal as a boot does. Needs root and a loop device. Copies are taken
while nothing writes: between two steps, or inside one, at its calls of `fsync`, `rename`, `unlink`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZE_MB = 48
# The journal's own timer and the kernel's flusher would sync what nobody asked for.
OPTIONS = "loop,commit=600"
CALLS = ("fsync", "fdatasync", "replace", "rename", "link", "unlink")


def unavailable() -> str:
    """Why no such disk can be had here; "" where it can."""
    if os.geteuid():
        return "needs root for a loop device"
    if not Path("/dev/loop-control").exists() or not shutil.which("mkfs.ext4"):
        return "needs loop devices and mkfs.ext4"
    return ""


class Disk:
    """The disk in use: `home` lies on it."""

    def __init__(self, folder: Path, size_mb: int = SIZE_MB) -> None:
        self._folder, self._copies = folder, itertools.count()
        self._image, self._mount = folder / "disk", folder / "mounted"
        self._mount.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(size_mb * 1_000_000)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        _run("mount", "-o", OPTIONS, str(self._image), str(self._mount))
        self.home = self._mount / "home"
        self.home.mkdir()
        self.sync()

    def close(self) -> None:
        """Take it away."""
        _run("umount", "--lazy", str(self._mount))

    def sync(self) -> None:
        """Bring all to this disk that is on its way, and to no other."""
        _run("sync", "--file-system", str(self.home))

    def copy(self) -> Path:
        """The disk as it stands at this moment."""
        target = self._folder / f"cut-{next(self._copies)}"
        _run("cp", "--sparse=always", str(self._image), str(target))
        return target


@contextlib.contextmanager
def booted(image: Path) -> Iterator[Path]:
    """The home on a copied disk, after the power came back; the copy is gone afterwards."""
    mounted = image.with_name(f"{image.name}-mounted")
    mounted.mkdir()
    _run("mount", "-o", "loop", str(image), str(mounted))
    try:
        yield mounted / "home"
    finally:
        _run("umount", "--lazy", str(mounted))
        mounted.rmdir()
        image.unlink()


@contextlib.contextmanager
def cut_at_calls(disk: Disk, patch: Any, note: Callable[[Path], None]) -> Iterator[None]:
    """Inside, a copy is taken before and after each call by which a file comes to the disk, or changes its name."""
    inside = False

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return real(*args, **kwargs)
            inside = True
            try:
                note(disk.copy())
                done = real(*args, **kwargs)
                note(disk.copy())
                return done
            finally:
                inside = False

        return call

    with patch.context() as calls:
        for name in CALLS:
            calls.setattr(os, name, watched(getattr(os, name)))
        yield


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
