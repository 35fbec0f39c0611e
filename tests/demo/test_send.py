"""A table that is sent predicts in time order, sends labels late, and sends nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from demo import send
from demo.traffic import Client, Delayed, ServiceUnavailable
from ml.errors import DataError, Permanent
from tests import fake_http
from tests.ml import worlds


class Service(fake_http.Handler):
    """A service in small: answers "1" where x0 > 0. `failures` requests are cut off before an answer."""

    protocol_version = "HTTP/1.1"
    log: list[tuple[str, Any]]
    failures = 0

    def do_GET(self) -> None:
        self.answer(200, {"model_version": "1", "schema": msgspec.to_builtins(worlds.SCHEMA)})

    def do_POST(self) -> None:
        kind = type(self)
        body = self.body()
        kind.log.append((self.path, body))
        if kind.failures:
            kind.failures -= 1
            self.close_connection = True
            return
        if self.path == "/feedback":
            self.answer(200, {"accepted": len(body["feedback"])})
        elif any(row["x0"] is None for row in body["rows"]):
            self.answer(422, {"detail": "row 0, column 'x0': missing"})
        else:
            found = [
                {"prediction_id": key, "label": "1" if row["x0"] > 0 else "0"}
                for key, row in zip(body["prediction_ids"], body["rows"], strict=True)
            ]
            self.answer(200, {"model_version": "1", "predictions": found})


@pytest.fixture
def service() -> Iterator[tuple[Client, type[Service]]]:
    kind = type("Fresh", (Service,), {"log": []})
    with fake_http.serving(kind) as port:
        client = Client(f"http://127.0.0.1:{port}")
        yield client, kind
        client.close()


def table(n: int = 100) -> pd.DataFrame:
    frame, y, _ = worlds.draw(n, 7)
    return frame.astype({f"x{i}": object for i in range(4)}).assign(y=y)


def test_every_row_is_predicted_once_and_labelled_once(service: tuple[Client, type[Service]]) -> None:
    """In the table's order; the labels go with the ids of the answers."""
    client, kind = service
    frame = table()
    results = list(send.send(client, frame, "y", windows=4, batch=7))
    rows = [row for path, body in kind.log if path == "/predict" for row in body["rows"]]
    assert [row["x0"] for row in rows] == frame["x0"].tolist()
    asked = [key for path, body in kind.log if path == "/predict" for key in body["prediction_ids"]]
    told = {
        item["prediction_id"]: item["label"]
        for path, body in kind.log
        if path == "/feedback"
        for item in body["feedback"]
    }
    assert [told[key] for key in asked] == frame["y"].tolist()
    assert sum(r.rows for r in results) == 100
    expected = ((frame["x0"].astype(float) > 0) == (frame["y"] == "1")).mean()
    assert sum(r.accuracy * r.rows for r in results) / 100 == pytest.approx(expected)
    assert results[0].versions == ("1",)


def test_labels_wait_for_their_delay(service: tuple[Client, type[Service]]) -> None:
    """Until then the service knows nothing of them."""
    client, kind = service
    labels = Delayed(client, 10.0)
    labels.later([("a", "1")], now=100.0)
    labels.later([("b", "0")], now=105.0)
    assert labels.send(109.0) == 0
    assert labels.send(111.0) == 1
    assert labels.flush() == 1
    assert [len(body["feedback"]) for _, body in kind.log] == [1, 1]


def test_broken_request_is_sent_again_with_the_same_ids(
    service: tuple[Client, type[Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service logs a repeated id once, so nothing is doubled."""
    client, kind = service
    monkeypatch.setattr("demo.traffic.PAUSE_S", 0.0)
    kind.failures = 2
    client.predict(send.records(table(3), worlds.SCHEMA))
    ids = [tuple(body["prediction_ids"]) for _, body in kind.log]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert (client.requests, client.retried) == (1, 2)


def test_service_that_is_down_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """After several tries, with its address."""
    monkeypatch.setattr("demo.traffic.PAUSE_S", 0.0)
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9 does not answer GET /model"):
        Client("http://127.0.0.1:9").model()


def test_refused_row_is_an_error_with_the_service_s_words(service: tuple[Client, type[Service]]) -> None:
    """And is not sent again."""
    client, kind = service
    with pytest.raises(DataError, match="column 'x0': missing"):
        list(send.send(client, table().assign(x0=None), "y"))
    assert len(kind.log) == 1


def test_rows_are_json_values_of_the_model_s_columns() -> None:
    """Numbers from text, None for missing, other columns left out."""
    frame = pd.DataFrame({f"x{i}": ["1.5", "", None] for i in range(4)} | {"c": ["a", "b", float("nan")], "extra": 1})
    rows = send.records(frame, worlds.SCHEMA)
    assert rows[0] == {"x0": 1.5, "x1": 1.5, "x2": 1.5, "x3": 1.5, "c": "a"}
    assert rows[1]["x0"] is None
    assert rows[2]["c"] is None


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"x0": [1]}), "column 'x1'"),
        (pd.DataFrame({f"x{i}": ["many"] for i in range(4)} | {"c": ["a"]}), "expected a number, got 'many'"),
    ],
    ids=["missing column", "text"],
)
def test_table_that_does_not_fit_names_the_place(frame: pd.DataFrame, words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(DataError, match=words):
        send.records(frame, worlds.SCHEMA)


def test_table_is_read_in_time_order_by_the_json_beside_it(tmp_path: Path) -> None:
    """Target, time column and missing markers need not be typed."""
    file = tmp_path / "t.csv"
    file.write_text("when,x,label\n2026-03-01,1,a\n2026-01-01,?,b\n2026-02-01,3,c\n")
    file.with_suffix(".json").write_text('{"target": "label", "time_column": "when", "missing_markers": ["?"]}')
    frame, target = send.read(file)
    assert target == "label"
    assert frame["label"].tolist() == ["b", "c", "a"]
    assert frame["x"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [("none.csv", "y", "no such file"), ("t.csv", "z", "column 'z'"), ("t.csv", "", "--target")],
    ids=["file", "column", "target"],
)
def test_unusable_table_is_told(tmp_path: Path, name: str, target: str, words: str) -> None:
    """With the file's name and what to do."""
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=words):
        send.read(tmp_path / name, target=target)


def test_address_without_a_scheme_is_told() -> None:
    """With one that would do."""
    with pytest.raises(Permanent, match=r"http://127\.0\.0\.1:8000"):
        Client("localhost:8000")
