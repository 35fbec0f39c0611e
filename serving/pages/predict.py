"""`/`: predict one row by a form that is built from the schema; `/label`: its true label."""

from __future__ import annotations

from typing import Any

from flask import g, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml.messages import message
from ml.schema.rows import Rows
from ml.schema.validation_errors import RowsError
from serving import problems
from serving.api import feedback, guard
from serving.model.store import Served
from serving.pages import pages
from serving.pages.answer import answer_of
from serving.pages.fields import example, fields, record, texts_of
from serving.pages.i18n import formats
from serving.prediction_log.writer import LogUnavailable
from serving.problems import Problem
from serving.scoring import score
from serving.scoring.score import Scored
from serving.service import current_service


@pages.route("/", methods=["GET", "POST"])
@guard.opens("predict")
def predict() -> str | tuple[str, int]:
    """The form; after a POST the answer above it, or the problem with the fields marked."""
    service = current_service()
    served = service.store.current()
    if served is None:
        return render_template("predict.html")
    schema = served.bundle.schema
    texts = texts_of(schema)
    context: dict[str, Any] = {"max_size": formats.size(service.settings.serving.max_body_bytes)}
    wrong: set[str] = set()
    status = 200
    if request.method == "POST":
        try:
            rows, scored = _scored(served, texts)
            scored = service.record(served, scored)
            context["answer"] = answer_of(served, rows, scored, texts)
        except (Problem, RowsError) as error:
            context["problem"] = problems.of(error)
            wrong = {error.column for error in context["problem"].errors if error.column}
            status, g.problem = context["problem"].status, context["problem"].code
    if request.args.get("thanks"):
        context["thanks"] = _thanks()
    return render_template("predict.html", **fields(served, texts, wrong), **context), status


def _thanks() -> str:
    return gettext("Thank you: the true label was kept. It counts in the next drift check.")


@pages.post("/label")
@guard.opens("feedback")
def label() -> Response | tuple[str, int]:
    """Keep the true label of one prediction; its answer stays, where the same version serves and the key may see it."""
    service = current_service()
    item = {name: request.form.get(name, "") for name in ("prediction_id", "label")}
    try:
        served = service.served()
        pairs = feedback.checked([item], served.bundle.schema.classes, [])
        service.log.append_feedback(pairs)
    except LogUnavailable as error:
        return failure(Problem(503, message("requests.label_not_written", error=error.explanation)))
    except (Problem, RowsError) as error:
        return failure(problems.of(error))
    if request.form.get("version") != served.version or not guard.permits(service, "predict", request.headers.get):
        return redirect(url_for("pages.predict", thanks=1), code=303)
    return _answered_before(served, **item)


def _answered_before(served: Served, prediction_id: str, label: str) -> tuple[str, int]:
    """The answer whose label was sent, made again of the same row and not logged again."""
    schema = served.bundle.schema
    texts = texts_of(schema)
    try:
        rows, scored = _scored(served, texts)
    except (Problem, RowsError) as error:  # of a row that the form did not send
        return failure(problems.of(error))
    answer = answer_of(served, rows, scored, texts) | {"prediction_id": prediction_id, "true_label": label}
    size = formats.size(current_service().settings.serving.max_body_bytes)
    return render_template("predict.html", **fields(served, texts), max_size=size, answer=answer, thanks=_thanks()), 200


def failure(problem: Problem) -> tuple[str, int]:
    """The form with a problem above it."""
    g.problem = problem.code
    return render_template("predict.html", problem=problem, **form()), problem.status


def form() -> dict[str, Any]:
    """What the form shows before anything was sent."""
    served = current_service().store.current()
    texts = [example(column) for column in served.bundle.schema.columns] if served else []
    return {
        "max_size": formats.size(current_service().settings.serving.max_body_bytes),
        **(fields(served, texts) if served else {}),
    }


def _scored(served: Served, texts: list[str]) -> tuple[Rows, Scored]:
    rows = score.reader(served).records([record(served.bundle.schema, texts)])
    return rows, score.score(served, rows)
