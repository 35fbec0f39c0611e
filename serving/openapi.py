"""`/openapi.json`, made from the answers' types, the served schema and the table of operations below.

A test holds the table to the application's routes, and schemathesis holds the service to the document.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ml.schema import Column, Schema
from ml.shortest import shortest
from serving import contract as c

JSON, CSV, PARQUET, PROBLEM = (
    "application/json",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/problem+json",
)
REF = "#/components/schemas/{name}"
API_VERSION = "1"
DOUBLE_MAX = 1.7e308
ROWS_MAX_EXPLAINED = 100

Content = dict[str, Any]  # media type → schema: a type of `contract`, a JSON schema, or None where it has none


class Operation(msgspec.Struct, frozen=True):
    """One operation: what it takes, what it answers when all is well, and with which statuses it refuses."""

    method: str
    path: str
    summary: str
    tag: str
    answer: Content
    refuses: tuple[int, ...] = ()
    request: Content | None = None
    query: dict[str, list[str]] = {}
    error: Content = msgspec.field(default_factory=lambda: {PROBLEM: c.Problem})
    also: dict[int, Content] = {}  # further statuses with a body of their own


ROWS = {JSON: {"$ref": REF.format(name="Rows")}}
TEXT = {"type": "string"}
BINARY = {"type": "string", "format": "binary"}
OBJECT = {"type": "object"}
FILE = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}},
    "required": ["file"],
    "additionalProperties": False,
}
MLFLOW_ERROR: Content = {JSON: c.MlflowError}
OIP_ERROR: Content = {JSON: c.OipError}
NO_JSON: Content = {JSON: None}  # as MLflow has it: said to be JSON, and a line end or a bare version
BODY = (400, 413, 415, 422, 503)  # how a body can be refused
MLFLOW_REQUEST = {
    "type": "object",
    "description": "Exactly one of the four forms of MLflow's scoring protocol; params are passed over.",
    "properties": {
        "dataframe_split": {"type": "object"},
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {},
        "inputs": {},
        "params": {},
    },
}
INFER_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": {"$ref": REF.format(name="Tensor")}},
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
}


def operations() -> list[Operation]:
    """Every operation of the API; the pages for people are not among them."""
    infer = {JSON: INFER_REQUEST}
    found = [
        Operation("post", "/predict", "Score rows.", "predict", {JSON: c.Predictions}, BODY, ROWS),
        Operation(
            "post", "/predict/file", "Score a table: CSV (plain, gzip, bzip2, xz, zstd) or Parquet.", "predict",
            {CSV: TEXT, PARQUET: BINARY, JSON: c.FilePredictions}, (*BODY, 406),
            {CSV: TEXT, "multipart/form-data": FILE, PARQUET: BINARY, "application/gzip": BINARY},
            {"format": ["csv", "parquet", "json"]},
        ),
        Operation(
            "post", "/explain", f"Why each of up to {ROWS_MAX_EXPLAINED} rows got its score.",
            "predict", {JSON: c.Explanations}, (*BODY, 409), ROWS, {"changes": ["true", "false"]},
        ),
        Operation(
            "post", "/feedback",
            "Send true labels by prediction id: one, many, or as CSV. Repeated ones change nothing; the latest counts.",
            "feedback", {JSON: c.Accepted}, BODY, {JSON: {"$ref": REF.format(name="Labels")}, CSV: TEXT},
        ),
        Operation("get", "/model", "The version in service.", "model", {JSON: c.Model}, (503,)),
        Operation("get", "/health/live", "Is the process alive?", "health", {JSON: OBJECT}),
        Operation(
            "get", "/health/ready", "Can it answer? With every worker's version.", "health", {JSON: OBJECT},
            also={503: {JSON: OBJECT}},
        ),
        Operation("get", "/metrics", "Prometheus metrics.", "health", {"text/plain": TEXT}),
        Operation("get", "/openapi.json", "This document.", "documents", {JSON: OBJECT}),
        Operation("get", "/docs", "This document as a page.", "documents", {"text/html": TEXT}),
        Operation(
            "post", "/invocations", "MLflow's scoring protocol.", "mlflow",
            {JSON: c.MlflowPredictions}, (400, 413, 503),
            {JSON: MLFLOW_REQUEST, CSV: TEXT, PARQUET: BINARY}, error=MLFLOW_ERROR, also={415: {"text/plain": TEXT}},
        ),
        *(
            Operation(
                "get", path, "Is a model loaded?", "mlflow", NO_JSON, error=MLFLOW_ERROR, also={404: NO_JSON}
            )
            for path in ("/ping", "/health")
        ),
        Operation("get", "/version", "The version of MLflow.", "mlflow", NO_JSON, error=MLFLOW_ERROR),
        Operation("get", "/v2", "Server metadata.", "open inference", {JSON: OBJECT}, error=OIP_ERROR),
        Operation("get", "/v2/health/live", "Is the process alive?", "open inference", {JSON: OBJECT}, error=OIP_ERROR),
        Operation(
            "get", "/v2/health/ready", "Is a model loaded?", "open inference", {JSON: OBJECT}, error=OIP_ERROR,
            also={503: {JSON: OBJECT}},
        ),
        Operation("get", "/v2/models", "Names of the models.", "open inference", {JSON: OBJECT}, error=OIP_ERROR),
    ]  # fmt: skip
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        common = {"tag": "open inference", "error": OIP_ERROR}
        found += [
            Operation("get", base, "Model metadata.", answer={JSON: OBJECT}, refuses=(404, 503), **common),  # type: ignore[arg-type]
            Operation("get", f"{base}/ready", "Does it answer?", answer={JSON: OBJECT}, refuses=(404, 503), **common),  # type: ignore[arg-type]
            Operation(
                "post", f"{base}/infer", "Score rows, a tensor a column.", answer={JSON: c.Inference},
                refuses=(400, 404, 413, 415, 503), request=infer, **common,  # type: ignore[arg-type]
            ),
        ]  # fmt: skip
    return found


def document(
    schema: Schema | None, *, model_name: str, model_version: str, max_rows: int, keys: bool
) -> dict[str, Any]:
    """The OpenAPI 3.1 document; `schema` is the served model's, None before the first, and `model_version` then ""."""
    found = operations()
    types = {t for op in found for content in _contents(op) for t in content.values() if isinstance(t, type)}
    ordered = sorted({*types, c.Tensor, c.Label}, key=lambda t: t.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REF)
    components |= {"Row": row_schema(schema), "Rows": _rows_schema(max_rows), "Labels": _labels_schema()}
    paths: dict[str, dict[str, Any]] = {}
    for op in found:
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
            "prediction_id": {"type": ["string", "null"], "maxLength": 200, "description": "Your own id of this row."},
            **passed_over,
            **properties,
        },
        "additionalProperties": False,
    }


