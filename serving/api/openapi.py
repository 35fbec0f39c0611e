"""`/openapi.json`, made from the answers' types, the served schema and what the routes say of themselves.

schemathesis holds the service to the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ml.schema.cells import iso, shortest
from ml.schema.schema import Column, Schema
from serving.api import schemas as c
from serving.api.operations import PROBLEM, REF, Content, Operation

API_VERSION = "1"
DOUBLE_MAX = 1.7e308  # the end of IEEE 754's doubles, rounded down


def document(
    operations: Sequence[Operation],
    schema: Schema | None,
    *,
    model_name: str,
    model_version: str,
    max_rows: int,
    keys: bool,
) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Parameters
    ----------
    operations
        As `operations.of` finds them on the routes.
    schema, model_name, model_version
        Of the served model; None and "" before the first.
    max_rows
        That one request may have.
    keys
        Whether API keys are required: documents the scheme and its refusals.
    """
    types = {t for op in operations for content in _contents(op) for t in content.values() if isinstance(t, type)}
    ordered = sorted({*types, c.Tensor, c.Label, c.FollowingAction}, key=lambda t: t.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REF)
    components |= {"Row": row_schema(schema), "Rows": _rows_schema(max_rows)}
    components |= {"Labels": _some("Label", "feedback"), "Actions": _some("FollowingAction", "actions")}
    paths: dict[str, dict[str, Any]] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method] = _operation(op, keys, {"name": model_name, "version": model_version})
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Refit",
            "version": API_VERSION,
            "description": "Predictions of the model in service, and what belongs to them. Every answer names the "
            "model version that made it, in the body and in the header X-Model-Version.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }
    if keys:
        content["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        content["security"] = [{"key": []}]
    return content


def row_schema(schema: Schema | None) -> dict[str, Any]:
    """JSON schema of one row of the served model."""
    if schema is None:
        return {"type": "object"}
    properties = {column.name: _column_schema(column) for column in schema.columns}
    passed_over = {name: {"description": "Taken and passed over."} for name in schema.ignored if name not in properties}
    return {
        "type": "object",
        "description": "One value a column; null where it is missing.",
        "required": list(properties),
        "properties": {
            "prediction_id": {
                "type": ["string", "integer", "null"],
                "maxLength": 200,
                "description": "Your own id of this answer. One that comes again is answered, and logged once, as it "
                "was answered first.",
            },
            **passed_over,
            **properties,
        },
        "additionalProperties": False,
    }


def _column_schema(column: Column) -> dict[str, Any]:
    example = column.example
    examples = [] if example is None else [shortest(example) if isinstance(example, float) else example]
    if column.kind == "number":
        limits = [f"{shortest(bound):.9g}" for bound in (column.minimum, column.maximum) if bound is not None]
        described = f"A number; {' to '.join(limits)} in training." if limits else "A number."
        return {
            "type": ["number", "null"],
            "minimum": -DOUBLE_MAX,
            "maximum": DOUBLE_MAX,
            "description": described,
            "examples": examples,
        }
    if column.kind == "date":
        seen = [iso(bound) for bound in (column.minimum, column.maximum) if bound is not None]
        described = "A date, or a date and time, as ISO 8601 has it."
        return {
            "type": ["string", "null"],
            "description": f"{described} {' to '.join(seen)} in training." if seen else described,
            "examples": examples,
        }
    levels = ", ".join(column.categories[:20]) + (" …" if len(column.categories) > 20 else "")
    return {
        # Types and no list of values: generators of clients stumble over an enum of numbers and booleans.
        "type": ["string", "number", "boolean", "null"],
        "description": f"A category; in training: {levels}. A number or a boolean is the category that it spells.",
        "examples": examples,
    }


def _rows_schema(max_rows: int) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["rows"],
        "properties": {
            "rows": {
                "type": "array",
                "maxItems": max_rows,
                "items": {"$ref": REF.format(name="Row")},
            },
            "prediction_ids": {
                "type": ["array", "null"],
                "items": {"type": ["string", "integer", "null"], "minLength": 1, "maxLength": 200},
                "description": "Your own ids, as many as rows; another way to give them.",
            },
        },
        "additionalProperties": False,
    }


def _some(name: str, wrapper: str) -> dict[str, Any]:
    """One object of a schema, a list of them, or that list under `wrapper`."""
    one = {"$ref": REF.format(name=name)}
    many = {"type": "array", "items": one}
    wrapped = {
        "type": "object",
        "required": [wrapper],
        "properties": {wrapper: many},
        "additionalProperties": False,
    }
    return {"anyOf": [one, many, wrapped]}


def _contents(op: Operation) -> list[Content]:
    return [op.answer, op.error, *op.also.values(), *([op.request] if op.request else [])]


def _operation(op: Operation, keys: bool, served: dict[str, str]) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "Done.", "content": _media(op.answer)}}
    # A key or the rate limit can refuse any operation, in front of its route.
    for status in (*op.refuses, *((401, 403) if keys else ()), 429):
        front = status in (401, 403, 429)
        answers[str(status)] = {
            "description": _REFUSALS[status],
            "content": _media({PROBLEM: c.Problem} if front else op.error),
        }
    for status, content in op.also.items():
        answers[str(status)] = {"description": _REFUSALS[status], "content": _media(content)}
    described: dict[str, Any] = {
        "summary": op.summary,
        "operationId": f"{op.method}_{op.path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}",
        "tags": [op.tag],
        "responses": answers,
    }
    if op.request:
        described["requestBody"] = {"required": True, "content": _media(op.request)}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
        for name, value in served.items()
        if f"{{{name}}}" in op.path
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string", "enum": values}}
        for name, values in op.query.items()
    ]
    if parameters:
        described["parameters"] = parameters
    return described


def _media(content: Content) -> dict[str, Any]:
    return {
        kind: {}
        if form is None
        else {"schema": {"$ref": REF.format(name=form.__name__)} if isinstance(form, type) else form}
        for kind, form in content.items()
    }


_REFUSALS = {
    400: "The body is broken.",
    401: "An API key is missing or not known.",
    403: "The API key does not open this.",
    404: "There is no such model, or it is not in service.",
    406: "None of the forms that Accept allows can be given.",
    409: "The version in service cannot explain.",
    413: "Too large, or too many rows.",
    415: "Another content type is expected.",
    422: "The rows do not fit the model; the answer names row and column.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "No model is loaded, or the prediction log cannot be written; Retry-After says when to come back.",
}
