"""Atomic writes: a kill, a full disk or a power cut leaves the old content or the new, never half."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID = ("no space left on device", "disk is full", "disk quota exceeded", "file too large")
_SPARE_BYTES = 1_000_000  # less free space than this is a full disk; our choice


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `content`: a temporary file beside it, fsync, rename, fsync of the folder.

    No name leads to it with more than `mode`, which is such that a service run by another user can read it.
    """
    with replacing(path, mode) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """As `write_bytes`, for content that is written piece by piece; what stands there stays where that fails."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def keep_private(file: Path) -> None:
    """Made readable by its owner alone, or made so: a copy that came back from elsewhere may be open to all."""
    try:
        open_to_others = file.stat().st_mode & 0o077
    except FileNotFoundError:
        make_private(file)
        return
    if open_to_others:
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            with contextlib.suppress(OSError):  # another user's, who decides
                file.with_name(name).chmod(0o600)


def make_private(path: Path) -> None:
    """Make the file where there is none, and let its owner alone read it: SQLite gives its journals the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def write_json(path: Path, value: Any) -> None:
    """As `write_bytes`, of indented JSON. NaN becomes null, paths become text."""
    write_bytes(path, to_json(value))


def to_json(value: Any) -> bytes:
    """Indented JSON of builtins, msgspec structs, NumPy scalars and arrays, paths. Stable for equal input."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2)


def replace_folder(source: Path, target: Path) -> None:
    """Put the folder `source` in the place of `target`, beside which it lies; an old one goes when that is durable.

    A kill or a power cut in between leaves the old one, or none and both under other names.
    """
    sync_tree(source)
    if not target.exists():
        os.replace(source, target)
        sync_folder(target.parent)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    os.replace(target, aside / "old")
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside / "old", target)
        raise
    finally:
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, so that each that is new survives a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_tree(folder: Path) -> None:
    """Bring the files and folders below `folder` to the disk: before a rename or a pointer makes them count."""
    for here, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(here, name)
            if not os.path.islink(path):
                sync_file(path)
        sync_folder(Path(here))


def sync_file(path: str | Path) -> None:
    """Bring what was written to a file to the disk, whoever wrote it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_full(error: BaseException, folder: Path | None = None) -> bool:
    """Whether an error comes of a full disk: by its number or words, or its causes', or by the disk of `folder`.

    Libraries raise errors of their own for it: SQLite's and MLflow's say "database or disk is full", SQLite also
    "disk I/O error", and the writers of weights only that a write failed.

    >>> is_full(OSError(28, "No space left on device")), is_full(ValueError("no"))
    (True, False)
    """
    seen: BaseException | None = error
    while seen is not None:
        if (isinstance(seen, OSError) and seen.errno in _FULL) or any(text in str(seen).lower() for text in _SAID):
            return True
        seen = seen.__cause__ or seen.__context__
    try:
        return folder is not None and shutil.disk_usage(folder).free < _SPARE_BYTES
    except OSError:
        return False


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"not JSON-able: {type(value).__name__}")


def is_locked(path: Path) -> bool:
    """Whether a living process holds the file's lock (`flock`); the system frees those of dead ones.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
