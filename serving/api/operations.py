"""The operations of the API: each route says what it takes, answers and refuses, beside its scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from flask import Flask

from serving.api import schemas as c

JSON, CSV, PARQUET, PROBLEM = (
    "application/json",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/problem+json",
)
REF = "#/components/schemas/{name}"

Content = dict[str, Any]  # media type → schema: a type of `contract`, a JSON schema, or None where it has none


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: what it takes, what it answers when all is well, and with which statuses it refuses.

    `also` has further statuses with a body of their own.
    """

    summary: str
    tag: str
    answer: Content
    refuses: tuple[int, ...]
    request: Content | None
    query: dict[str, list[str]]
    error: Content
    also: dict[int, Content]
    method: str = ""
    path: str = ""


View = TypeVar("View", bound=Callable[..., Any])
_described: dict[Callable[..., Any], Operation] = {}


ROWS = {JSON: {"$ref": REF.format(name="Rows")}}
TEXT = {"type": "string"}
BINARY = {"type": "string", "format": "binary"}
BYTES = "application/octet-stream"  # the one binary type that generators of clients know
OBJECT = {"type": "object"}
FILE = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}},
    "required": ["file"],
    "additionalProperties": False,
}
PROBLEM_ERROR: Content = {PROBLEM: c.Problem}
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


def describe(
    summary: str,
    answer: Content,
    refuses: tuple[int, ...] = (),
    request: Content | None = None,
    *,
    tag: str,
    query: dict[str, list[str]] | None = None,
    error: Content = PROBLEM_ERROR,
    also: dict[int, Content] | None = None,
) -> Callable[[View], View]:
    """Describe a route for the OpenAPI document: what an `Operation` has but method and path. Below its scope.

    Parameters
    ----------
    summary
        One line, the operation's title.
    answer
        Media type → schema of the answer when all is well.
    refuses
        Statuses that are answered with a problem.
    request
        Media type → schema of the body; None: no body.
    tag
        Group of the document.
    query
        Parameter → its values.
    error
        Media type → schema of a refusal.
    also
        Status → content of further answers.
    """
    operation = Operation(
        summary=summary, tag=tag, answer=answer, refuses=refuses, request=request, query=query or {}, error=error,
        also=also or {},
    )  # fmt: skip

    def declare(view: View) -> View:
        _described[view] = operation
        return view

    return declare


def of(app: Flask) -> list[Operation]:
    """Every described operation in the order of the application's routes; the pages for people are not among them."""
    return [
        msgspec.structs.replace(_described[view], method=method.lower(), path=_path(rule.rule))
        for endpoint, view in app.view_functions.items()
        if view in _described
        for rule in sorted(app.url_map.iter_rules(endpoint), key=lambda rule: len(rule.rule))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _path(rule: str) -> str:
    return rule.replace("<", "{").replace(">", "}")
