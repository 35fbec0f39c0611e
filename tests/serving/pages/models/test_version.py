"""A page for every version, the one in service, a refused and a waiting one, also while the registry is silent."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.pages.models import version
from serving.status import reader
from serving.status.reader import LedgerEntry, VersionEntry
from serving.status.version_files import VersionFiles
from tests.serving import showcase
from tests.serving.tiny import settings_for


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    showcase.write(tmp_path)
    app = create_app(settings_for(tmp_path))
    yield app.test_client()
    app.extensions["refit"].close()


def test_every_version_in_the_list_has_its_page(client: FlaskClient) -> None:
    addresses = re.findall(r'<th scope="row"><a href="(/models/\d+)">', client.get("/models").text)
    assert addresses == ["/models/4", "/models/3", "/models/2"]
    for address in addresses:
        page = client.get(address)
        assert page.status_code == 200
        assert f"<h1>Version {address[-1]} " in page.text


def test_a_refused_version_tells_why_and_how_good_it_is(client: FlaskClient) -> None:
    text = html.unescape(client.get("/models/2").text)
    assert '<span class="chip warn">refused</span>' in text
    assert "Not promoted" in text
    assert "It was judged against version 1." in text
    assert "95% interval 0.830 to 0.910; without skill 0.757" in text
    assert re.search(r'<th scope="row">dropout</th><td>0.5</td>', text)
    assert "Columns (8)" in text
    for heading in ("ROC curve", "Confusion matrix", "Convergence of the search"):
        assert f"<h3>{heading}</h3>" in text


def test_a_version_whose_files_have_not_come_says_so(client: FlaskClient) -> None:
    text = client.get("/models/4").text
    assert "Its files are not here yet" in text
    assert "Passed" in text


def test_the_version_in_service_leads_to_both_side_by_side(client: FlaskClient) -> None:
    text = client.get("/models/3").text
    address = re.search(r'<a href="([^"]+)">Beside version 2</a>', text)
    assert address
    assert html.unescape(address[1]) == "/models?from=2&to=3#changed"


def test_a_version_that_is_not_kept_is_a_page_of_its_own(client: FlaskClient) -> None:
    answer = client.get("/models/77")
    assert answer.status_code == 404
    assert "Version 77 is not among the newest versions" in answer.text


def test_a_silent_registry_is_said(client: FlaskClient) -> None:
    """The pages stay, with what it said last."""
    folder = client.application.extensions["refit"].folder
    kept = reader.read(folder)
    for silent_s, said in ((5, False), (300, True)):
        reader.write(folder, msgspec.structs.replace(kept, versions_time=kept.time - silent_s))
        for path in ("/models", "/models/2"):
            assert ("The model registry does not answer" in client.get(path).text) == said


def test_what_a_person_can_do_leads_to_airflow(client: FlaskClient, tmp_path: Path) -> None:
    """To the very page; approval only where a person must approve; a version that never served has no way back."""
    base = "http://127.0.0.1:8080"
    text = client.get("/models").text
    assert f'<a href="{base}/dags/retrain" rel="noreferrer">Retrain</a>' in text
    assert f'<a href="{base}/dags/rollback" rel="noreferrer">Roll back</a>' in text
    assert "required_actions" not in text
    checks = client.get("/monitoring").text
    assert f'<a href="{base}/dags/drift_check" rel="noreferrer">Check now</a>' in checks
    refused = html.unescape(client.get("/models/2").text)
    assert "rollback" not in refused
    assert '.venv/bin/python -m ml promote --version 2 --reason "…"' in refused
    assert "promote --version" not in client.get("/models/3").text
    folder = client.application.extensions["refit"].folder
    kept = reader.read(folder)
    before = msgspec.structs.replace(kept.ledger[0], from_version="1", to_version="2")
    reader.write(folder, msgspec.structs.replace(kept, ledger=(*kept.ledger, before)))
    assert "press Trigger and write 2 as the version" in client.get("/models/2").text
    settings = settings_for(tmp_path / "other", approval="required", schedule={"public_url": "https://air.example/"})
    app = create_app(settings)
    asked = app.test_client().get("/models").text
    app.extensions["refit"].close()
    assert (
        '<a href="https://air.example/required_actions?response_received=false" rel="noreferrer">Approve</a>' in asked
    )


def test_parameters_of_a_blend_are_told_member_by_member(tmp_path: Path) -> None:
    """And not as Python writes a list of mappings."""
    members = [
        {"family": "logistic", "weight": 0.25, "params": {"C": 0.123456789, "solver": "lbfgs"}},
        {"family": "mlp", "weight": 0.75, "params": {"hidden": [64, 32], "numbers": {"embedding": "none"}}},
    ]
    (tmp_path / "metrics.json").write_bytes(msgspec.json.encode({"params": {"members": members}}))
    with create_app(settings_for(tmp_path)).test_request_context("/?lang=en"):
        assert version.parameters(VersionFiles("3", "ab", tmp_path)) == {
            "Member 1": "75.0% mlp: hidden 64, 32, numbers embedding none",
            "Member 2": "25.0% logistic: C 0.1235, solver lbfgs",
        }
        assert version.parameters(None) == {}


@pytest.mark.parametrize(("approval", "what", "waits"), [
    ("required", "", True), ("none", "", False), ("required", "refused", False), ("required", "promoted", False),
])  # fmt: skip
def test_a_version_that_waits_for_a_person_says_so(approval: str, what: str, waits: bool, tmp_path: Path) -> None:
    """The gate's sentence says that it passed; a no or a yes in the ledger ends the waiting."""
    showcase.write(tmp_path)
    entry = VersionEntry(version="9", verdict="promote", sentence="Passed: better.")
    known = reader.read(tmp_path / "var" / "serving")
    said = [LedgerEntry(time=2.0, what=what, to_version="9")] if what else []
    asked = [*said, LedgerEntry(time=1.0, what="registered", to_version="9"), *known.ledger]
    known = msgspec.structs.replace(known, versions=(entry, *known.versions), ledger=tuple(asked))
    reader.write(tmp_path / "var" / "serving", known)
    app = create_app(settings_for(tmp_path, approval=approval))
    for address in ("/models", "/models/9"):
        assert ("waits for approval" in app.test_client().get(address).text) == waits
    app.extensions["refit"].close()


def test_a_refused_version_that_serves_all_the_same_says_who_wanted_it(client: FlaskClient) -> None:
    """Not "refused" beside "in service", as if both were today's."""
    service = client.application.extensions["refit"]
    entry = VersionEntry(version="9", verdict="refused", aliases=("champion",))
    refused, promoted = (
        LedgerEntry(time=n, what=what, to_version="9") for n, what in ((1.0, "refused"), (2.0, "promoted"))
    )
    known = msgspec.structs.replace(reader.read(service.folder), ledger=(refused,))
    assert [chip["text"] for chip in version.chips(service, known, entry)] == ["champion", "refused"]
    known = msgspec.structs.replace(known, ledger=(promoted, refused))
    assert [chip["text"] for chip in version.chips(service, known, entry)] == ["champion", "promoted by hand"]


def test_the_figures_are_explained(client: FlaskClient) -> None:
    text = client.get("/models/3").text
    assert "What these figures mean" in text
    assert "in nats (natural logarithms)" in text
