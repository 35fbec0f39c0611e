"""Alerts reach a webhook where there is one, and cost nothing where it does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml import alerts
from tests import fake_http
from tests.ml import worlds


class Receiver(fake_http.Handler):
    """Keeps what is posted; answers with `status`."""

    received: list[dict[str, Any]]
    status = 204

    def do_POST(self) -> None:
        type(self).received.append(self.body())
        self.answer(type(self).status, b"")


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    kind = type("Fresh", (Receiver,), {"received": []})
    with fake_http.serving(kind) as port:
        yield f"http://127.0.0.1:{port}/hook", kind


def test_alert_is_posted_and_kept(tmp_path: Path, receiver: tuple[str, type[Receiver]]) -> None:
    """With a `text` that chat services show, and the facts."""
    url, kind = receiver
    found = worlds.settings(tmp_path, webhook_url=url)
    assert alerts.send(found, "degraded", ["accuracy fell."], model_version="3")
    (posted,) = kind.received
    assert posted["text"] == "Refit: degraded. accuracy fell."
    assert posted["model_version"] == "3"
    assert json.loads((found.var / "logs" / "alerts.jsonl").read_text()) == posted


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret-token", "file:///etc/passwd"], ids=["down", "no http"])
def test_alert_that_cannot_be_posted_is_a_warning(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """And the address, which may hold a token, is not logged."""
    found = worlds.settings(tmp_path, webhook_url=url)
    assert not alerts.send(found, "degraded", ["x"])
    assert "secret-token" not in caplog.text
    assert (found.var / "logs" / "alerts.jsonl").exists()


def test_refused_alert_is_a_warning(tmp_path: Path, receiver: tuple[str, type[Receiver]]) -> None:
    """A webhook that answers with an error has not taken it."""
    url, kind = receiver
    kind.status = 500
    assert not alerts.send(worlds.settings(tmp_path, webhook_url=url), "degraded", ["x"])


def test_an_alert_is_kept_for_the_other_machines_too_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = msgspec.structs.replace(worlds.settings(tmp_path), database_url=f"sqlite:///{tmp_path / 'shared.db'}")
    monkeypatch.setattr(alerts, "KEPT", 2)
    for number in range(4):
        alerts.send(found, "degraded", ["x"], number=number)
    assert [json.loads(line)["number"] for line in alerts.newest(found, 10)] == [3, 2]
    assert len(alerts.newest(found, 1)) == 1
    assert alerts.newest(worlds.settings(tmp_path), 10) == []


def test_an_alert_is_sent_though_the_database_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = f"sqlite:///{tmp_path / 'no' / 'folder.db'}"
    assert alerts.send(msgspec.structs.replace(worlds.settings(tmp_path), database_url=away), "degraded", ["x"])
    assert "could not be kept in the database" in caplog.text
    assert (tmp_path / "var" / "logs" / "alerts.jsonl").exists()
