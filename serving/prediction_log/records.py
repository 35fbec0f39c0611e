"""What stands in a segment of the prediction log, and how.

A segment is a row of frames: `RFT1`, length, CRC-32 (both little-endian uint32), then a MessagePack record, one of
`Model`, `Predictions` and `Feedback`.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

import msgspec

MAGIC = b"RFT1"
HEADER = struct.Struct("<4sII")
SUFFIX = ".seg"


class Model(msgspec.Struct, tag="M", array_like=True, frozen=True):
    """What the rows of a version mean; comes before them in every segment. `absent` columns were not logged."""

    version: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    classes: tuple[str, ...]
    absent: tuple[str, ...]


class Predictions(msgspec.Struct, tag="P", array_like=True, gc=False):
    """The rows of one answer: arrays as little-endian bytes, row-major; `flags` is empty when no row has any.

    `hashed` maps a column to the keyed hash of each row's value ("" for missing).
    """

    time: float
    version: str
    ids: list[str]
    numbers: bytes  # (n, K) float32
    categories: list[list[str]]
    labels: list[str]
    chosen: bytes  # (n,) float32: the probability that was answered beside the label
    probabilities: bytes  # (n, C) float32
    flags: list[list[str]]
    hashed: dict[str, list[str]] = {}


class Label(msgspec.Struct, array_like=True, frozen=True):
    """A label that came for a prediction. `id` makes writing it twice the same as once."""

    id: str
    prediction_id: str
    label: str
    received_at: float


class Feedback(msgspec.Struct, tag="F", array_like=True, frozen=True):
    """The labels of one request."""

    labels: list[Label]


Record = Model | Predictions | Feedback

_encoder = msgspec.msgpack.Encoder()


def frame(record: Record) -> bytes:
    """The bytes of a record in a segment."""
    payload = _encoder.encode(record)
    return HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def backlog_bytes(folder: Path) -> int:
    """Bytes of segments that have not been moved into the database."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    total += entry.stat().st_size - moved_bytes(Path(entry.path))
    return max(total, 0)


def moved_bytes(segment: Path) -> int:
    """How far a segment has been moved: the mover writes it beside the segment after each commit."""
    try:
        return int(segment.with_suffix(".moved").read_text())
    except (OSError, ValueError):
        return 0
