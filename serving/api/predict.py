"""`POST /predict` and `GET /model`; the answer is made once for the Flask route and for the fast path."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response, g, request

from ml.decision import of_metrics
from ml.messages import message
from ml.schema.cells import shortest
from serving import problems
from serving.api import guard, operations, schemas
from serving.model.store import Served
from serving.problems import Problem
from serving.scoring import responses, score
from serving.scoring.score import VERSION_HEADER
from serving.service import Service, current_service, read_body

JSON = "application/json"


class Reply(NamedTuple):
    """Status, body and the headers that belong to this answer alone."""

    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str = JSON
    problem: str | None = None  # its code


def answer(service: Service, body: bytes, content_type: str | None) -> Reply:
    """Read, score, log, answer. Errors become problems here, so that both callers answer them alike.

    Parameters
    ----------
    body
        As it came.
    content_type
        The header; None where it is absent.
    """
    try:
        check_content_type(content_type)
        served = service.served()
        scored = service.record(served, score.predict(served, body, service.settings.serving))
        return Reply(200, responses.body(scored), {VERSION_HEADER: served.version})
    except Exception as error:
        return refusal(error)


def refusal(error: Exception) -> Reply:
    """The problem+json of an error; what nobody foresaw is logged."""
    problem = problems.of(error)
    if problem.status == 500:
        raise error
    return reply_to(problem)


def reply_to(problem: Problem) -> Reply:
    """A problem as problem+json."""
    return Reply(problem.status, problems.body(problem), problem.headers, problems.MEDIA_TYPE, problem.code)


def check_content_type(content_type: str | None) -> None:
    """Raise Problem (415) unless the body is said to be JSON."""
    if content_type == JSON:
        return
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise Problem(415, message("requests.content_type_json", expected=JSON, got=content_type or "none"))


bp = Blueprint("predict", __name__)


@bp.post("/predict")
@guard.opens("predict")
@operations.describe("Score rows.", {JSON: schemas.Predictions}, operations.BODY, operations.ROWS, tag="predict")
def predict_rows() -> Response:
    """Score JSON rows. `serving.http.fast_path` answers the same through the same `answer`."""
    reply = answer(current_service(), read_body(), request.content_type)
    if reply.problem is not None:
        g.problem = reply.problem
    return Response(reply.body, reply.status, headers=reply.headers, content_type=reply.content_type)


@bp.get("/model")
@guard.opens("predict")
@operations.describe("The version in service.", {JSON: schemas.Model}, (503,), tag="model")
def model() -> Response:
    """The version in service: schema, decision, metrics, and a row that `/predict` takes as it is."""
    served = current_service().served()
    body: bytes | None = served.derived.get("model_document")
    if body is None:
        body = served.derived.setdefault("model_document", msgspec.json.encode(describe(served)))
    return Response(body, mimetype="application/json", headers={VERSION_HEADER: served.version})


def describe(served: Served) -> dict[str, Any]:
    """The content of `GET /model`."""
    bundle = served.bundle
    return {
        "model_version": served.version,
        "sha256": served.sha256,
        "schema": msgspec.to_builtins(bundle.schema),
        "decision": msgspec.to_builtins(bundle.decision),
        "answers": list(map(str, of_metrics(bundle.decision, bundle.schema, bundle.metrics))),
        "metrics": bundle.metrics,
        "gate": bundle.json("gate.json"),
        "example": example(served),
    }


def example(served: Served) -> dict[str, Any]:
    """A typical row: each column's own example, null where the column is missing in it."""
    return {
        column.name: shortest(column.example) if isinstance(column.example, float) else column.example
        for column in served.bundle.schema.columns
    }


__all__ = ["VERSION_HEADER", "Reply", "answer", "describe", "example", "refusal", "reply_to"]
