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
        "0.871 (0.830 – 0.910)", "0.891 (0.850 – 0.930)", "+0.0200, within the error"
    ]  # fmt: skip
    assert rows["lr"][:2] == ["0.1", "0.01"]
    assert rows["dropout"][:2] == ["0.5", "–"]
    assert "Each was measured on the test rows of its own snapshot" in text
    assert "columns new: n0" in text
    assert '<a href="/models/2">2</a>' in text
    assert "1 parameters are the same" in text
    back = _rows(client.get("/models?from=3&to=2").text)
    assert back["Accuracy"][2] == "-0.0200, within the error"


def test_the_gate_is_quoted_where_it_judged_the_one_against_the_other(client: FlaskClient) -> None:
    """By which both were measured on the same rows; in either order."""
    for query in ("from=2&to=3", "from=3&to=2"):
        text = client.get(f"/models?{query}").text
        assert re.search(
            r"On the same 500 rows the log-loss of version 3 is better than that of version 2 by 0\.\d+ nats a row, "
            r"between 0\.\d+ and 0\.\d+ \(each bound with 95\.0% confidence\)",
            text,
        )
    assert "On the same" not in client.get("/models?from=2&to=4").text


def test_a_gain_of_a_loss_is_a_fall(client: FlaskClient) -> None:
    with client.application.test_request_context("/models"):
        assert _difference("log_loss", (0.4,), (0.3,)) == ("-0.1000 ▲ better", "good")
        assert _difference("accuracy", (0.4,), (0.3,)) == ("-0.1000 ▼ worse", "warn")
        assert _difference("accuracy", (0.4,), (0.40004,)) == ("the same", "")
        assert _difference("f1", (None,), (0.3,)) == ("", "")


def _difference(
    name: str, x: tuple[float | None, ...], y: tuple[float | None, ...], paired: tuple[float, float] | None = None
) -> tuple[str, str]:
    one, other = ((*measured, None, None)[:3] for measured in (x, y))
    return comparison._difference(name, one, other, paired)  # type: ignore[arg-type]


WITHIN = ("+0.0200, within the error", "")
BETTER = ("+0.0200 ▲ better", "good")


@pytest.mark.parametrize(
    ("bounds", "paired", "told"),
    [
        pytest.param(((0.83, 0.91), (0.85, 0.93)), None, WITHIN, id="overlapping"),
        pytest.param(((0.865, 0.875), (0.885, 0.895)), None, BETTER, id="apart"),
        pytest.param(((0.83, 0.91), (0.85, 0.93)), (0.01, 0.03), BETTER, id="better on the same rows"),
        pytest.param(((0.865, 0.875), (0.885, 0.895)), (-0.01, 0.03), WITHIN, id="undecided on the same rows"),
        pytest.param(((0.83, 0.91), (0.85, 0.93)), (-0.03, -0.01), WITHIN, id="worse on the same rows"),
    ],
)
def test_what_chance_may_have_made_is_not_called_better(
    client: FlaskClient,
    bounds: tuple[tuple[float, float], tuple[float, float]],
    paired: tuple[float, float] | None,
    told: tuple[str, str],
) -> None:
    with client.application.test_request_context("/models"):
        assert _difference("accuracy", (0.871, *bounds[0]), (0.891, *bounds[1]), paired) == told


def test_the_gates_gain_is_of_the_version_that_comes_second() -> None:
    judged = comparison.Judged("3", "2", {"accuracy_gain": {"lower": 0.01, "upper": 0.03}})
    assert comparison._paired_bounds(judged, "accuracy", "3") == (0.01, 0.03)
    assert comparison._paired_bounds(judged, "accuracy", "2") == (-0.03, -0.01)
    assert comparison._paired_bounds(judged, "f1", "3") is None


@pytest.mark.parametrize(
    ("lang", "gain", "told"),
    [
        (
            "en",
            (-0.001, -0.0015, -0.0005),
            "is worse than that of version 2 by 0.0010 nats a row, between 0.0005 and 0",
        ),
        (
            "vi",
            (-0.001, -0.0015, -0.0005),
            "kém hơn phiên bản 2: log-loss cao hơn 0,0010 nat mỗi dòng, trong khoảng từ 0,0005 đến 0,0015",
        ),
        ("en", (-0.001, -0.002, 0.001), "cannot be told from that of version 2: the gain is -0.0010 nats a row"),
        ("vi", (-0.001, -0.002, 0.001), "chưa phân biệt được với phiên bản 2: mức cải thiện là -0,0010 nat mỗi dòng"),
        ("en", (0.00001, -0.002, 0.001), "they answer alike"),
    ],
)
def test_a_gain_is_told_as_what_it_is(
    client: FlaskClient, lang: str, gain: tuple[float, float, float], told: str
) -> None:
    """A loss is no negative gain, and where the interval has zero in it nobody knows."""
    bound = dict(zip(("mean", "lower", "upper"), gain, strict=True)) | {"rows": 500}
    with client.application.test_request_context(f"/models?lang={lang}"):
        (text,) = comparison._told("3", "2", {"confidence": 0.95, "gain": bound})
        assert told in text


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ((0.001, -0.004, 0.006), "cannot be told apart: it differs by +0.1 points, between -0.4 and +0.6"),
        ((0.01, 0.004, 0.016), "Its accuracy there differs by +1.0 points, between +0.4 and +1.6"),
    ],
)
def test_an_accuracy_is_told_apart_only_where_it_is(
    client: FlaskClient, gain: tuple[float, float, float], told: str
) -> None:
    bound = dict(zip(("mean", "lower", "upper"), gain, strict=True)) | {"rows": 500}
    with client.application.test_request_context("/models"):
        assert told in next(comparison._told("3", "2", {"confidence": 0.95, "accuracy_gain": bound}))


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
    assert "within the error" in client.get("/models?from=2&to=3").text
    for schema in (tmp_path / "var" / "serving" / "versions").rglob("schema.json"):
        found = msgspec.json.decode(schema.read_bytes())
        if schema.parent == sorted((tmp_path / "var" / "serving" / "versions").iterdir())[0]:
            found["target"] = "another"
            schema.write_bytes(msgspec.json.encode(found))
    text = client.get("/models?from=2&to=3").text
    assert not re.search("▲|▼|within the error", text)


def test_what_is_not_known_is_not_judged(client: FlaskClient) -> None:
    """NaN is no number that the other one is better than."""
    nan = float("nan")
    with client.application.test_request_context("/models?lang=en"):
        bounded = comparison._with_bounds({"value": nan, "low": nan, "high": nan})
        assert bounded == (None, None, None)
        assert comparison._difference("accuracy", bounded, (0.9, None, None), None) == ("", "")
        gain = {"mean": nan, "lower": nan, "upper": nan, "rows": 500}
        assert list(comparison._told("3", "2", {"confidence": 0.95, "gain": gain})) == []
