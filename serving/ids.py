"""Random ids, cheaply: the system's randomness is fetched for many at a time."""

from __future__ import annotations

import os
import time

import numpy as np

_AT_ONCE = 256  # ids a call to the system; our choice
_pool: list[str] = []
# A fork would hand the same ids to two processes.
os.register_at_fork(after_in_child=_pool.clear)


def token() -> str:
    """20 hex digits of the system's randomness (80 bits)."""
    try:
        return _pool.pop()  # one step under the interpreter's lock: no two threads get the same
    except IndexError:
        tokens = _tokens(_AT_ONCE)
        _pool.extend(tokens[1:])
        return tokens[0]


def prediction_ids(n: int) -> list[str]:
    """`n` prediction ids of 32 hex digits: milliseconds, then randomness, so that they sort by time."""
    prefix = f"{time.time_ns() // 1_000_000:012x}"
    if n == 1:
        return [prefix + token()]
    digits = np.empty((n, 32), np.uint8)
    digits[:, :12] = np.frombuffer(prefix.encode(), np.uint8)
    digits[:, 12:] = np.frombuffer(os.urandom(10 * n).hex().encode(), np.uint8).reshape(n, 20)
    text = digits.tobytes().decode()
    return [text[i : i + 32] for i in range(0, 32 * n, 32)]


def _tokens(n: int) -> list[str]:
    digits = os.urandom(10 * n).hex()
    return [digits[i : i + 20] for i in range(0, 20 * n, 20)]
