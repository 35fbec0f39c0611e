"""`POST /predict` and `GET /model`."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ml.schema.shortest import shortest
from serving.api import guard, predict
from serving.model.store import Served
from serving.service import service

bp = Blueprint("core", __name__)


@bp.post("/predict")
@guard.opens("predict")
def predict_rows() -> Response:
    """Score JSON rows. `serving.http.fast_path` answers the same through the same `predict.answer`."""
    reply = predict.answer(service(), request.get_data(cache=False), request.content_type)
    return Response(reply.body, reply.status, headers=reply.headers, content_type=reply.content_type)


@bp.get("/model")
@guard.opens("predict")
def model() -> Response:
    """The version in service: schema, decision, metrics, and a row that `/predict` takes as it is."""
    served = service().served()
    body: bytes | None = served.derived.get("model_document")
    if body is None:
        body = served.derived.setdefault("model_document", msgspec.json.encode(describe(served)))
    return Response(body, mimetype="application/json", headers={predict.VERSION_HEADER: served.version})


def describe(served: Served) -> dict[str, Any]:
    """The content of `GET /model`."""
    bundle = served.bundle
    return {
        "model_version": served.version,
        "sha256": served.sha256,
        "schema": msgspec.to_builtins(bundle.schema),
        "decision": msgspec.to_builtins(bundle.decision),
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
