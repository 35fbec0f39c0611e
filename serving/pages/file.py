"""`/file`: an uploaded table scored, shown as a table with a summary, and kept for an hour to be downloaded."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import BinaryIO, cast

from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml.errors import DataError
from serving import files, problems
from serving.pages import charts, pages, words
from serving.pages.predict import failure
from serving.problems import Problem
from serving.results import Csv, answer_columns
from serving.scoring import Scored
from serving.service import Service, service
from serving.tables import Part

SHOWN_ROWS = 200
SHOWN_COLUMNS = 30
KEPT_S = 3600
MAX_KEPT = 20
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


class Preview(Csv):
    """Writes the whole result, counts the classes, and keeps the first rows for the page."""

    def __init__(self, out: BinaryIO):
        super().__init__(out)
        self.counts: Counter[str] = Counter()
        self.flagged = 0
        self.head: list[str] = []
        self.rows: list[list[str]] = []

    def add(self, part: Part, scored: Scored) -> None:
        """Append the rows of `part`."""
        super().add(part, scored)
        self.counts.update(scored.labels)
        self.flagged += sum(bool(flags) for flags in scored.rows.flags)
        missing = SHOWN_ROWS - len(self.rows)
        if missing > 0:
            added = answer_columns(scored, part.table.column_names)
            kept = [name for name in added.column_names if not name.endswith(("prediction_id", "warnings"))]
            answer = added.select(kept).slice(0, missing)
            given = part.table.slice(0, missing).select(part.table.column_names[:SHOWN_COLUMNS])
            self.head = [*answer.column_names, *given.column_names]
            columns = [[_cell(value) for value in column.to_pylist()] for column in (*answer.columns, *given.columns)]
            self.rows += [list(row) for row in zip(*columns, strict=True)]


@pages.post("/file")
def file() -> str | tuple[str, int]:
    """Score the upload; the problem above the form where it does not fit."""
    one = service()
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        return failure(Problem(422, gettext("Choose a file first.")))
    folder = _folder(one)
    token = secrets.token_urlsafe(16)
    try:
        served = one.served()
        table = files.open_upload(one, served, cast(BinaryIO, upload.stream), upload.filename)
        with (folder / token).open("xb") as out:
            preview = Preview(out)
            files.score_upload(one, served, table, preview)
    except (Problem, DataError) as error:
        (folder / token).unlink(missing_ok=True)
        return failure(problems.of(error))
    total = sum(preview.counts.values())
    shares = [(name, count / total) for name, count in preview.counts.most_common()]
    return render_template(
        "file.html",
        name=table.name,
        total=total,
        flagged=preview.flagged,
        chart=charts.bars(shares, title=gettext("Predicted classes"), maximum=1.0, percent=True),
        counts=[(name, words.number(preview.counts[name], 0), words.percent(share)) for name, share in shares],
        head=preview.head,
        rows=preview.rows,
        download=url_for("pages.result", token=token, name=f"{Path(table.name).stem}-predictions.csv"),
    )


@pages.get("/file/<token>/<name>")
def result(token: str, name: str) -> Response:
    """The result of an upload, for whoever has its unguessable address."""
    path = _folder(service()) / token
    if not TOKEN.fullmatch(token) or not path.is_file():
        abort(404, gettext("This result is no longer kept. Send the file again."))
    return send_file(path, mimetype=Csv.mimetype, as_attachment=True, download_name=name)


def _folder(one: Service) -> Path:
    """Where results wait, without those that have waited long enough."""
    folder = one.folder / "results"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = sorted(os.scandir(folder), key=lambda entry: -entry.stat().st_mtime)
    for place, entry in enumerate(waiting):
        if place >= MAX_KEPT or time.time() - entry.stat().st_mtime > KEPT_S:
            Path(entry.path).unlink(missing_ok=True)
    return folder


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