def _column_schema(column: Column) -> dict[str, Any]:
    example = column.example
    examples = [] if example is None else [shortest(example) if isinstance(example, float) else example]
    if column.kind == "number":
        limits = [f"{bound:.6g}" for bound in (column.minimum, column.maximum) if bound is not None]
        described = f"A number; {' to '.join(limits)} in training." if limits else "A number."
        return {
            "type": ["number", "null"],
            "minimum": -DOUBLE_MAX,
            "maximum": DOUBLE_MAX,
            "description": described,
            "examples": examples,
        }
    levels = ", ".join(column.categories[:20]) + (" …" if len(column.categories) > 20 else "")
    category: dict[str, Any] = {"description": f"A category; in training: {levels}.", "examples": examples}
    # A whole number or a boolean that spells a level is taken for it; see ml/rows.py.
    spelled: list[Any] = [int(level) for level in column.categories if _is_whole(level)]
    spelled += [value for value in (True, False) if {str(value), str(value).lower()} & set(column.categories)]
    if not spelled:
        return {"type": ["string", "null"], **category}
    return {"anyOf": [{"type": ["string", "null"]}, {"enum": spelled}], **category}


def _is_whole(level: str) -> bool:
    return level.removeprefix("-").isascii() and level.removeprefix("-").isdigit() and str(int(level)) == level


def _rows_schema(max_rows: int) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["rows"],
        "properties": {
            "rows": {
                "type": "array",
                "minItems": 1,
                "maxItems": max_rows,
                "items": {"$ref": REF.format(name="Row")},
            },
            "prediction_ids": {
                "type": ["array", "null"],
                "items": {"type": ["string", "null"], "minLength": 1, "maxLength": 200},
                "description": "Your own ids, as many as rows; another way to give them.",
            },
        },
        "additionalProperties": False,
    }


def _labels_schema() -> dict[str, Any]:
    one = {"$ref": REF.format(name="Label")}
    many = {"type": "array", "minItems": 1, "items": one}
    wrapped = {
        "type": "object",
        "required": ["feedback"],
        "properties": {"feedback": many},
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
