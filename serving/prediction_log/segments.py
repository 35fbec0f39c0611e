"""Reading the prediction log's segments: whole records, past torn and damaged ones."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from serving.prediction_log.records import HEADER, MAGIC, SUFFIX, Feedback, Model, Predictions, Record

MAX_RECORD_BYTES = 512_000_000

_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def segments(folder: Path) -> list[Path]:
    """Segments in the order they were begun."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def records(content: bytes) -> Iterator[tuple[int, Record | None]]:
    """(end offset, record) of each whole frame; (offset behind, None) for a damaged stretch.

    What follows the last whole frame is left: a write under way, or, when the writer is dead, a torn tail.
    """
    at = 0
    while at < len(content):
        end = _frame_end(content, at)
        if end is not None:
            yield end, _decode(content, at, end)
            at = end
            continue
        following = _next_frame(content, at + 1)
        if following is None:
            return
        yield following, None
        at = following


def is_sealed(segment: Path) -> bool:
    """Whether nothing more will come: its writer has closed it or is dead, so that its lock is free."""
    try:
        fd = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def rows(record: Predictions, model: Model) -> Iterator[dict[str, Any]]:
    """The rows of a record as `ml.predictions.insert` takes them."""
    n = len(record.ids)
    numbers = np.frombuffer(record.numbers, "<f4").reshape(n, len(model.numbers))
    probabilities = np.frombuffer(record.probabilities, "<f4").reshape(n, len(model.classes))
    chosen = np.frombuffer(record.chosen, "<f4").tolist()
    shown = [name not in model.absent for name in model.numbers]
    for i, prediction_id in enumerate(record.ids):
        inputs: dict[str, Any] = {
            name: _number(value) for name, value, keep in zip(model.numbers, numbers[i], shown, strict=True) if keep
        }
        if record.categories:
            pairs = zip(model.categories, record.categories[i], strict=True)
            inputs |= {name: value or None for name, value in pairs if name not in model.absent}
        inputs |= {name: values[i] or None for name, values in record.hashed.items()}
        yield {
            "prediction_id": prediction_id,
            "time": record.time,
            "model_version": record.version,
            "inputs": inputs,
            "label": record.labels[i],
            "probability": chosen[i],
            "probabilities": dict(zip(model.classes, probabilities[i].tolist(), strict=True)),
            "flags": record.flags[i] if record.flags else [],
        }


def labels(record: Feedback) -> list[dict[str, Any]]:
    """The labels of a record as `ml.predictions.insert_feedback` takes them."""
    found: list[dict[str, Any]] = [
        {"id": x.id, "prediction_id": x.prediction_id, "label": x.label, "received_at": x.received_at}
        for x in record.labels
    ]
    return found


def _frame_end(content: bytes, at: int) -> int | None:
    if len(content) - at < HEADER.size:
        return None
    magic, length, checksum = HEADER.unpack_from(content, at)
    end = at + HEADER.size + length
    if magic != MAGIC or length > MAX_RECORD_BYTES or end > len(content):
        return None
    return end if zlib.crc32(memoryview(content)[at + HEADER.size : end]) == checksum else None


def _next_frame(content: bytes, at: int) -> int | None:
    while (at := content.find(MAGIC, at)) >= 0:
        if _frame_end(content, at) is not None:
            return at
        at += 1
    return None


def _decode(content: bytes, at: int, end: int) -> Record | None:
    try:
        return _decoder.decode(memoryview(content)[at + HEADER.size : end])
    except msgspec.DecodeError:
        return None


def _number(value: np.float32) -> float | None:
    """The shortest decimal that is this float32: 0.1, not 0.10000000149011612."""
    return None if np.isnan(value) else float(str(value))
