"""`POST /explain` over HTTP: declared form, sums, limits, nothing logged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from flask import Flask

from serving.api import explain, schemas
from tests.serving.mixed import ROW, logged_ids


def test_the_answer_has_the_declared_form_and_adds_up(app: Flask, tmp_path: Path) -> None:
    """Nothing of it is logged: an explanation is no prediction."""
    answer = app.test_client().post("/explain", json={"rows": [ROW, ROW | {"n0": None, "c0": "blue"}]})
    assert answer.status_code == 200
    decoded = msgspec.json.decode(answer.data, type=schemas.Explanations)
    assert decoded.model_version == answer.headers["X-Model-Version"] == "3"
    for one in decoded.explanations:
        total = one.baseline + sum(share.attribution for share in one.attributions)
        assert total == pytest.approx(one.score, abs=1e-5)
        assert {share.column for share in one.attributions} == {"n0", "n1", "c0"}
        shares = [abs(share.attribution) for share in one.attributions]
        assert shares == sorted(shares, reverse=True)
    assert decoded.explanations[1].warnings[0].code == "unseen_category"
    assert next(share.value for share in decoded.explanations[1].attributions if share.column == "n0") is None
    assert logged_ids(tmp_path) == []


def test_what_would_change_the_answer_really_changes_it(app: Flask) -> None:
    client = app.test_client()
    (one,) = client.post("/explain", json={"rows": [ROW]}).json["explanations"]
    assert one["changes"]
    for change in one["changes"]:
        (other,) = client.post("/predict", json={"rows": [ROW | {change["column"]: change["new"]}]}).json["predictions"]
        assert other["label"] == change["label"] != one["label"]
        assert other["probability"] == pytest.approx(change["probability"], abs=1e-6)


def test_values_are_told_as_they_were_sent(app: Flask) -> None:
    """Not with the digits that float32 adds."""
    (one,) = app.test_client().post("/explain", json={"rows": [ROW | {"n0": 0.3, "n1": -0.7}]}).json["explanations"]
    assert {share["column"]: share["value"] for share in one["attributions"]} == {"n0": 0.3, "n1": -0.7, "c0": "red"}


def test_changes_can_be_left_out(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/explain?changes=false", json={"rows": [ROW]}).json["explanations"][0]["changes"] == []
    assert client.post("/explain?changes=perhaps", json={"rows": [ROW]}).status_code == 422


def test_rows_are_validated_and_limited(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.test_client()
    assert client.post("/explain", json={"rows": [{"n0": "x", "n1": 1, "c0": "red"}]}).status_code == 422
    monkeypatch.setattr(explain, "MAX_ROWS", 2)
    assert client.post("/explain", json={"rows": [ROW] * 3}).status_code == 413
    assert client.post("/explain", data=b"x", content_type="text/plain").status_code == 415


def test_a_version_without_background_rows_says_so(app: Flask) -> None:
    one = app.extensions["refit"]
    one.start()
    (one.served().bundle.path / "background.json").unlink()
    answer = app.test_client().post("/explain", json={"rows": [ROW]})
    assert answer.status_code == 409
    assert "background" in answer.json["detail"]


def test_the_page_gets_the_same_numbers(app: Flask) -> None:
    """`of_row` is what the form's answer shows."""
    (one,) = app.test_client().post("/explain", json={"rows": [ROW]}).json["explanations"]
    served = app.extensions["refit"].served()
    rows = explain.score.reader(served).records([ROW])
    shown = explain.of_row(served, rows)
    assert shown.toward == one["explained_class"]
    assert shown.columns == [share["column"] for share in one["attributions"]]
    assert shown.contributions == [share["attribution"] for share in one["attributions"]]
    assert shown.probability_shares == [share["probability_share"] for share in one["attributions"]]
    assert shown.errors == [share["standard_error"] for share in one["attributions"]]
    assert str(shown.changes[0]).startswith(one["changes"][0]["column"])
