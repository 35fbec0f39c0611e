"""Errors as problem+json: which status each kind gets, and that no trace and no broken text gets out."""

from __future__ import annotations

import json
import logging

import pytest
from flask import Flask
from werkzeug.exceptions import MethodNotAllowed

from ml.errors import BundleError, DataError, SchemaError, StoreUnavailable
from ml.messages import message
from ml.schema.validation_errors import RowsError, ValidationError
from serving import problems
from serving.problems import Problem


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Problem(413, "too large"), 413),
        (RowsError([ValidationError(0, "a", "a number", "'x'")]), 422),
        (SchemaError("no such column", file="t.csv", column="a"), 422),
        (BundleError("altered"), 422),
        (StoreUnavailable("locked"), 503),
        (MethodNotAllowed(["GET"]), 405),
        (ZeroDivisionError("division by zero"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_error_has_its_status(error: Exception, status: int) -> None:
    problem = problems.of(error)
    content = json.loads(problems.body(problem))
    assert content["status"] == problem.status == status
    assert content.keys() >= {"type", "title", "status", "detail"}


def test_rows_that_do_not_fit_are_listed_by_place() -> None:
    content = json.loads(problems.body(problems.of(RowsError([ValidationError(2, "a", "a number", "'x'")]))))
    assert content["detail"] == "rows[2], column 'a': expected a number, got 'x'"
    assert content["errors"] == [{"row": 2, "column": "a", "expected": "a number", "got": "'x'"}]


def test_a_place_in_a_file_is_named() -> None:
    content = json.loads(problems.body(problems.of(DataError("expected 3 fields", file="t.csv", line=7))))
    assert content["detail"] == "t.csv, line 7: expected 3 fields"
    assert content["errors"][0]["line"] == 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RowsError([ValidationError(2, "a", message("rows.number"), "'x'")]), "urn:refit:rows.do_not_fit"),
        (DataError(message("files.fields", expected=3, got=2), file="t.csv", line=7), "urn:refit:files.fields"),
        (problems.Problem(415, message("requests.empty")), "urn:refit:requests.empty"),
        (ValueError("a fault of ours"), "urn:refit:requests.fault"),
        (problems.Problem(422, "words alone"), "about:blank"),
    ],
)
def test_the_type_is_the_code_of_what_is_wrong(error: Exception, kind: str) -> None:
    """A client decides by it, and not by the sentence; each fault has the codes of its parts."""
    content = json.loads(problems.body(problems.of(error)))
    assert content["type"] == kind
    if isinstance(error, RowsError):
        assert content["errors"][0]["expected_code"] == "rows.number"


def test_a_fault_of_ours_says_nothing_of_the_inside_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("probe")
    problems.install(app)

    @app.get("/")
    def view() -> str:
        raise RuntimeError("secret path")

    with caplog.at_level(logging.ERROR):
        answer = app.test_client().get("/")
    assert answer.status_code == 500
    assert answer.mimetype == problems.MEDIA_TYPE
    assert "secret" not in answer.text
    assert "secret path" in caplog.text


def test_lone_surrogates_do_not_break_the_answer() -> None:
    assert json.loads(problems.body(Problem(400, "got '\ud800'")))["detail"] == "got '?'"


def test_headers_that_help_the_caller_are_kept() -> None:
    assert problems.of(StoreUnavailable("locked")).headers["Retry-After"]
    assert "GET" in problems.of(MethodNotAllowed(["GET"])).headers["Allow"]
