"""What is scored by what, kept beside the parts, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ml.errors import DataError
from ml.messages import message
from ml.storage import files

RECORD = "_scoring.json"  # readers of a folder of Parquet leave such names out
QUERY = "_query-"  # begins the name of a query's rows beside the parts
UNIT_ROWS = 65_536  # of a part of the output: 6 MB of twenty columns; our choice
_SAMPLE = 1 << 20  # bytes read of each end of a table


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run of scoring. `table` tells its content: size and a hash of both ends; `columns` go through as they came.

    `rows` is None until all of them are scored, which is written last.
    """

    table: str
    name: str
    version: str
    sha256: str
    columns: list[str]
    unit_rows: int = UNIT_ROWS
    rows: int | None = None


def content(file: Path) -> str:
    """Tells one table from another without reading all of it: its size, and a hash of its two ends."""
    size, digest = file.stat().st_size, hashlib.sha256()
    with file.open("rb") as stream:
        digest.update(stream.read(_SAMPLE))
        stream.seek(max(size - _SAMPLE, 0))
        digest.update(stream.read(_SAMPLE))
    return f"{size}:{digest.hexdigest()}"


def begin(folder: Path, plan: Plan) -> Plan:
    """The plan of `folder`, written there where there is none yet.

    Raises
    ------
    DataError
        Another table, version or choice of columns was scored into it, or something else is in it.
    """
    if (kept := recorded(folder)) is not None:
        if msgspec.structs.replace(kept, rows=None) != msgspec.structs.replace(plan, rows=None):
            raise other_scores(folder, kept)
        return kept
    if folder.exists() and any(not file.name.startswith(QUERY) for file in folder.iterdir()):
        raise DataError(message("requests.no_scores"), file=str(folder))
    files.make_folder(folder)
    files.write_bytes(folder / RECORD, msgspec.json.encode(plan))
    return plan


def recorded(folder: Path) -> Plan | None:
    """The plan of `folder`, where there is one."""
    record = folder / RECORD
    return msgspec.json.decode(record.read_bytes(), type=Plan) if record.exists() else None


def other_scores(folder: Path, kept: Plan) -> DataError:
    """That `folder` has the scores of another table, version or choice of columns."""
    what = message("requests.other_scores", name=kept.name, version=kept.version, columns=kept.columns)
    return DataError(what, file=str(folder))


def finish(folder: Path, plan: Plan, rows: int) -> Plan:
    """Write down in `folder` that all `rows` are there."""
    done = msgspec.structs.replace(plan, rows=rows)
    files.write_bytes(folder / RECORD, msgspec.json.encode(done))
    return done


def part(folder: Path, unit: int) -> Path:
    """Where a unit's rows go."""
    return folder / f"part-{unit:05d}.parquet"
