"""Errors as `application/problem+json` (RFC 9457): a status, a title, and a detail that names the place.

Under the paths of another server's protocol they have that protocol's form, whoever raised them: its clients take
the body apart before they tell anything.

Everything that can go wrong in a request ends here once: a `Problem` raised on purpose, rows that do not
fit, an error of the library, Werkzeug's own HTTP errors, and a fault of ours (500, without its trace).
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from ml.errors import DataError, Permanent, RefitError, StoreUnavailable, Transient
from ml.messages import Text, message
from ml.schema.validation_errors import RowsError, ValidationError
from ml.storage.files import is_full

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:refit:"  # and the code of what is wrong (`ml.messages`): the problem's `type`
JSON = "application/json"
# As mlflow.exceptions.HTTP_STATUS_TO_ERROR_CODE has them.
MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
MLFLOW_PATHS = ("/invocations", "/ping", "/health", "/version")
OIP_PREFIX = "/v2"

_logger = logging.getLogger(__name__)


class Problem(RefitError):
    """Raised when a request cannot be answered: becomes one problem+json answer.

    Parameters
    ----------
    status
        HTTP status, 400 to 599.
    detail
        What was expected, what came, and the next step.
    errors
        Each thing wrong with the rows that came.
    headers
        Further response headers, such as Retry-After.
    code
        What is wrong, where `detail` says more than that: the place.
    error_code
        MLflow's error code where its protocol has one of its own; "" for that of the status.
    """

    def __init__(
        self,
        status: int,
        detail: Text,
        *,
        title: Text = "",
        errors: tuple[ValidationError, ...] = (),
        headers: dict[str, str] | None = None,
        code: str = "",
        error_code: str = "",
    ):
        super().__init__(detail)
        self.code = code or self.code
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = str(detail)
        self.errors = errors
        self.headers = headers or {}
        self.error_code = error_code


def body(problem: Problem) -> bytes:
    """The JSON of a problem; `errors` has one object a fault: row (from 0) or line (from 1), column, expected, got."""
    content: dict[str, Any] = {
        "type": f"{TYPE}{problem.code}" if problem.code else "about:blank",
        "title": str(problem.title),
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        content["errors"] = [error.to_dict() for error in problem.errors]
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # a detail quotes what came, and that held a lone surrogate
        return msgspec.json.encode(_cleaned(content))


def answer_to(problem: Problem, path: str) -> tuple[int, bytes, str]:
    """Status, body and content type of a problem, in the form of the protocol that `path` belongs to."""
    status = 400 if problem.status == 422 else problem.status  # neither protocol has a 422
    if path == OIP_PREFIX or path.startswith(f"{OIP_PREFIX}/"):
        return status, _json({"error": problem.detail}), JSON
    if path in MLFLOW_PATHS:
        code = problem.error_code or MLFLOW_CODES.get(status, "BAD_REQUEST")
        return status, _json({"error_code": code, "message": problem.detail}), JSON
    return problem.status, body(problem), MEDIA_TYPE


def response(problem: Problem, path: str) -> Response:
    """The Flask response of a problem to a request of `path`."""
    g.problem = problem.code  # counted when the request ends (`serving.app`)
    status, content, kind = answer_to(problem, path)
    return Response(content, status, headers=problem.headers, mimetype=kind)


def of(error: Exception) -> Problem:
    """The problem that an error means to the caller. What nobody foresaw is a 500 that says nothing of the inside."""
    match error:
        case Problem():
            return error
        case RowsError():
            return Problem(
                422, error.explanation, title=message("rows.do_not_fit"), errors=error.errors, code=error.code
            )
        case DataError():
            title = message("files.does_not_fit")
            return Problem(422, error.explanation, title=title, errors=errors_of(error), code=error.code)
        case StoreUnavailable():
            detail = message("requests.nothing_lost", error=error.explanation)
            return Problem(503, detail, headers={"Retry-After": "5"})
        case Transient():
            return Problem(503, error.explanation, headers={"Retry-After": "5"})
        case Permanent():
            return Problem(422, error.explanation)
        case HTTPException():
            return _of_http(error)
        case OSError() if is_full(error):
            return Problem(503, message("requests.disk_full"), headers={"Retry-After": "5"})
        case _:
            return Problem(500, message("requests.fault"))


def errors_of(error: DataError) -> tuple[ValidationError, ...]:
    """The place that an error of a table names, as one fault; nothing where it names none."""
    if error.line is None and error.column is None:
        return ()
    return (ValidationError(None, error.column, message("files.fitting_table"), error.explanation, error.line),)


def install(app: Flask) -> None:
    """Answer every error of the application as a problem."""

    def answer(error: Exception) -> Response:
        problem = of(error)
        if problem.status >= 500 and not isinstance(error, Problem | Transient | HTTPException):
            _logger.error("a request failed for an unforeseen reason", exc_info=error)
        return response(problem, request.path)

    app.register_error_handler(Exception, answer)


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() in ("allow", "content-range", "retry-after", "www-authenticate")
    }
    known = {
        400: message("http.bad_request"),
        404: message("http.not_found"),
        405: message("http.method_not_allowed"),
        413: message("http.too_large"),
    }
    own = error.description if error.description != type(error).description else None
    return Problem(status, own or known.get(status) or HTTPStatus(status).phrase, headers=headers)


def _json(content: dict[str, str]) -> bytes:
    return json.dumps(content).encode()  # ASCII: it may quote lone surrogates


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {key: _cleaned(item) for key, item in value.items()}
        case list():
            return [_cleaned(item) for item in value]
        case _:
            return value
