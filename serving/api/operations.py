"""The operations of the API: what each takes, what it answers, and how it refuses. A test holds them to the routes."""

from __future__ import annotations

from typing import Any

import msgspec

from serving.api import schemas as c

JSON, CSV, PARQUET, PROBLEM = (
    "application/json",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/problem+json",
)
REF = "#/components/schemas/{name}"
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
