"""Properties over generated rows and bodies: no input makes a 500 or a NaN, and one row is as good as many."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.mixed import application

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300)
texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["red", "green", ""])
fitting = st.fixed_dictionaries({"n0": numbers, "n1": numbers, "c0": texts})
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n0", "n1", "c0", "x"]), inner, max_size=4)
    ),
    max_leaves=6,
)
KINDS = ["application/json", "text/csv", "application/vnd.apache.parquet", "application/gzip", "", "x/y", ";;"]
PATHS = ("/predict", "/explain", "/feedback", "/actions", "/invocations", "/v2/models/One_Customer_Classifier/infer")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with application(tmp_path_factory.mktemp("properties")) as app:
        yield app


def predictions(app: Flask, rows: list[Any]) -> list[dict[str, Any]]:
    answer = app.test_client().post("/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["predictions"]
    return found


@QUICK
@given(rows=st.lists(fitting, min_size=1, max_size=8))
def test_rows_that_fit_get_finite_probabilities_that_sum_to_one(app: Flask, rows: list[Any]) -> None:
    """Whatever the numbers and texts: huge, tiny, missing, unseen."""
    for one in predictions(app, rows):
        assert all(math.isfinite(p) and 0 <= p <= 1 for p in one["probabilities"].values())
        assert math.isclose(sum(one["probabilities"].values()), 1, abs_tol=1e-5)
        assert one["probability"] == one["probabilities"][one["label"]]


@QUICK
@given(rows=st.lists(fitting, min_size=2, max_size=8))
def test_a_row_alone_is_answered_as_among_others(app: Flask, rows: list[Any]) -> None:
    """Identical numbers and warnings, whatever else is in the request."""
    together = predictions(app, rows)
    for row, one in zip(rows, together, strict=True):
        (alone,) = predictions(app, [row])
        assert {k: v for k, v in alone.items() if k != "prediction_id"} == {
            k: v for k, v in one.items() if k != "prediction_id"
        }


@QUICK
@given(row=fitting)
def test_every_protocol_gives_the_same_numbers(app: Flask, row: dict[str, Any]) -> None:
    client = app.test_client()
    (one,) = predictions(app, [row])
    mlflow = client.post("/invocations", json={"dataframe_records": [row]}).json["predictions"][0]
    assert mlflow["probability_yes"] == one["probabilities"]["yes"]
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if name == "c0" else "FP64", "data": [row[name]]}
        for name in row
    ]
    inferred = client.post(PATHS[-1], json={"inputs": inputs}).json["outputs"]
    assert inferred[2]["data"] == list(one["probabilities"].values())
    (explained,) = client.post("/explain?changes=false", json={"rows": [row]}).json["explanations"]
    assert explained["probability"] == one["probability"]
    total = explained["baseline"] + sum(share["attribution"] for share in explained["attributions"])
    assert math.isclose(total, explained["score"], abs_tol=1e-5)


@QUICK
@given(content=anything, path=st.sampled_from(PATHS))
def test_no_json_makes_a_server_error(app: Flask, content: Any, path: str) -> None:
    """Python's json writes NaN and Infinity, so these come too."""
    for body in (
        content,
        {"rows": content},
        {"rows": [content]},
        {"inputs": content},
        {"dataframe_records": [content]},
    ):
        answer = app.test_client().post(path, data=json.dumps(body), content_type="application/json")
        assert answer.status_code < 500, (path, body)


@QUICK
@given(body=st.binary(max_size=60), path=st.sampled_from((*PATHS, "/predict/file")), kind=st.sampled_from(KINDS))
def test_no_bytes_make_a_server_error(app: Flask, body: bytes, path: str, kind: str) -> None:
    answer = app.test_client().post(path, data=body, headers={"Content-Type": kind})
    answer.close()
    assert answer.status_code < 500


@QUICK
@given(
    rows=st.lists(fitting, min_size=1, max_size=5),
    at=st.integers(0, 4),
    value=st.sampled_from(["?", "1,234", {}]) | st.lists(numbers, max_size=2),
)
def test_a_wrong_cell_is_named_by_row_and_column(app: Flask, rows: list[Any], at: int, value: Any) -> None:
    at %= len(rows)
    spoiled = [row | ({"n1": value} if i == at else {}) for i, row in enumerate(rows)]
    answer = app.test_client().post("/predict", json={"rows": spoiled})
    assert answer.status_code == 422
    fault = answer.json["errors"][0]
    assert (fault["row"], fault["column"], fault["expected"]) == (at, "n1", "a finite number or null")
    assert fault["expected_code"] == "rows.finite_number"
