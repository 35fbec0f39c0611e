"""Explanations of a model of three classes, for rows with everything missing or never seen: by API and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from ml.explain.explainer import BACKGROUND_SUMMARY
from ml.settings import from_values
from serving.app import create_app
from serving.model.store import Pointer, write_pointer
from tests.ml.explain.bundles import made

NAMES = [*(f"n{i}" for i in range(5)), "c0", "c1"]
MISSING: dict[str, Any] = dict.fromkeys(NAMES)
UNSEEN = {**dict.fromkeys(NAMES[:5], 1e30), "c0": "never seen", "c1": "<b>"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    folder = home / "var" / "serving"
    bundle = made(folder / "cache", "hist_gradient_boosting", 3)
    write_pointer(folder, Pointer("1", f"cache/{bundle.path.name}", bundle.sha256))
    return home


@pytest.fixture
def app(home: Path) -> Iterator[Flask]:
    app = create_app(from_values({"home": str(home)}))
    yield app
    app.extensions["refit"].close()


@pytest.mark.parametrize("row", [MISSING, UNSEEN], ids=["missing", "unseen"])
def test_the_answered_class_is_explained(app: Flask, row: dict[str, Any]) -> None:
    """And the changes that are offered lead to other classes."""
    client = app.test_client()
    (one,) = client.post("/explain", json={"rows": [row]}).json["explanations"]
    assert one["explained_class"] == one["label"]
    assert one["baseline"] + sum(share["attribution"] for share in one["attributions"]) == pytest.approx(one["score"])
    assert one["background_rows"] == 100
    for change in one["changes"]:
        (other,) = client.post("/predict", json={"rows": [row | {change["column"]: change["new"]}]}).json["predictions"]
        assert other["label"] == change["label"] != one["label"]


@pytest.mark.parametrize("row", [MISSING, UNSEEN], ids=["missing", "unseen"])
def test_the_page_shows_every_column(app: Flask, row: dict[str, Any]) -> None:
    """Texts of the row never become markup."""
    form = {f"c{i}": "" if row[name] is None else str(row[name]) for i, name in enumerate(NAMES)}
    client = app.test_client()
    answer = client.post("/", data=form)
    assert answer.status_code == 200
    page = answer.get_data(as_text=True)
    for name in NAMES:
        assert name in page
    (one,) = client.post("/explain", json={"rows": [row]}).json["explanations"]
    largest = one["attributions"][0]
    assert f"{largest['attribution']:+.4f}" in page
    assert "<b>" not in page


def test_a_version_that_cannot_explain_still_answers(app: Flask) -> None:
    """`/explain` says so; the page leaves the reasons out."""
    one = app.extensions["refit"]
    one.start()
    summary = one.served().bundle.path / BACKGROUND_SUMMARY
    written = summary.read_bytes()
    summary.write_bytes(b'{"method": "guess"}')
    try:
        client = app.test_client()
        answer = client.post("/explain", json={"rows": [MISSING]})
        assert answer.status_code == 409
        assert "cannot explain" in answer.json["detail"]
        assert client.post("/", data={f"c{i}": "" for i in range(len(NAMES))}).status_code == 200
    finally:
        summary.write_bytes(written)
