"""A disk and a clock that a history can break: kills inside a call, torn writes, power cuts, a full disk, another time.

`FaultDisk` stands between Refit's Python and the system's calls (`os.write`, `fsync`, `replace`, `link`, `unlink` …).
It knows what of each file and of each folder's names was synced. A power cut leaves of everything else whatever
chance leaves: the old or the new name, the old bytes, the new, or a part of them. Folders themselves are taken as
synced, and so are SQLite's files, which sync themselves past Python; tests/test_power_cut.py cuts both for real.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

WATCHED = ("write", "fsync", "fdatasync", "replace", "rename", "link", "unlink", "ftruncate")
SQLITE = (".db", ".db-wal", ".db-shm", ".db-journal")


class Killed(BaseException):
    """Stands for SIGKILL or a power cut: no handler of the code may end it, and no clean-up may do anything."""


class _Synced(NamedTuple):
    content: bytes
    held: int  # an open descriptor, so that the inode's number is not given to another file


class FaultDisk:
    """Watches the calls of one process below `home`, as long as it is `watching`."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home, self.chance = home, chance
        self.full = False
        self.offset_s = 0.0  # of the clock
        self._calls_left = -1  # until the kill; -1: none is planned
        self._dead = False
        self._files: dict[int, _Synced] = {}
        self._names: dict[Path, dict[str, int]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the calls and the clock go through this."""
        real = {name: getattr(os, name) for name in WATCHED}
        clock, clock_ns = time.time, time.time_ns
        for name, call in real.items():
            setattr(os, name, self._watched(name, call))
        time.time = lambda: clock() + self.offset_s  # type: ignore[assignment]
        time.time_ns = lambda: clock_ns() + int(self.offset_s * 1e9)  # type: ignore[assignment]
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)
            time.time, time.time_ns = clock, clock_ns  # type: ignore[assignment]
            for synced in self._files.values():
                os.close(synced.held)

    @contextlib.contextmanager
    def killed_within(self, calls: int) -> Iterator[None]:
        """The process that works inside may be killed at one of its first so many calls; it ends here then."""
        self._calls_left = self.chance.randrange(calls)
        try:
            yield
        except Killed:
            pass
        finally:
            self._calls_left, self._dead = -1, False

    def point(self) -> None:
        """A place where a kill may come: before and after each call, and wherever a history has one (a commit)."""
        if self._dead:
            raise Killed
        if self._calls_left == 0:
            self._dead = True
            raise Killed
        self._calls_left -= self._calls_left > 0

    def cut(self) -> None:
        """The power is cut and comes back: what was not synced is as chance wills."""
        keep = {path: path.read_bytes() for path in self._files_there() if path.name.endswith(SQLITE)}
        after = {path: content for folder in self._folders() for path, content in self._left(folder)}
        for path in self._files_there():
            if path not in keep:
                path.unlink()
        for path, content in after.items():
            path.write_bytes(content)
        self.settle()

    def settle(self) -> None:
        """What is there now is on the disk."""
        for synced in self._files.values():
            os.close(synced.held)
        self._files, self._names = {}, {}
        for path in self._files_there():
            self._sync_file(os.open(path, os.O_RDONLY))
        for folder in self._folders():
            self._sync_folder(folder)

    def _left(self, folder: Path) -> Iterator[tuple[Path, bytes]]:
        now, synced = self._listing(folder), self._names.get(folder, {})
        for name in sorted({*now, *synced}):
            if name.endswith(SQLITE):
                continue
            inode = self.chance.choice((now.get(name), synced.get(name)))
            if inode is not None:
                current = (folder / name).read_bytes() if now.get(name) == inode else None
                yield folder / name, self._content(inode, current)

    def _content(self, inode: int, current: bytes | None) -> bytes:
        kept = self._files.get(inode)
        if current is None:  # unlinked or renamed since: it is read through the descriptor that is held
            current = os.pread(kept.held, 1 << 30, 0) if kept else b""
        old = kept.content if kept else b""
        if not current.startswith(old):
            return self.chance.choice((old, current))
        return current[: self.chance.choice((len(old), len(current), self.chance.randint(len(old), len(current))))]

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.point()
            if name in ("write", "replace", "link") and self.full:
                if name == "write" and len(args[1]) > 1:
                    call(args[0], bytes(args[1])[: self.chance.randrange(len(args[1]))])
                raise OSError(errno.ENOSPC, "No space left on device")
            if name == "write" and self._calls_left == 0:  # torn: killed in the middle of it
                call(args[0], bytes(args[1])[: self.chance.randrange(len(args[1]) + 1)])
                self.point()
            done = call(*args, **kwargs)
            if name in ("fsync", "fdatasync"):
                self._synced(args[0])
            self.point()
            return done

        return watched

    def _synced(self, handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if not place.is_relative_to(self.home):
            return
        if place.is_dir():
            self._sync_folder(place)
        else:
            self._sync_file(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY))

    def _sync_file(self, held: int) -> None:
        inode = os.fstat(held).st_ino
        before = self._files.pop(inode, None)
        if before is not None:
            os.close(before.held)
        self._files[inode] = _Synced(os.pread(held, 1 << 30, 0), held)

    def _sync_folder(self, folder: Path) -> None:
        self._names[folder] = self._listing(folder)

    @staticmethod
    def _listing(folder: Path) -> dict[str, int]:
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            return {entry.name: entry.inode() for entry in entries if entry.is_file(follow_symlinks=False)}
        return {}

    def _folders(self) -> list[Path]:
        return [Path(here) for here, _, _ in os.walk(self.home)]

    def _files_there(self) -> list[Path]:
        return [path for path in self.home.rglob("*") if path.is_file()]


def copied(source: Path, target: Path) -> Path:
    """A copy that is no part of a history's faults: what another machine sends."""
    return Path(shutil.copytree(source, target, copy_function=shutil.copyfile))
