"""What the pages are told of versions and the command line tells come from one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml import registry
from ml.cli import status
from ml.messages import message
from ml.monitoring import status as known
from ml.registry import ledger
from ml.settings import Settings
from serving.model import champion_lookup
from serving.status import collector
from tests.serving import tiny

ADDRESS = "http://127.0.0.1:9"
WHY = message("gate.no_rows")
TAGS = {
    registry.FAMILY: "mlp", f"{registry.METRIC}accuracy": "0.75", "refit.quarantined": "odd",
    **registry.verdict_tags("refused", WHY),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path, registry={"tracking_uri": ADDRESS})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of a registry that has versions 1 and 2, of which 2 serves."""
    calls: list[str] = []

    def get(address: str, call: str, **query: str) -> dict[str, Any]:
        assert address == ADDRESS
        calls.append(call)
        if call == "registered-models/get":
            return {"registered_model": {"aliases": [{"alias": "champion", "version": "2"}]}}
        tags = [{"key": key, "value": value} for key, value in TAGS.items()]
        entry = {"run_id": "r", "source": "s", "creation_timestamp": 5_000, "tags": tags}
        return {"model_versions": [{"version": number, **entry} for number in ("2", "1")]}

    monkeypatch.setattr(champion_lookup, "get", get)
    return calls


def test_a_version_is_told_alike_by_page_and_command_line(settings: Settings, asked: list[str]) -> None:
    newest, older = collector.collect(settings).versions
    info = registry.VersionInfo(version="2", run_id="r", source="s", created=5.0, tags=TAGS)
    told = status._version(info)
    assert told is not None
    assert (
        (newest.version, newest.time, newest.family) == (told.version, told.created, told.family) == ("2", 5.0, "mlp")
    )
    assert {name: value for name, (value, _, _) in newest.metrics.items()} == told.metrics == {"accuracy": 0.75}
    assert (str(newest.sentence), newest.sentence) == (told.sentence, WHY)
    assert (newest.verdict, newest.quarantined, newest.run_id) == ("refused", True, "r")
    assert (newest.aliases, older.aliases) == (("champion",), ())
    assert asked == ["registered-models/get", "model-versions/search"]


def test_ledger_and_checks_are_those_of_the_status(settings: Settings, asked: list[str]) -> None:
    for what in (ledger.REGISTERED, ledger.PROMOTED):
        ledger.append(settings, what, who="ann", why=WHY, to_version="2")
    found, facts = collector.collect(settings), known.read(settings)
    assert [(line.what, line.who, line.why) for line in found.ledger] == [
        (event.what, event.who, event.because) for event in facts.ledger
    ]
    assert [line.what for line in found.ledger] == [ledger.PROMOTED, ledger.REGISTERED]
    assert found.checks == ()
