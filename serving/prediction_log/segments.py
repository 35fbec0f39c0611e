"""Reading the prediction log's segments: whole records; in a sealed segment also those behind a damaged stretch."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ml.exploration.policy import Action
from ml.predictions import ActionRow, PredictionRow, packed
from ml.predictions.packed import Layout
from ml.storage.files import is_locked
from serving.prediction_log.records import (
    CHECK,
    FIELDS,
    FRAME_BYTES,
    HEAD,
    MAGIC,
    READABLE,
    SUFFIX,
    Actions,
    Feedback,
    Model,
    Position,
    Predictions,
    Record,
)

MAX_RECORD_BYTES = 512_000_000  # a longer one is taken as damage; our choice, far above what the limits let in

_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def segments(folder: Path) -> list[Path]:
    """Segments in the order they were begun."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def start(content: bytes) -> Position | None:
    """The place of a segment's first frame; None where the head is not whole or of another version.

    A damaged head is made up for by the first frame, which has a fixed place.
    """
    if len(content) < HEAD.size:
        return None
    magic, version, marker, check = HEAD.unpack_from(content)
    if check == zlib.crc32(memoryview(content)[: HEAD.size - CHECK.size]):
        return Position(marker, HEAD.size, 0) if magic == MAGIC and version in READABLE else None
    first = Position(content[HEAD.size : HEAD.size + 16], HEAD.size, 0)
    return first if _frame_end(content, first, 0) is not None else None


def records(content: bytes, place: Position, *, sealed: bool) -> Iterator[tuple[Position, Record | None]]:
    """(place behind it, record) of each whole frame; (place behind, None) for a damaged stretch.

    Parameters
    ----------
    content
        The segment from `place` on.
    sealed
        Whether nothing more will come. Only then is what stands behind a frame that is not whole looked for: before,
        it may be a write under way. What follows the last whole frame is a torn tail: a request never answered.
    """
    base = place.at
    while place.at - base < len(content):
        end = _frame_end(content, place, base)
        if end is not None:
            payload = memoryview(content)[place.at - base + FRAME_BYTES : end.at - base]
            place = end
            yield place, _decode(payload)
            continue
        following = _next_frame(content, place, base) if sealed else None
        if following is None:
            return
        place = following
        yield place, None


def damaged(content: bytes, *, sealed: bool) -> list[tuple[int, int]]:
    """The byte ranges (from, behind) of a whole segment that are no frame of it; [] where all is as it was written.

    Unless it is sealed, its end may be a write under way and is left out. Checksums find what a disk or a hand
    changed, not a forger who computes them anew.
    """
    place = start(content)
    if place is None:
        return [(0, len(content))] if sealed and content else []
    found, here = [], place.at
    if zlib.crc32(content[: HEAD.size - CHECK.size]) != CHECK.unpack_from(content, HEAD.size - CHECK.size)[0]:
        found.append((0, HEAD.size))
    for behind, record in records(content[place.at :], place, sealed=True):
        if record is None:
            found.append((here, behind.at))
        here = behind.at
    return [*found, (here, len(content))] if sealed and here < len(content) else found


def is_torn(tail: bytes, place: Position) -> bool:
    """Whether what ends a sealed segment is a frame cut short, of a request never answered, and not a damaged one.

    `place` is that of its first byte.
    """
    size = len(tail) - FRAME_BYTES
    if size < 0:
        return True
    *fields, length = FIELDS.unpack_from(tail)
    (check,) = CHECK.unpack_from(tail, FIELDS.size)
    whole = zlib.crc32(FIELDS.pack(place.marker, place.at, place.check, size), zlib.crc32(tail[FRAME_BYTES:])) == check
    return fields == [place.marker, place.at, place.check] and length > size and not whole


def is_sealed(segment: Path) -> bool:
    """Whether nothing more will come: its writer has closed it or is dead, so that its lock is free."""
    try:
        return not is_locked(segment)
    except FileNotFoundError:
        return False


def rows(record: Predictions, model: Model) -> Iterator[dict[str, Any]]:
    """The rows of a record as `ml.predictions.insert` takes them."""
    n = len(record.ids)
    numbers = np.frombuffer(record.numbers, "<f4").reshape(n, len(model.numbers))
    probabilities = np.frombuffer(record.probabilities, "<f4").reshape(n, len(model.classes))
    chosen = np.frombuffer(record.chosen, "<f4").tolist()
    present = [name not in model.absent for name in model.numbers]
    for i, prediction_id in enumerate(record.ids):
        inputs: dict[str, Any] = {
            name: _number(value) for name, value, keep in zip(model.numbers, numbers[i], present, strict=True) if keep
        }
        if record.categories:
            pairs = zip(model.categories, record.categories[i], strict=True)
            inputs |= {name: value or None for name, value in pairs if name not in model.absent}
        inputs |= {name: values[i] or None for name, values in record.hashed.items()}
        yield {
            "prediction_id": prediction_id,
            "time": record.time,
            "model_version": record.version,
            "model_sha256": model.sha256,
            "row_id": record.who[i] if record.who else "",
            "inputs": inputs,
            "label": record.labels[i],
            "probability": chosen[i],
            "probabilities": dict(zip(model.classes, probabilities[i].tolist(), strict=True)),
            "flags": record.flags[i] if record.flags else [],
            **(_action(record.actions[i]) if record.actions else {}),
        }


