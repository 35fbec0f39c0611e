"""Ports of loopback for the servers of tests and benchmarks: none that the kernel may give to somebody else meanwhile.

A port of ``bind(0)`` comes from the range of outgoing connections: between the test's look and the server's start, or
between two starts, any connection of this machine may hold it.
"""

from __future__ import annotations

import functools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

SLICES = 8  # as many processes of one run of tests draw from different numbers
FIRST = 10_000


def free_port(*beside: int) -> int:
    """A port that nothing listens on, below the kernel's own; with it, those so many numbers after it.

    The process gets no number twice, and the other processes of a run of pytest-xdist get others.
    """
    for port in _numbers():
        if all(number < _end() and _is_free(number) for number in (port, *(port + distance for distance in beside))):
            return port
    raise OSError(f"no free port from {FIRST} to {_end()}")


def free_ports(count: int, *beside: int) -> list[int]:
    """So many of them."""
    return [free_port(*beside) for _ in range(count)]


@functools.cache
def _numbers() -> Iterator[int]:
    """Each at most once in the life of the process, two apart, so that a port's neighbour is nobody else's."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SLICES
    numbers = list(range(FIRST + 2 * process, _end(), 2 * SLICES))
    random.Random(os.urandom(8)).shuffle(numbers)
    return iter(numbers)


@functools.cache
def _end() -> int:
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):  # not Linux
        low = 0
    return low if low > 2 * FIRST else 32_768  # a machine may give nearly all of them to the kernel


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections do not count
        try:
            sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
