"""`/file`: an uploaded table scored, shown as a list to work through, and kept for an hour to be downloaded."""

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
from ml.decision import of_metrics
from ml.errors import DataError
from ml.messages import message
from serving import problems
from serving.api import files, guard
from serving.pages import pages
from serving.pages.i18n import formats
from serving.pages.predict import failure
from serving.problems import Problem
from serving.service import current_service

KEPT_S = 3600  # a scored file can be fetched for so long; our choice
MAX_KEPT = 20  # scored files; the oldest go first; our choice
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BITS = re.compile(r"[0-9a-f]{1,5000}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


@pages.post("/file")
@guard.opens("predict")
def file() -> str | tuple[str, int]:
    """Score the upload; the problem above the form where it does not fit."""
    from serving.api import score_file  # Arrow: a worker that never sees a table does without
    from serving.pages.work_list import WorkList
    from serving.pages.workbook import MAX_CELLS

    service = current_service()
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        return failure(Problem(422, message("requests.choose_file")))
    place = service.folder / "results" / secrets.token_urlsafe(16)
    try:
        _clean(place.parent)
        served = service.served()
        stream, decimal = cast(BinaryIO, upload.stream), request.form.get("decimal", "")
        table = score_file.open_upload(service, served, stream, upload.filename, decimal=decimal)
        with place.open("xb") as out:
            work = WorkList(out, place, table)
            if not score_file.score_upload(service, served, table, work)["rows"]:
                raise DataError(message("files.header_no_rows"), file=table.name)
    except Exception as error:  # nothing half written is kept
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
        problem = problems.of(error)
        if problem.status == 500:
            raise
        return failure(problem)
    total = sum(work.counts.values())
    shares = [(name, count / total) for name, count in work.counts.most_common()]
    stem = Path(table.name).stem
    kinds = ("csv", "xlsx") if total * work.width <= MAX_CELLS else ("csv",)
    return render_template(
        "file.html",
        name=table.name,
        total=total,
        flagged=work.flagged,
        answers=of_metrics(served.bundle.decision, served.bundle.schema, served.bundle.metrics),
        positive=served.bundle.schema.positive_label if work.ordered else "",
        in_order=work.ordered,
        chart=charts.bars(
            shares, title=gettext("Predicted classes"), maximum=1.0, percent=True, localise=formats.localised
        ),
        counts=[
            (
                name,
                formats.number(work.counts[name], 0),
                formats.percent(work.counts[name] / total),
                formats.number(work.expected[name], 0),
            )
            for name in sorted(served.bundle.schema.classes, key=lambda name: -work.counts[name])
        ],
        head=[_heading(work.answers.get(name, ""), name, served.bundle.schema.positive_label) for name in work.head],
        rows=[
            [_cell(work.answers.get(name, ""), cell) for name, cell in zip(work.head, row, strict=True)]
            for row in work.rows
        ],
        downloads={
            kind: url_for(
                "pages.result",
                token=place.name,
                name=f"{stem}-predictions.{kind}",
                **(work.dialect._asdict() | {"numbers": f"{work.numbers:x}"} if kind == "xlsx" else {}),
            )
            for kind in kinds
        },
        most_cells=formats.number(MAX_CELLS, 0),
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
    if name.endswith(".xlsx"):
        return _workbook(path, name)
    return send_file(path, mimetype="text/csv; charset=utf-8", as_attachment=True, download_name=name)


def _workbook(path: Path, name: str) -> Response:
    from serving.pages.work_list import cells
    from serving.pages.workbook import MAX_CELLS, as_workbook
    from serving.scoring.upload import Dialect

    given = {"delimiter": ",", "decimal": ".", "thousands": "", "numbers": "0"} | request.args.to_dict()
    delimiter, decimal, thousands, numbers = (given[key] for key in ("delimiter", "decimal", "thousands", "numbers"))
    if len(delimiter) != 1 or delimiter in '"\r\n' or not BITS.fullmatch(numbers):
        abort(404)
    if decimal not in (".", ",") or thousands not in ("", ".", ",", " ", "'") or thousands == decimal:
        abort(404)
    dialect = Dialect(delimiter, decimal, thousands=thousands)
    if cells(path, dialect) > MAX_CELLS:
        abort(404, gettext("This result is too large for a workbook. Take the CSV."))
    out = files.spool()
    try:
        as_workbook(path, out, dialect, int(numbers, 16))
    except ValueError:  # by another address than the page's own
        out.close()
        abort(404)
    response = files.sent(out, XLSX)
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _heading(kind: str, name: str, positive: str) -> str:
    """What stands above a column of the result: what was sent by its name, what was answered in the reader's words."""
    return {
        "positive_probability": gettext("Probability of “%(label)s”", label=positive),
        "label": gettext("Answer"),
        "probability": gettext("Probability"),
    }.get(kind, name)


def _cell(kind: str, cell: str) -> str:
    return formats.percent(float(cell.replace(",", "."))) if kind.endswith("probability") and cell else cell


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
