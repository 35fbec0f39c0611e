"""One at a time: a lock over processes, freed by the system when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from ml.errors import Transient
from ml.messages import message
from ml.settings import Settings
from ml.storage import database


class Busy(Transient):
    """Raised when another process holds the lock for longer than the caller waits."""


@contextlib.contextmanager
def exclusive(settings: Settings, name: str, *, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold the lock `name`: a file on one machine, and a PostgreSQL advisory lock where that is the database.

    Raises
    ------
    Busy
        It did not come free within `timeout_s` seconds.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_file_lock(settings.var / "locks" / f"{name}.lock", name, timeout_s))
        if database.url(settings).startswith("postgresql"):
            stack.enter_context(_database_lock(settings, name, timeout_s))
        yield


@contextlib.contextmanager
def _file_lock(path: Path, name: str, timeout_s: float) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(name, deadline)
        yield
    finally:
        os.close(handle)  # frees the lock


@contextlib.contextmanager
def _database_lock(settings: Settings, name: str, timeout_s: float) -> Iterator[None]:
    key = zlib.crc32(f"refit.{name}".encode())
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        deadline = time.monotonic() + timeout_s
        while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar():
            _wait(name, deadline)
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))


def _wait(name: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Busy(message("connections.another_process", name=name))
    time.sleep(0.05)
