"""`POST /feedback`: one, many, CSV; all or none; labels that the model knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from ml.exploration.policy import Action
from serving.api import feedback
from serving.prediction_log.records import Actions
from tests.serving import mixed
from tests.serving.mixed import logged_labels

ONE = {"prediction_id": "a", "label": "yes"}


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (ONE, [("a", "yes")]),
        ([ONE, {"prediction_id": "b", "label": "no"}], [("a", "yes"), ("b", "no")]),
        ({"feedback": [ONE]}, [("a", "yes")]),
        ([ONE, ONE], [("a", "yes"), ("a", "yes")]),
        ({"prediction_id": 71, "label": "yes"}, [("71", "yes")]),
    ],
    ids=["one", "list", "wrapped", "repeated", "a number as id"],
)
def test_labels_are_written(app: Flask, tmp_path: Path, content: Any, labels: list[tuple[str, str]]) -> None:
    answer = app.test_client().post("/feedback", json=content)
    assert (answer.status_code, answer.json) == (200, {"accepted": len(labels)})
    assert logged_labels(tmp_path) == labels


def test_an_empty_text_that_came_is_told_as_one(app: Flask) -> None:
    """`got` is always there, as documented."""
    [fault] = app.test_client().post("/feedback", json=[""]).get_json()["errors"]
    assert fault["got"] == "the text ''"


def test_a_number_as_id_is_its_text_at_every_entrance(app: Flask) -> None:
    """The ids of a table are numbers in JSON and text in its CSV: the label finds the prediction either way."""
    client = app.test_client()
    row = {**mixed.ROW, "prediction_id": 71}
    [one] = client.post("/predict", json={"rows": [row]}).get_json()["predictions"]
    [two] = client.post("/predict", json={"rows": [mixed.ROW], "prediction_ids": [72]}).get_json()["predictions"]
    assert (one["prediction_id"], two["prediction_id"]) == ("71", "72")
    wrong = client.post("/predict", json={"rows": [mixed.ROW], "prediction_ids": [True]})
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    "csv",
    [
        "prediction_id,label\na,yes\nb,no\n",
        "label,prediction_id\r\nyes,a\r\nno,b",
        "﻿prediction_id,label\na,yes\nb,no\n",
    ],
)
def test_a_csv_is_taken_in_any_order_of_its_columns(app: Flask, tmp_path: Path, csv: str) -> None:
    answer = app.test_client().post("/feedback", data=csv.encode(), content_type="text/csv")
    assert answer.json == {"accepted": 2}
    assert logged_labels(tmp_path) == [("a", "yes"), ("b", "no")]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ({}, 422, "prediction_id"),
        ("x", 422, "prediction_id"),
        ([ONE, {"prediction_id": "b", "label": "maybe"}], 422, "rows[1], column 'label': expected one of 'no', 'yes'"),
        ([ONE, {"prediction_id": "", "label": "yes"}], 422, "rows[1], column 'prediction_id'"),
        ([ONE, {"prediction_id": 7.0, "label": "yes"}], 422, "rows[1], column 'prediction_id'"),
        ([ONE, {"prediction_id": "b"}], 422, "rows[1], column 'label'"),
        ([ONE, 7], 422, "rows[1]"),
        ([ONE | {"weight": 1}], 422, "'weight'"),
        ({"feedback": [ONE], "x": 1}, 422, "prediction_id"),
    ],
    ids=["empty", "text", "label", "id", "id with a point", "no label", "number", "other key", "beside feedback"],
)
def test_nothing_is_written_when_one_is_wrong(app: Flask, tmp_path: Path, content: Any, status: int, said: str) -> None:
    answer = app.test_client().post("/feedback", json=content)
    assert answer.status_code == status
    assert said in answer.json["detail"]
    assert logged_labels(tmp_path) == []


@pytest.mark.parametrize(
    ("csv", "status", "said"),
    [
        (b"", 422, "line 1"),
        (b"id,label\na,yes\n", 422, "line 1: expected the columns prediction_id and label"),
        (b"prediction_id,label\na,yes\nb\n", 422, "line 3: expected 2 fields as in the header, got 1"),
        (b"prediction_id,label\na,yes,no\n", 422, "line 2: expected 2 fields as in the header, got 3"),
        (b"prediction_id,label\na,perhaps\n", 422, "line 2, column 'label'"),
        (b'prediction_id,label\na,yes\n"b\nc",no,x\n', 422, "line 3: expected 2 fields as in the header, got 3"),
        (b'prediction_id,label\na,yes\n"b,yes\n', 400, "expected CSV in UTF-8, got something else: line 3: the quotes"),
        (b"\xff\xfe", 400, "expected CSV in UTF-8"),
    ],
    ids=["empty", "header", "short", "long", "label", "line break", "quote", "utf-8"],
)
def test_a_wrong_csv_is_refused_by_line(app: Flask, tmp_path: Path, csv: bytes, status: int, said: str) -> None:
    answer = app.test_client().post("/feedback", data=csv, content_type="text/csv")
    assert answer.status_code == status
    assert said in answer.json["detail"]
    assert logged_labels(tmp_path) == []


def test_broken_bodies_and_other_types_are_refused(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/feedback", data=b"{", content_type="application/json").status_code == 400
    assert client.post("/feedback", data=json.dumps(ONE), content_type="text/plain").status_code == 415


# What followed

ACTION = {"prediction_id": "a", "action": "approve", "propensity": 0.25}


def told(home: Path) -> list[tuple[str, Any]]:
    return [(one.prediction_id, one.action) for r in mixed.logged(home) if isinstance(r, Actions) for one in r.actions]


@pytest.mark.parametrize("content", [ACTION, [ACTION], {"actions": [ACTION]}], ids=["one", "list", "wrapped"])
def test_what_followed_is_written(app: Flask, tmp_path: Path, content: Any) -> None:
    answer = app.test_client().post("/actions", json=content)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1})
    assert told(tmp_path) == [("a", Action("approve", 0.25, 1.0))]


def test_a_caller_may_not_know_the_propensity(app: Flask, tmp_path: Path) -> None:
    assert app.test_client().post("/actions", json={"prediction_id": 7, "action": "call"}).status_code == 200
    assert told(tmp_path) == [("7", Action("call", None, 1.0))]


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"propensity": 0}, "propensity"),
        ({"propensity": -0.1}, "propensity"),
        ({"propensity": 1.0001}, "propensity"),
        ({"propensity": "0.5"}, "propensity"),
        ({"propensity": True}, "propensity"),
        ({"propensity": 10**400}, "propensity"),
        ({"action": ""}, "action"),
        ({"action": "x" * 101}, "action"),
        ({"action": "a\nb"}, "action"),
        ({"action": None}, "action"),
        ({"action": ["approve"]}, "action"),
        ({"prediction_id": ""}, "prediction_id"),
        ({"prediction_id": "x" * 201}, "prediction_id"),
        ({"label": "yes"}, "label"),
    ],
    ids=str,
)
def test_an_action_that_is_none_is_refused_with_its_place(
    app: Flask, tmp_path: Path, changed: dict[str, Any], column: str
) -> None:
    """And of the others of the request nothing is written."""
    body = json.dumps([ACTION, ACTION | changed])
    answer = app.test_client().post("/actions", data=body, content_type="application/json")
    if 10**400 in changed.values():
        assert answer.status_code in (400, 422)
    else:
        assert answer.status_code == 422
        assert [(e["row"], e["column"]) for e in answer.get_json()["errors"]] == [(1, column)]
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "status"), [({}, 422), ("x", 422), ([1], 422), ({"actions": [], "more": 1}, 422), ([], 200)], ids=str
)
def test_another_form_is_refused(app: Flask, tmp_path: Path, content: Any, status: int) -> None:
    assert app.test_client().post("/actions", json=content).status_code == status
    assert told(tmp_path) == []


def test_too_many_actions_are_refused(app: Flask) -> None:
    answer = app.test_client().post("/actions", json=[ACTION] * (feedback.MAX_LABELS + 1))
    assert answer.status_code == 413


def test_actions_are_json(app: Flask) -> None:
    answer = app.test_client().post("/actions", data=b"prediction_id,action", content_type="text/csv")
    assert answer.status_code == 415
