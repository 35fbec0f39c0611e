"""Inputs and probabilities of a logged row as few bytes, for PostgreSQL.

What a segment has, hardly touched. A packed value is the byte 1, then for inputs the 8 bytes of the layout's key, the
numbers as float32 (little-endian; NaN where missing) and, where there are any, the categories and then the hashed
columns as a list in MessagePack ("" where missing); for probabilities the float32s in the order of the layout's
classes. A layout says which columns these are; its key is of its content, so that one that was read once is known for
good. What does not begin with 1 is JSON, as SQLite has it, where people look at it with any tool.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PACKED = b"\x01"
KEY_BYTES = 8  # of the layout's SHA-256: there are a few hundred layouts at most
START = len(PACKED) + KEY_BYTES
DIGITS = (6, 7, 8, 9)  # any 6 digits survive a float32, and 9 tell every float32: IEEE 754
SMALLEST, LARGEST = 1e-9, 1e5  # between them the powers of ten that are needed are exact in float64, and >= 1
_TENS = 10.0 ** np.arange(20)

_to_msgpack = msgspec.msgpack.Encoder().encode


class Layout(msgspec.Struct, frozen=True):
    """The columns of packed inputs, and the classes of packed probabilities, in order."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    hashed: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def content(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self)

    @property
    def key(self) -> bytes:
        """Of its content."""
        return hashlib.sha256(self.content).digest()[:KEY_BYTES]


_known: dict[bytes, Layout] = {}  # by their content: never stale


def learn(contents: Iterable[bytes | str]) -> None:
    """Know these layouts from now on."""
    for content in contents:
        layout = msgspec.json.decode(content, type=Layout)
        _known[layout.key] = layout


def as_read(value: bytes | str) -> bytes | str:
    """JSON as text, whatever the column's type; packed as it is."""
    return value.decode() if isinstance(value, bytes) and value[:1] != PACKED else value


def keys(values: Iterable[bytes | str]) -> set[bytes]:
    """The keys of layouts that these inputs need."""
    return {value[len(PACKED) : START] for value in values if isinstance(value, bytes) and value[:1] == PACKED}


def unknown(values: Iterable[bytes | str]) -> set[bytes]:
    """Those of `keys` that are not known."""
    return keys(values) - _known.keys()


def words(values: list[str]) -> bytes:
    """The end of packed inputs: categories, then hashed columns."""
    return _to_msgpack(values)


def inputs_of(value: bytes | str) -> dict[str, Any]:
    """Column → value, None for missing.

    >>> layout = Layout(("x", "y"), ("c",), ("who",), ("0", "1"))
    >>> learn([layout.content])
    >>> inputs_of(PACKED + layout.key + np.array([0.1, np.nan], "<f4").tobytes() + words(["", "5f"]))
    {'x': 0.1, 'y': None, 'c': None, 'who': '5f'}
    """
    if value[:1] != PACKED:
        found: dict[str, Any] = msgspec.json.decode(value)
        return found
    content: Any = value  # bytes
    layout = _known[content[len(PACKED) : START]]
    end = START + 4 * len(layout.numbers)
    numbers = shortest(np.frombuffer(content[START:end], "<f4")).tolist()
    words = msgspec.msgpack.decode(content[end:]) if end < len(content) else []
    made: dict[str, Any] = {
        name: None if math.isnan(number) else number for name, number in zip(layout.numbers, numbers, strict=True)
    }
    return made | {name: word or None for name, word in zip((*layout.categories, *layout.hashed), words, strict=True)}


def inputs_frame(values: Sequence[bytes | str], index: pd.Index) -> pd.DataFrame:
    """The columns of many; one that some rows lack is missing there. Rows of one layout are read at once."""
    import pandas as pd

    wanted = keys(values)
    if len(wanted) != 1 or any(value[:1] != PACKED for value in values):
        return pd.DataFrame.from_records([inputs_of(value) for value in values], index=index)
    layout = _known[wanted.pop()]
    end = START + 4 * len(layout.numbers)
    raw = b"".join([value[START:end] for value in values])  # type: ignore[misc]  # bytes, all of them
    numbers = shortest(np.frombuffer(raw, "<f4").reshape(len(values), len(layout.numbers)))
    columns: dict[str, Any] = {}
    for j, name in enumerate(layout.numbers):
        column = numbers[:, j]
        columns[name] = np.full(len(column), None) if np.isnan(column).all() else column
    if names := (*layout.categories, *layout.hashed):
        words = [msgspec.msgpack.decode(value[end:], type=list[str]) for value in values]  # type: ignore[arg-type]
        for j, name in enumerate(names):
            columns[name] = [row[j] or None for row in words]
    return pd.DataFrame(columns, index=index)


def probabilities_of(value: bytes | str, inputs: bytes | str) -> dict[str, float]:
    """Class → probability; `inputs` are the same row's, which name the layout."""
    if value[:1] != PACKED:
        found: dict[str, float] = msgspec.json.decode(value)
        return found
    content: Any = value  # bytes, as are the inputs
    key: Any = inputs[len(PACKED) : START]
    return dict(zip(_known[key].classes, struct.unpack(f"<{len(content) // 4}f", content[1:]), strict=True))


def shortest(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 → float64, each the shortest decimal that is this float32: 0.1, not 0.10000000149011612.

    A decimal of `digits` digits is an integer over a power of ten; where both are exact in float64, so is what is
    nearest to their quotient. The rest (very large, very small, none) goes by way of text.

    >>> shortest(np.array([0.1, 3.0, np.nan], np.float32)).tolist()
    [0.1, 3.0, nan]
    """
    flat = np.ascontiguousarray(numbers, np.float32).reshape(-1)
    wide = flat.astype(np.float64)
    size = np.abs(wide)
    plain = (size >= SMALLEST) & (size <= LARGEST)
    found = np.where(size == 0, wide, np.nan)
    left = np.flatnonzero(plain)
    power = np.floor(np.log10(size[left])).astype(np.int64)
    for digits in DIGITS:
        if not len(left):
            break
        scale = _TENS[digits - 1 - power]
        candidate = np.rint(wide[left] * scale) / scale
        right = candidate.astype(np.float32) == flat[left]
        found[left[right]] = candidate[right]
        left, power = left[~right], power[~right]
    rest = np.concatenate([left, np.flatnonzero(~plain & (size != 0))])
    found[rest] = flat[rest].astype("U16").astype(np.float64)
    return found.reshape(numbers.shape)
