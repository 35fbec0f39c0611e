"""Two versions side by side: what changed, which is better, and what the gate measured of both."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.pages.models import comparison
from serving.status import reader
from tests.serving import showcase
from tests.serving.tiny import settings_for


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    yield app.test_client()
    app.extensions["refit"].close()


def _rows(text: str) -> dict[str, list[str]]:
    part = text[text.index('id="changed"') : text.index('id="ledger"')]
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', part)
    return {html.unescape(name): re.findall(r"<td>(.*?)</td>", cells) for name, cells in found}


def test_two_versions_are_chosen_by_the_address(client: FlaskClient) -> None:
    text = client.get("/models?from=2&to=3").text
    rows = _rows(text)
    assert rows["Accuracy"] == [
        "0.871 (0.830 – 0.910)", "0.891 (0.850 – 0.930)", '<span class="chip good">+0.0200 ▲ better</span>'
    ]  # fmt: skip
    assert rows["lr"][:2] == ["0.1", "0.01"]
    assert rows["dropout"][:2] == ["0.5", "–"]
    assert "Each was measured on the test rows of its own snapshot" in text
    assert "columns new: n0" in text
    assert '<a href="/models/2">2</a>' in text
    assert "1 parameters are the same" in text
    back = _rows(client.get("/models?from=3&to=2").text)
    assert back["Accuracy"][2] == '<span class="chip warn">-0.0200 ▼ worse</span>'


def test_the_gate_is_quoted_where_it_judged_the_one_against_the_other(client: FlaskClient) -> None:
    """By which both were measured on the same rows; in either order."""
    for query in ("from=2&to=3", "from=3&to=2"):
        text = client.get(f"/models?{query}").text
        assert re.search(
            r"On the same 500 rows the log-loss of version 3 is better than that of version 2 by \+0\.\d+ nats a row, "
            r"between \+0\.\d+ and \+0\.\d+ \(each bound with 95\.0% confidence\)",
            text,
        )
    assert "On the same" not in client.get("/models?from=2&to=4").text


def test_a_gain_of_a_loss_is_a_fall(client: FlaskClient) -> None:
    with client.application.test_request_context("/models"):
        assert comparison._difference("log_loss", 0.4, 0.3) == ("-0.1000 ▲ better", "good")
        assert comparison._difference("accuracy", 0.4, 0.3) == ("-0.1000 ▼ worse", "warn")
        assert comparison._difference("accuracy", 0.4, 0.40004) == ("the same", "")
        assert comparison._difference("f1", None, 0.3) == ("", "")


def test_without_files_the_list_of_versions_must_do(client: FlaskClient) -> None:
    text = client.get("/models?from=3&to=4").text
    assert "The files of version 4 are not here" in text
    assert _rows(text)["Accuracy"][1] == "0.890 (0.870 – 0.910)"


def test_one_version_alone_is_compared_with_nothing(client: FlaskClient) -> None:
    folder = client.application.extensions["refit"].folder
    kept = reader.read(folder)
    reader.write(folder, msgspec.structs.replace(kept, versions=kept.versions[:1]))
    assert 'id="changed"' not in client.get("/models").text


def test_figures_of_another_question_are_neither_better_nor_worse(client: FlaskClient, tmp_path: Path) -> None:
    assert "▲" in client.get("/models?from=2&to=3").text + client.get("/models?from=3&to=2").text
    for schema in (tmp_path / "var" / "serving" / "versions").rglob("schema.json"):
        found = msgspec.json.decode(schema.read_bytes())
        if schema.parent == sorted((tmp_path / "var" / "serving" / "versions").iterdir())[0]:
            found["target"] = "another"
            schema.write_bytes(msgspec.json.encode(found))
    text = client.get("/models?from=2&to=3").text
    assert "▲" not in text
    assert "▼" not in text
