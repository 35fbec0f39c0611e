"""Repair of the segments that the log shipper put aside: what is whole in them, and a flipped bit, come back.

A frame's place, its length and the frame before it are known from its neighbours, so damage to its fields is made good;
one flipped bit of a record is found by its CRC-32, whose remainder names the place of a single wrong bit. Where a
version's `Model` record is lost, another segment's of that version is taken, if all of them are alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ml import predictions
from ml.settings import Settings
from ml.storage import database
from serving.prediction_log import segments
from serving.prediction_log.records import CHECK, FIELDS, FRAME_BYTES, Feedback, Model, Position, Predictions, Record
from serving.prediction_log.retention import Retention

_TABLE = [zlib.crc32(bytes([byte])) ^ zlib.crc32(b"\0") for byte in range(256)]
_BY_TOP = {value >> 24: byte for byte, value in enumerate(_TABLE)}
_LAST_BYTE = {_TABLE[1 << bit]: bit for bit in range(8)}  # the remainder of one wrong bit of the last byte


class Repaired(msgspec.Struct, frozen=True):
    """What came of one segment: rows and labels that are in the database now, and how many records are not."""

    segment: str
    rows: int
    labels: int
    left: int


def put_aside(settings: Settings) -> list[Path]:
    """The segments that wait for a repair."""
    return segments.segments(settings.var / "serving" / "segments" / "damaged")


def repair(settings: Settings) -> list[Repaired]:
    """Read back what can be; a segment of which nothing is left is deleted once its rows are in the database.

    Raises
    ------
    StoreUnavailable
        The database does not take them now; call again.
    """
    found = {file: mended(file.read_bytes()) for file in put_aside(settings)}
    live = segments.segments(settings.var / "serving" / "segments")
    models = _models([*(record for records in found.values() for record in records), *_all_of(live)])
    return [_repair(settings, file, records, models) for file, records in found.items()]


def _repair(
    settings: Settings, file: Path, records: list[Record | None], elsewhere: dict[str, Model | None]
) -> Repaired:
    engine, moment = database.engine(settings), Retention(settings).moment
    own, rows, labels, left = dict[str, Model](), [], [], 0
    for record in records:
        match record:
            case Model():
                own[record.version] = record
            case Predictions() if (model := own.get(record.version) or elsewhere.get(record.version)) is not None:
                predictions.insert_meanings(engine, {model.sha256: model.schema})
                rows += [row | {"time": moment(record.time)} for row in segments.rows(record, model)]
            case Feedback():
                labels += [one | {"received_at": moment(one["received_at"])} for one in segments.labels(record)]
            case _:
                left += 1
    predictions.insert(engine, rows)
    predictions.insert_feedback(engine, labels)
    if not left:
        file.unlink()
    return Repaired(file.name, len(rows), len(labels), left)


def mended(content: bytes) -> list[Record | None]:
    """The records of a segment; None for each stretch that cannot be made good."""
    place = segments.start(content)
    if place is None:
        return [None]
    fixed = bytearray(content)
    for behind, record in segments.records(content[place.at :], place, sealed=True):
        if record is None:
            fixed[place.at : behind.at] = _frame(content[place.at : behind.at], place, behind.check)
        place = behind
    if place.at < len(content):  # the last frame, or a torn tail, which is a request that was never answered
        fixed[place.at :] = _frame(content[place.at :], place, None)
    begin = segments.start(content)
    return [record for _, record in segments.records(bytes(fixed[begin.at :]), begin, sealed=True)] if begin else [None]


def _frame(damaged: bytes, place: Position, check: int | None) -> bytes:
    """The frame that `damaged` was; as it is where it was not one frame, or more than a bit of its record is wrong.

    `check` is its CRC as the frame behind it names it; None where there is none behind it.
    """
    size = len(damaged) - FRAME_BYTES
    if size < 0:
        return damaged
    fields = FIELDS.pack(place.marker, place.at, place.check, size)
    payload = bytearray(damaged[FRAME_BYTES:])
    told = CHECK.unpack_from(damaged, FIELDS.size)[0] if check is None else check
    if remainder := zlib.crc32(fields, zlib.crc32(payload)) ^ told:
        wrong = _wrong_bit(remainder, size + len(fields))
        if wrong is None or wrong[0] >= size:
            return damaged
        payload[wrong[0]] ^= 1 << wrong[1]
    return fields + CHECK.pack(told) + payload


def _wrong_bit(remainder: int, size: int) -> tuple[int, int] | None:
    """(byte, bit) of the one wrong bit in `size` bytes whose CRC-32 is off by `remainder`; None where it is not one."""
    for at in range(size - 1, -1, -1):
        if (bit := _LAST_BYTE.get(remainder)) is not None:
            return at, bit
        byte = _BY_TOP[remainder >> 24]  # a byte less: the step of the CRC, undone
        remainder = ((remainder ^ _TABLE[byte]) << 8) & 0xFFFFFFFF | byte
    return None


def _all_of(files: list[Path]) -> Iterator[Record | None]:
    for file in files:
        content = file.read_bytes()
        if (place := segments.start(content)) is not None:
            yield from (record for _, record in segments.records(content[place.at :], place, sealed=False))


def _models(records: list[Record | None]) -> dict[str, Model | None]:
    """The `Model` record of each version; None where there are several that differ."""
    found: dict[str, Model | None] = {}
    for record in records:
        if isinstance(record, Model):
            known = found.setdefault(record.version, record)
            found[record.version] = record if known == record else None
    return found
