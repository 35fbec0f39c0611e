"""`/models`: the services that registered themselves, in both languages; nothing of them where none did."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from ml.messages import message
from serving.app import create_app
from serving.status import reader
from serving.status.reader import ServiceEntry
from tests.serving import showcase
from tests.serving.tiny import settings_for

SEEN = 1_795_000_000.0


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    yield app.test_client()
    app.extensions["refit"].close()


def test_services_are_listed_with_version_and_last_heartbeat(client: FlaskClient, tmp_path: Path) -> None:
    folder = tmp_path / "var" / "serving"
    one = ServiceEntry(host="a", address="http://10.0.0.1:8000", versions=("3",), workers=2, seen=SEEN)
    why = message("connections.out_behind", version="3", seen=["2"])
    more = (
        msgspec.structs.replace(one, host="b", versions=("2",), out=why),
        msgspec.structs.replace(one, host="<c>", versions=(), workers=0, stale=True),
    )
    reader.write(folder, msgspec.structs.replace(reader.read(folder), services=(one, *more)))
    english = client.get("/models?lang=en").text
    assert "<td>a, http://10.0.0.1:8000</td><td>3</td><td>2</td>" in english
    assert '<span class="chip good">in rotation</span>' in english
    assert '<span class="chip bad">out of rotation</span> ' in english
    assert "version 3 is the champion, and this service serves version 2" in html.unescape(english)
    assert '<span class="chip warn">no longer heard of</span>' in english
    assert "&lt;c&gt;" in english
    vietnamese = html.unescape(client.get("/models?lang=vi").text)
    assert "Lần báo gần nhất" in vietnamese
    assert "dịch vụ này đang phục vụ phiên bản 2" in vietnamese


def test_one_service_without_postgresql_has_no_list(client: FlaskClient) -> None:
    assert 'id="services"' not in client.get("/models").text
