"""The records: what stands in a segment of the prediction log, and how.

A segment is a head and a row of frames. The head is `RFTSEG`, the format's version (uint16), a random marker of
16 bytes and a CRC-32. A frame is the marker, its own offset (uint64), the CRC of the frame before it, the length of
its record, a CRC-32 over record and these fields (uint32 each), then the record in MessagePack: one of `Model`,
`Predictions`, `Feedback` and `Actions`. All integers are little-endian.

Records hold bytes that callers chose. None of them can become a frame: nobody outside knows the marker, a frame is
valid only at the offset that it names, and only behind the frame that it names.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from ml.exploration.policy import Action

MAGIC = b"RFTSEG"
VERSION = 4  # of the record's format; 4 has what followed an answer
READABLE = (3, VERSION)  # what is read; a reader refuses any other
HEAD = struct.Struct("<6sH16sI")
FIELDS = struct.Struct("<16sQII")
CHECK = struct.Struct("<I")
FRAME_BYTES = FIELDS.size + CHECK.size
SUFFIX = ".seg"


class Position(NamedTuple):
    """A place between two frames: the segment's marker, the offset, and the CRC of the frame before (0 at first)."""

    marker: bytes
    at: int
    check: int


class Model(msgspec.Struct, tag="M", array_like=True, frozen=True):
    """What the rows of a version mean; comes before them in every segment.

    `absent` columns were not logged. `sha256` is of the bundle that answered, `schema` its schema.json.
    """

    version: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    classes: tuple[str, ...]
    absent: tuple[str, ...]
    sha256: str
    schema: bytes


class Predictions(msgspec.Struct, tag="P", array_like=True, gc=False):
    """The rows of one answer: arrays as little-endian bytes, row-major; `flags` is empty when no row has any.

    `hashed` maps a column to the keyed hash of each row's value ("" for missing); `who` has the identity of each row,
    or is empty; `actions` what the policy let follow each, or is empty.
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
    who: tuple[str, ...] = ()
    actions: tuple[Action | None, ...] = ()


class Label(msgspec.Struct, array_like=True, frozen=True):
    """A label that came for a prediction. `id` makes writing it twice the same as once."""

    id: str
    prediction_id: str
    label: str
    received_at: float


class Feedback(msgspec.Struct, tag="F", array_like=True, frozen=True):
    """The labels of one request."""

    labels: list[Label]


class ToldAction(msgspec.Struct, array_like=True, frozen=True):
    """What a caller says that followed a prediction (`ml.exploration.policy`)."""

    prediction_id: str
    action: Action
    told_at: float


class Actions(msgspec.Struct, tag="A", array_like=True, frozen=True):
    """The actions of one request."""

    actions: list[ToldAction]


Record = Model | Predictions | Feedback | Actions

_encoder = msgspec.msgpack.Encoder()


def encode(record: Record) -> bytes:
    """A record's bytes in a frame."""
    return _encoder.encode(record)


def begin(marker: bytes) -> tuple[bytes, Position]:
    """(the head of a segment, the place behind it). `marker` is 16 random bytes."""
    head = HEAD.pack(MAGIC, VERSION, marker, 0)[: -CHECK.size]
    return head + CHECK.pack(zlib.crc32(head)), Position(marker, HEAD.size, 0)


def frame(payload: bytes, place: Position, payload_crc: int | None = None) -> tuple[bytes, Position]:
    """(the frame's bytes without its record, the place behind it) of an encoded record that begins at `place`.

    `payload_crc`, where it is known, is `zlib.crc32(payload)`.
    """
    fields = FIELDS.pack(place.marker, place.at, place.check, len(payload))
    check = zlib.crc32(fields, zlib.crc32(payload) if payload_crc is None else payload_crc)
    return fields + CHECK.pack(check), Position(place.marker, place.at + FRAME_BYTES + len(payload), check)


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
    """How far a segment has been moved: the log shipper writes it beside the segment after each commit."""
    try:
        return int(segment.with_suffix(".moved").read_text())
    except (OSError, ValueError):
        return 0
