"""`/file`: an uploaded table scored, shown as a table with a summary, and kept for an hour to be downloaded."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from pathlib import Path
from typing import BinaryIO, cast

from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml import charts
from ml.errors import DataError
from ml.messages import message
from serving import problems
from serving.api import guard
from serving.pages import pages
from serving.pages.i18n import formats
from serving.pages.predict import failure
from serving.problems import Problem
from serving.service import current_service

KEPT_S = 3600  # a scored file can be fetched for so long; our choice
MAX_KEPT = 20  # scored files; the oldest go first; our choice
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


@pages.post("/file")
@guard.opens("predict")
def file() -> str | tuple[str, int]:
    """Score the upload; the problem above the form where it does not fit."""
    from serving.api import score_file  # Arrow: a worker that never sees a table does without
    from serving.pages.preview import Preview

    service = current_service()
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        return failure(Problem(422, message("requests.choose_file")))
    place = service.folder / "results" / secrets.token_urlsafe(16)
    try:
        _clean(place.parent)
        served = service.served()
        table = score_file.open_upload(service, served, cast(BinaryIO, upload.stream), upload.filename)
        with place.open("xb") as out:
            preview = Preview(out)
            if not score_file.score_upload(service, served, table, preview)["rows"]:
                raise DataError(message("files.header_no_rows"), file=table.name)
            out.truncate(out.tell())  # the rest of what was reserved
    except Exception as error:  # nothing half written is kept
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
        problem = problems.of(error)
        if problem.status == 500:
            raise
        return failure(problem)
    total = sum(preview.counts.values())
    shares = [(name, count / total) for name, count in preview.counts.most_common()]
    return render_template(
        "file.html",
        name=table.name,
        total=total,
        flagged=preview.flagged,
        chart=charts.bars(
            shares, title=gettext("Predicted classes"), maximum=1.0, percent=True, localise=formats.localised
        ),
        counts=[(name, formats.number(preview.counts[name], 0), formats.percent(share)) for name, share in shares],
        head=preview.head,
        rows=preview.rows,
        download=url_for("pages.result", token=place.name, name=f"{Path(table.name).stem}-predictions.csv"),
    )


@pages.get("/file/<token>/<name>")
@guard.opens("predict")
def result(token: str, name: str) -> Response:
    """The result of an upload, for whoever has its unguessable address."""
    folder = current_service().folder / "results"
    _clean(folder)
    path = folder / token
    if not TOKEN.fullmatch(token) or not path.is_file():
        abort(404, gettext("This result is no longer kept. Send the file again."))
    return send_file(path, mimetype="text/csv; charset=utf-8", as_attachment=True, download_name=name)


def _clean(folder: Path) -> None:
    """Delete the results that have waited long enough; make the folder where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another upload cleans at this moment
            waiting.append((path.stat().st_mtime, path))
    for place, (written, path) in enumerate(sorted(waiting, reverse=True)):
        if place >= MAX_KEPT or time.time() - written > KEPT_S:
            path.unlink(missing_ok=True)
