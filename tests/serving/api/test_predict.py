"""What follows an answer: told beside it at every entrance, logged with it, and not there without a policy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient

from ml.exploration.policy import Action, Policy
from ml.settings import Settings, from_values
from serving.api import predict
from serving.app import create_app
from serving.prediction_log.records import Predictions
from tests.serving import mixed

EXPLORE = {"policy": {"no": "lend", "yes": "=decline"}, "share": 0.5, "labelled": ["lend"]}
ROWS = [{**mixed.ROW, "prediction_id": f"row {i}"} for i in range(12)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    mixed.publish(tmp_path)
    return from_values({"home": str(tmp_path), "serving": {"max_rows": 50}, "explore": EXPLORE})


@pytest.fixture
def exploring(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    app.extensions["refit"].close()


@pytest.fixture
def explorer(exploring: Flask) -> FlaskClient:
    return exploring.test_client()


def logged(home: Path) -> dict[str, Action | None]:
    found: dict[str, Action | None] = {}
    for record in mixed.logged(home):
        if isinstance(record, Predictions):
            found |= dict(zip(record.ids, record.actions or [None] * len(record.ids), strict=True))
    return found


def test_the_action_is_told_and_logged(explorer: FlaskClient, settings: Settings, tmp_path: Path) -> None:
    answers = explorer.post("/predict", json={"rows": ROWS}).get_json()["predictions"]
    policy = Policy(settings.explore)
    for answer in answers:
        expected = policy.act(answer["label"], answer["prediction_id"])
        assert expected is not None
        assert (answer["action"], answer["propensity"]) == expected[:2]
        assert logged(tmp_path)[answer["prediction_id"]] == expected
    assert {answer["action"] for answer in answers} == {"lend", "=decline"}


def test_without_a_policy_there_is_none(client: FlaskClient, tmp_path: Path) -> None:
    [answer] = client.post("/predict", json={"rows": [mixed.ROW]}).get_json()["predictions"]
    assert not {"action", "propensity"} & answer.keys()
    assert list(logged(tmp_path).values()) == [None]


def test_the_fast_path_tells_the_same(exploring: Flask) -> None:
    body = b'{"rows": [{"n0": 1.5, "n1": -0.5, "c0": "red", "prediction_id": "row 1"}]}'
    slow = exploring.test_client().post("/predict", data=body, content_type="application/json")
    service = exploring.extensions["refit"]
    fast = predict.answer(service, body, "application/json")
    assert fast.body == slow.data
    assert b'"action":' in fast.body


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_file_gets_both_columns(explorer: FlaskClient, settings: Settings, kind: str) -> None:
    """And no spreadsheet runs an action's name as a formula."""
    table = pd.DataFrame(ROWS).to_csv(index=False).encode()
    answer = explorer.post(f"/predict/file?format={kind}", data=table, content_type="text/csv")
    if kind == "csv":
        found = pd.read_csv(io.BytesIO(answer.data), dtype={"propensity": float})
        found["action"] = found["action"].str.removeprefix("'")
        assert b",'=decline," in answer.data
    else:
        found = (
            pd.read_parquet(io.BytesIO(answer.data)) if kind == "parquet" else pd.DataFrame(answer.json["predictions"])
        )
    policy = Policy(settings.explore)
    for row in found.to_dict("records"):
        expected = policy.act(row["label"], row["prediction_id"])
        assert expected is not None
        assert (row["action"], row["propensity"]) == expected[:2]


def test_the_other_protocols_tell_what_they_log(explorer: FlaskClient, tmp_path: Path) -> None:
    answer = explorer.post("/invocations", json={"dataframe_records": [mixed.ROW] * 3}).get_json()
    found = logged(tmp_path)
    assert [(one["action"], one["propensity"]) for one in answer["predictions"]] == [
        found[key][:2] for key in answer["prediction_ids"] if found[key] is not None
    ]  # type: ignore[index]
    name = explorer.get("/v2/models").get_json()["models"][0]
    assert "action" in [one["name"] for one in explorer.get(f"/v2/models/{name}").get_json()["outputs"]]
    inputs = [
        {"name": key, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for key, value in mixed.ROW.items()
    ]
    outputs = {
        one["name"]: one["data"]
        for one in explorer.post(f"/v2/models/{name}/infer", json={"inputs": inputs}).get_json()["outputs"]
    }
    action = logged(tmp_path)[outputs["prediction_id"][0]]
    assert action is not None
    assert outputs["action"] == [action.name]
