"""What the processes beside the workers share: settings, log, one a machine, and an end when told to."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import logging.config
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml import settings as settings_module
from ml.errors import RefitError
from ml.settings import Settings
from serving import logs


def main(name: str, run: Callable[[Settings, threading.Event], None]) -> None:
    """The process called `name`: `run` until the event is set, once no other process of that name runs here."""
    logging.config.dictConfig(logs.config())
    try:
        settings = settings_module.load()
    except RefitError as error:
        raise SystemExit(str(error)) from error
    with _only_one(settings.var / "serving", name):
        run(settings, _stop_on_signals())


@contextlib.contextmanager
def _only_one(folder: Path, name: str) -> Iterator[None]:
    """Hold the machine's lock of that name; a second process waits its turn."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger(f"refit.{name}").warning("another %s runs on this machine; waiting for its end", name)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def hold_home(folder: Path, wait_s: float = 10.0) -> int:
    """Hold the lock of the home whose service `folder` is: one service a home, as each deletes what another left.

    Returns the descriptor, whose close frees it. A service that is ending is waited for.

    Raises
    ------
    RuntimeError
        Another service runs on this home, and does not end within `wait_s` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                home = folder.parent.parent
                why = f"another service runs on {home}: stop it, or give this one a REFIT_HOME of its own"
                raise RuntimeError(why) from None
            time.sleep(0.1)
        else:
            return fd


def _stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; a second one ends the process, as any does while the lock is waited for."""
    stop = threading.Event()

    def handle(_signal: int, _frame: Any) -> None:
        if stop.is_set():
            raise SystemExit(0)
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
