"""Lines for a person: a live last line on a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Terminal:
    """Writes to `out`; a live line is redrawn in place when that is a terminal, and left out otherwise."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._tty = self._out.isatty()
        self._live = ""

    def line(self, text: str = "") -> None:
        """One finished line."""
        self._clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def live(self, text: str) -> None:
        """What is going on at the moment."""
        if self._tty and text != self._live:
            self._clear()
            self._out.write(text)
            self._out.flush()
            self._live = text

    @contextmanager
    def step(self, done: str) -> Iterator[Callable[[str], None]]:
        """Time a step: gives a function for its live line, and says `done (12 s)` when it took a while."""
        started = time.monotonic()

        def say(text: str) -> None:
            self.live(f"  {text} ({time.monotonic() - started:.0f} s)")

        yield say
        if (seconds := time.monotonic() - started) >= 1:
            self.line(f"  {done} ({seconds:.0f} s)")
        else:
            self._clear()

    def _clear(self) -> None:
        if self._live:
            self._out.write("\r\x1b[K")
            self._live = ""
