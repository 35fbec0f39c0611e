"""Scoring an uploaded table, from its bytes to its written result.

Apart from the route because it needs Arrow (37 MB): a worker loads it with its first table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ml.data.sources import csv_reader
from ml.errors import DataError
from ml.messages import code_of, message
from ml.schema.findings import Finding
from ml.schema.schema import DateOrder
from ml.schema.validation_errors import shown
from serving.api import files, guard
from serving.model.store import Served
from serving.problems import Problem
from serving.scoring import responses, score
from serving.scoring.file_names import plain_name
from serving.scoring.file_writers import WRITERS, Writer
from serving.scoring.upload import Part, Upload
from serving.service import Service

KEEP_BYTES = 48_000_000  # a checked upload up to this size is scored from memory, a larger one is read again

__all__ = ["WRITERS", "open_upload", "score_upload"]


def open_upload(
    one: Service,
    served: Served,
    stream: BinaryIO,
    name: str,
    *,
    decimal: str = "",
    dates: str = "",
    by_evidence: bool = True,
    echo: bool = True,
) -> Upload:
    """The upload `stream` (seekable), called `name` by its sender, within the limits of the settings.

    `decimal` and `dates` are the decimal mark and the order of dates that the sender says, if they do;
    `by_evidence` as of `Upload`.
    Without `echo` only the schema's columns and the ids are read of Parquet: the answer does not repeat the others.
    """
    data = one.settings.data
    return Upload(
        stream,
        plain_name(name),
        score.reader(served),
        settings=one.settings,
        decimal=_one_of("decimal", decimal, (".", ",")),
        dates=cast(DateOrder, _one_of("dates", dates, ("day-first", "month-first"))),
        by_evidence=by_evidence,
        echo=echo,
        options=csv_reader.Options(
            max_bytes=one.settings.serving.max_body_bytes,
            max_columns=data.max_columns,
            max_cell_chars=data.max_cell_chars,
        ),
    )


def _one_of(name: str, said: str, known: tuple[str, str]) -> str:
    if said not in ("", *known):
        raise Problem(422, message("requests.parameter", name=name, one=known[0], other=known[1], got=shown(said)))
    return said


def score_upload(one: Service, served: Served, upload: Upload, writer: Writer) -> dict[str, Any]:
    """Check all of it, then score, write and log it part by part; returns what to say about the whole.

    The disk's room for the answer is taken before its rows are logged (`files.Room`).
    """
    one.check_room_for_table()
    parts = upload.checked(KEEP_BYTES)
    flagged: Counter[tuple[str, str]] = Counter()
    room = files.Room(upload.rows)
    with room.told():
        for part in _pieces(parts if parts is not None else upload):
            guard.stop_if_gone()
            scored = one.acted(score.score(served, part.rows, part.ids))
            try:
                writer.add(part, scored)
            except pa.ArrowException as error:  # a column beyond 2 GB, for one
                raise DataError(message("files.result_not_written", error=shown(error)), file=upload.name) from error
            if len(scored):
                room.take(writer.out, len(scored))
            one.record(served, scored)
            room.logged += len(scored)
            flagged.update(responses.kinds(part.rows))
        warnings = [_warning(finding) for finding in upload.report.findings if finding.level == "warning"]
        warnings += responses.counted(flagged)
        summary = {"model_version": served.version, "rows": room.logged, "warnings": warnings}
        writer.close(summary)
    return summary


def _pieces(parts: list[Part] | Upload) -> Iterator[Part]:
    """Parts of the size that scores fastest."""
    step = score.CHUNK_ROWS
    for part in parts:
        if len(part.rows) <= 2 * step:
            yield part
            continue
        for start in range(0, len(part.rows), step):
            stop = start + step
            yield Part(
                part.rows.part(start, stop),
                part.table.slice(start, step),
                part.raw.slice(start, step) if part.raw is not None else None,
                part.ids[start:stop] if part.ids is not None else None,
            )


def _warning(finding: Finding) -> dict[str, str]:
    return {"column": finding.column, "code": code_of(finding.message), "message": str(finding.message)}
