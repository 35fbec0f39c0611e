"""`/labels`: a result file with its column of truths filled in, sent back as labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from flask import render_template, request
from flask_babel import gettext, ngettext

from ml.errors import DataError
from ml.messages import message
from ml.schema.validation_errors import shown
from serving import problems
from serving.api import feedback, guard
from serving.api.feedback import TRUTH
from serving.pages import pages
from serving.pages.i18n import formats
from serving.pages.predict import failure, form
from serving.prediction_log.writer import LogUnavailable
from serving.problems import Problem
from serving.scoring.file_names import plain_name
from serving.scoring.json_rows import ID_KEY
from serving.service import current_service


@pages.post("/labels")
@guard.opens("feedback")
def labels() -> str | tuple[str, int]:
    """Keep the true labels of a result file; rows whose truth is not known yet are passed over."""
    service = current_service()
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        return failure(Problem(422, message("requests.choose_file")))
    try:
        items, lines, rows = _read(cast(BinaryIO, upload.stream), plain_name(upload.filename))
        pairs = feedback.checked(items, service.served().bundle.schema.classes, lines, column=TRUTH)
        service.log.append_feedback(pairs)
    except LogUnavailable as error:
        return failure(Problem(503, message("requests.labels_not_written", error=error.explanation)))
    except Exception as error:
        problem = problems.of(error)
        if problem.status == 500:
            raise
        return failure(problem)
    kept = ngettext("Thank you: %(n)s true label was kept.", "Thank you: %(n)s true labels were kept.", len(pairs),
                    n=formats.number(len(pairs), 0))  # fmt: skip
    rest = gettext("They count in the next drift check; %(n)s rows have none yet.",
                   n=formats.number(rows - len(pairs), 0))  # fmt: skip
    return render_template("predict.html", thanks=f"{kept} {rest}", **form())


def _read(stream: BinaryIO, name: str) -> tuple[list[dict[str, str]], list[int], int]:
    """Labels with the lines that they are on, and how many rows there are."""
    from ml.data.sources.csv_reader import CsvReader, Options  # Arrow: a worker that never sees a table does without

    settings = current_service().settings
    limits = settings.serving, settings.data
    options = Options(max_bytes=limits[0].max_body_bytes, max_columns=limits[1].max_columns, use_threads=False)
    reader = CsvReader(stream, name, options)
    if not {ID_KEY, TRUTH} <= set(reader.names):
        known = {"line": reader.head.lines, "columns": [ID_KEY, TRUTH], "got": shown(", ".join(reader.names))}
        raise Problem(422, message("requests.feedback_columns", **known))
    items: list[dict[str, str]] = []
    lines: list[int] = []
    rows = 0
    for chunk in reader:
        rows += len(chunk.lines)
        for line, key, label in _filled(chunk):
            items.append({ID_KEY: key, "label": label})
            lines.append(line)
        if len(items) > feedback.MAX_LABELS:
            break
    if not items:
        raise DataError(message("requests.no_truth", column=TRUTH), file=name)
    return items, lines, rows


def _filled(chunk: Any) -> Iterator[tuple[int, str, str]]:
    """Line, id and label of the rows that have a label."""
    from serving.scoring.file_writers import is_formula

    columns = (chunk.table[name].to_pylist() for name in (ID_KEY, TRUTH))
    for line, key, label in zip(chunk.lines.tolist(), *columns, strict=True):
        if label and label.strip():
            escaped = key[:1] == "'" and is_formula(key[1:])
            yield line, key[1:] if escaped else key, label.strip()
