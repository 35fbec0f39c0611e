"""The OpenAPI document: complete, made from the code, and true: schemathesis finds no answer that it does not allow."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ml.schema.schema import Column, Schema
from ml.settings import Settings, from_values
from serving.api import openapi, operations
from serving.app import create_app
from tests.serving.environments import python_with
from tests.serving.mixed import ROW, application

PAGES = re.compile(r"^/(|file.*|labels?|models.*|monitoring.*|static/.*)$")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with application(tmp_path_factory.mktemp("openapi")) as app:
        yield app


def test_every_route_of_the_api_is_described_and_every_description_routed(app: Flask) -> None:
    """Pages for people are not part of the API."""
    routed = {
        (method.lower(), rule.rule.replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not PAGES.match(rule.rule)
    }
    assert routed == {(one.method, one.path) for one in operations.of(app)}


def test_the_row_is_that_of_the_model_in_service(app: Flask) -> None:
    schemas = app.test_client().get("/openapi.json").json["components"]["schemas"]
    assert schemas["Row"]["required"] == ["n0", "n1", "c0"]
    assert schemas["Row"]["properties"]["n0"]["type"] == ["number", "null"]
    assert schemas["Rows"]["properties"]["rows"]["maxItems"] == 50


def test_before_the_first_model_the_document_is_there(tmp_path: Path) -> None:
    app = create_app(from_values({"home": str(tmp_path)}))
    assert app.test_client().get("/openapi.json").json["components"]["schemas"]["Row"] == {"type": "object"}
    assert app.test_client().get("/docs").status_code == 200
    app.extensions["refit"].close()


def test_a_category_may_come_as_a_number_or_a_boolean() -> None:
    schema = Schema(
        target="y", classes=("a", "b"), positive_label="b",
        columns=(Column(name="code", kind="category", categories=("0", "12", "007", "true")),),
    )  # fmt: skip
    described = openapi.row_schema(schema)["properties"]["code"]
    assert described["type"] == ["string", "number", "boolean", "null"]


def test_keys_are_documented_where_they_are_required(tmp_path: Path) -> None:
    described = operations.of(create_app(from_values({"home": str(tmp_path)})))
    document = openapi.document(described, None, model_name="m", model_version="", max_rows=10, keys=True)
    assert document["security"] == [{"key": []}]
    assert {"401", "403"} <= document["paths"]["/predict"]["post"]["responses"].keys()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.append(value)
            assert not name.startswith("on"), f"inline script on <{tag}>"
            assert name != "style", f"inline style on <{tag}>"


def test_the_page_needs_no_other_host(app: Flask) -> None:
    """No script, nothing inline, no address but our own, and every reference inside it leads somewhere."""
    answer = app.test_client().get("/docs")
    found = _Links()
    found.feed(answer.text)
    assert "script" not in found.tags
    assert all(link.startswith(("/", "#")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "/predict/file" in answer.text


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_SPEC = openapi.document(
    operations.of(create_app(Settings())), None, model_name="m", model_version="", max_rows=50, keys=False
)
OPERATIONS = sorted((path, method.upper()) for path, methods in _SPEC["paths"].items() for method in methods)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{m} {p}" for p, m in OPERATIONS])
def test_no_answer_is_undocumented_and_none_is_a_500(app: Flask, path: str, method: str) -> None:
    """Generated requests, fitting ones and broken ones: documented status, content type and body, never a 5xx."""
    found = schemathesis.openapi.from_wsgi("/openapi.json", app)
    operation = found[path][method]
    described = _SPEC["paths"][path][method.lower()]
    wrong = described.keys() & {"requestBody", "parameters"}  # else nothing could be generated wrong
    for mode in GenerationMode if wrong else [GenerationMode.POSITIVE]:
        strategy = operation.as_strategy(generation_mode=mode)
        _run(strategy)


def _run(strategy: SearchStrategy[schemathesis.Case]) -> None:
    """Generate cases and hold each answer to the document."""

    @settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    call()


def test_the_document_is_valid_openapi(app: Flask) -> None:
    document = app.test_client().get("/openapi.json").json
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    answer = app.test_client().post("/predict", json={"rows": [ROW]}).json
    resolved = {"$ref": "#/components/schemas/Predictions", "components": document["components"]}
    Draft202012Validator(resolved).validate(answer)


GENERATOR = (
    "openapi-python-client==0.29.1", "ruamel.yaml==0.19.1", "openapi-spec-validator==0.9.0",
    "openapi-schema-validator==0.9.0", "jsonschema-path==0.5.0", "pathable==0.6.0", "pydantic-settings==2.16.3",
    "lazy-object-proxy==1.13.0",
)  # fmt: skip


@pytest.mark.stack
def test_a_generated_client_has_every_route_and_works(tmp_path: Path) -> None:
    """openapi-python-client, unchanged, of a model with every kind of column; a valid document by another's word."""
    python = python_with(*GENERATOR)
    columns = (
        Column(name="n0", kind="number", minimum=0.0, maximum=1.0, example=0.5),
        Column(name="code", kind="category", categories=("0", "12", "007")),
        Column(name="flag", kind="category", categories=("True", "False")),
    )
    schema = Schema(target="y", classes=("a", "b"), positive_label="b", columns=columns)
    described = operations.of(create_app(from_values({"home": str(tmp_path / "home")})))
    document = openapi.document(described, schema, model_name="m", model_version="3", max_rows=50, keys=True)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    check = [python, "-m", "openapi_spec_validator", "openapi.json"]
    subprocess.run(check, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    generate = [python, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"]
    done = subprocess.run(
        [*generate, "--output-path", "generated"], cwd=tmp_path, timeout=120, capture_output=True, text=True, check=True
    )
    assert "Endpoint will not be generated" not in done.stdout + done.stderr
    assert "Unable to" not in done.stdout + done.stderr
    table = (tmp_path / "generated" / "api" / "predict" / "post_predict_file.py").read_text()
    assert '_kwargs["content"] = body.payload' in table, "a table as it is, besides the form"
    routes = {path.stem for path in (tmp_path / "generated" / "api").rglob("*.py")} - {"__init__"}
    named = {method["operationId"] for path in document["paths"].values() for method in path.values()}
    assert routes == {name.replace(".", "_") for name in named}