def packed_rows(record: Predictions, model: Model, moment: float) -> tuple[Layout, list[PredictionRow]]:
    """The rows of a record with their values as they stand in it, and the layout of these; `moment` is the answer's."""
    layout, prefix, kept = _layout(model, tuple(record.hashed))
    n, width, classes = len(record.ids), 4 * len(model.numbers), 4 * len(model.classes)
    numbers = record.numbers
    if kept is not None:
        numbers = np.frombuffer(numbers, "<f4").reshape(n, len(model.numbers))[:, list(kept)].tobytes()
        width = 4 * len(kept)
    chosen = np.frombuffer(record.chosen, "<f4").tolist()
    found = []
    for i, prediction_id in enumerate(record.ids):
        inputs = prefix + numbers[i * width : (i + 1) * width]
        if record.categories or record.hashed:
            words = [
                word
                for name, word in zip(model.categories, record.categories[i] if record.categories else (), strict=False)
                if name not in model.absent
            ]
            inputs += packed.words(words + [values[i] for values in record.hashed.values()])
        flags = record.flags[i] if record.flags else None
        followed = _action(record.actions[i]) if record.actions else None
        found.append(
            PredictionRow(
                prediction_id=prediction_id,
                time=moment,
                model_version=record.version,
                inputs=inputs,
                label=record.labels[i],
                probability=chosen[i],
                probabilities=packed.PACKED + record.probabilities[i * classes : (i + 1) * classes],
                flags=msgspec.json.encode(flags).decode() if flags else "[]",
                model_sha256=model.sha256,
                row_id=record.who[i] if record.who else "",
                followed=ActionRow(prediction_id=prediction_id, **followed) if followed else None,
            )
        )
    return layout, found


@functools.lru_cache(maxsize=256)
def _layout(model: Model, hashed: tuple[str, ...]) -> tuple[Layout, bytes, tuple[int, ...] | None]:
    """(layout, what its inputs begin with, the places of the numbers that are logged, None for all)."""
    kept = tuple(j for j, name in enumerate(model.numbers) if name not in model.absent)
    layout = Layout(
        tuple(model.numbers[j] for j in kept),
        tuple(name for name in model.categories if name not in model.absent),
        hashed,
        model.classes,
    )
    return layout, packed.PACKED + layout.key, kept if len(kept) < len(model.numbers) else None


def labels(record: Feedback) -> list[dict[str, Any]]:
    """The labels of a record as `ml.predictions.insert_feedback` takes them."""
    predictions: list[dict[str, Any]] = [
        {"id": x.id, "prediction_id": x.prediction_id, "label": x.label, "received_at": x.received_at}
        for x in record.labels
    ]
    return predictions


def told_actions(record: Actions) -> list[dict[str, Any]]:
    """The actions of a record as `ml.predictions.insert_actions` takes them."""
    return [{"prediction_id": x.prediction_id, "told_at": x.told_at, **_action(x.action)} for x in record.actions]


def _action(action: Action | None) -> dict[str, Any]:
    if action is None:
        return {}
    return {"action": action.name, "propensity": action.propensity, "label_propensity": action.label_propensity}


def _frame_end(content: bytes, place: Position, base: int) -> Position | None:
    """The place behind the frame at `place`, or None where no whole one that follows the frame before stands."""
    frame = _frame_anywhere(content, place.marker, place.at, base)
    return frame[1] if frame is not None and frame[0] == place.check else None


def _frame_anywhere(content: bytes, marker: bytes, at: int, base: int) -> tuple[int, Position] | None:
    """(CRC of the frame before, place behind) of the whole frame at offset `at`, whatever came before it."""
    here = at - base
    if len(content) - here < FRAME_BYTES:
        return None
    named, offset, before, length = FIELDS.unpack_from(content, here)
    end = here + FRAME_BYTES + length
    if named != marker or offset != at or length > MAX_RECORD_BYTES or end > len(content):
        return None
    view = memoryview(content)
    fields, payload = view[here : here + FIELDS.size], view[here + FRAME_BYTES : end]
    (check,) = CHECK.unpack_from(content, here + FIELDS.size)
    if zlib.crc32(fields, zlib.crc32(payload)) != check:
        return None
    return before, Position(marker, base + end, check)


def _next_frame(content: bytes, place: Position, base: int) -> Position | None:
    """The place of the next whole frame behind a damaged stretch that begins at `place`."""
    here = place.at - base - 1
    while (here := content.find(place.marker, here + 1)) >= 0:
        frame = _frame_anywhere(content, place.marker, base + here, base)
        if frame is not None:
            return Position(place.marker, base + here, frame[0])
    return None


def _decode(payload: memoryview) -> Record | None:
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError:
        return None


def _number(value: np.float32) -> float | None:
    """The shortest decimal that is this float32: 0.1, not 0.10000000149011612."""
    return None if np.isnan(value) else float(str(value))
