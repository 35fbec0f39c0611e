"""Shared slots: what each process of a service publishes and any of them reads, in memory that no disk backs.

One anonymous file of the kernel's (memfd), made before the fork. A process claims a slot by a lock that the kernel
frees when it dies; the next one to claim it goes on from what its predecessor published. Nothing is mapped: where
memory is short, a write fails with an error, while a store to a mapped page would end the process (SIGBUS).
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from itertools import count

_HEAD = struct.Struct("<QII")  # sequence number, length, CRC-32
_HALF = 1 << 25  # of a slot: addresses, not memory, which is taken as it is written
_SLOT = 2 * _HALF


class Slots:
    """Make it before the fork; `claim` after it, once a process."""

    def __init__(self) -> None:
        self._fd = _unnamed_file()
        weakref.finalize(self, os.close, self._fd)
        self._mine: int | None = None
        self._sequence = 0

    def claim(self) -> bytes:
        """Take the first slot that no living process has; returns what was last published in it (b"" at first)."""
        for slot in count():
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot * _SLOT)
            except OSError:
                continue
            self._mine = slot
            self._sequence, content = self._newest(slot)
            return content
        raise AssertionError  # count() does not end

    def publish(self, content: bytes) -> None:
        """Replace what this process publishes. The half that readers use meanwhile is left alone.

        Raises
        ------
        OSError
            There is no memory for it, or it is larger than a slot; what was published before stays.
        """
        if self._mine is None or len(content) > _HALF - _HEAD.size:
            raise OSError("no slot that this fits into")
        sequence = self._sequence + 1
        head = _HEAD.pack(sequence, len(content), zlib.crc32(content, sequence & 0xFFFFFFFF))
        os.pwrite(self._fd, head + content, self._mine * _SLOT + sequence % 2 * _HALF)
        self._sequence = sequence

    def others(self) -> Iterator[bytes]:
        """What the other slots hold, those of dead processes too."""
        for slot in range(-(-os.fstat(self._fd).st_size // _SLOT)):
            if slot != self._mine:
                yield self._newest(slot)[1]

    def _newest(self, slot: int) -> tuple[int, bytes]:
        """(sequence number, content) of the newer half that is whole."""
        return max(self._half(slot * _SLOT), self._half(slot * _SLOT + _HALF))

    def _half(self, place: int) -> tuple[int, bytes]:
        head = os.pread(self._fd, _HEAD.size, place)
        if len(head) < _HEAD.size:
            return 0, b""
        sequence, size, check = _HEAD.unpack(head)
        content = os.pread(self._fd, min(size, _HALF), place + _HEAD.size)
        whole = len(content) == size and zlib.crc32(content, sequence & 0xFFFFFFFF) == check
        return (sequence, content) if whole else (0, b"")


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("refit-slots")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
