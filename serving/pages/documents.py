"""`GET /openapi.json` and `GET /docs`, the same as a page that needs no other host."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, render_template

from serving.api import guard, openapi, operations
from serving.api.predict import example
from serving.pages import remember
from serving.service import current_service

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

bp = Blueprint("documents", __name__)


@bp.get("/openapi.json")
@guard.opens("predict")
@operations.describe("This document.", {operations.JSON: operations.OBJECT}, tag="documents")
def openapi_json() -> Response:
    """The OpenAPI 3.1 document, with the columns of the model in service."""
    return Response(msgspec.json.encode(_document()), mimetype="application/json")


@bp.get("/docs")
@guard.opens("predict")
@operations.describe("This document as a page.", {"text/html": operations.TEXT}, tag="documents")
def docs() -> Response:
    """The document as a page."""
    served = current_service().store.current()
    content = _document()
    row = example(served) if served else {"column": 1.0}
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, methods in content["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append({"path": path, "method": method.upper(), **operation})
    page = render_template(
        "reference.html",
        info=content["info"],
        tags=tags,
        schemas=content["components"]["schemas"],
        body=msgspec.json.encode({"rows": [row]}).decode(),
        pretty=lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2).decode(),
    )
    return remember(Response(page, headers={"Content-Security-Policy": POLICY}))


def _document() -> dict[str, Any]:
    service = current_service()
    served = service.store.current()
    return openapi.document(
        operations.of(current_app),
        served.bundle.schema if served else None,
        model_name=service.settings.registry.model_name,
        model_version=served.version if served else "",
        max_rows=service.settings.serving.max_rows,
        keys=service.keys.required,
    )
