"""A promotion made in MLflow's registry is a promotion: in the ledger once, `previous` set, doubts told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml import registry
from ml.errors import PromotionError
from ml.gate import evidence
from ml.registry import catalog, ledger, outside_moves
from ml.registry.ledger import Event
from ml.registry.rollout import Confirmation
from ml.release import bake
from ml.settings import Settings
from tests.ml.registry import memory


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return memory.settings(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> memory.Registry:
    """Three versions of one contract that the gate would promote, and a fourth of another; the first serves."""
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    for number in "1234":
        made.add(float(number))
        made.tags(number).update({catalog.VERDICT: "promote", catalog.CONTRACT: "other" if number == "4" else "same"})
    promote(own, "1")
    return made


def agree(settings: Settings, version: str) -> Confirmation:
    return Confirmation(("here",), 4, "by four")


def promote(own: Settings, number: str, **more: Any) -> Event:
    return registry.promote(own, number, who="ann", why="because", confirm_with=agree, **more)


def moved(event: Event | None) -> tuple[str, str, str]:
    assert event is not None
    return event.what, event.from_version, event.to_version


def told(own: Settings) -> list[str]:
    file = own.var / "logs" / "alerts.jsonl"
    return [json.loads(line)["text"] for line in file.read_text().splitlines()] if file.exists() else []


def another_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 4 lacks a column of the others."""
    from ml.messages import message

    def changes(_: Settings, old: registry.VersionInfo, new: registry.VersionInfo) -> list[Any]:
        different = old.tags[catalog.CONTRACT] != new.tags[catalog.CONTRACT]
        return [message("gate.columns_gone", names="score")] if different else []

    for module in ("contract", "promotion"):
        monkeypatch.setattr(f"ml.registry.{module}.changes", changes)


def test_a_promotion_there_is_one(own: Settings, store: memory.Registry) -> None:
    """From, to, when, by whom as far as MLflow knows; `previous` follows, and the bake watches it."""
    store.aliases["champion"] = "2"
    event = outside_moves.notice(own)
    assert moved(event) == (ledger.PROMOTED, "1", "2")
    assert event is not None
    assert (event.who, str(event.why)) == (outside_moves.IN_MLFLOW, "the alias was moved in MLflow's registry")
    assert store.aliases["previous"] == "1"
    assert bake.promotion(own, event.time + 1) == event
    assert told(own) == []


def test_it_is_recorded_once_whoever_looks(own: Settings, store: memory.Registry) -> None:
    """Four workers, a restart, a drift check; and our own promotions are not taken for one."""
    promote(own, "2")
    before = len(ledger.events(own))
    assert outside_moves.notice(own) is None
    store.aliases["champion"] = "3"
    assert outside_moves.notice(own) is not None
    assert [outside_moves.notice(own) for _ in range(4)] == [None] * 4
    assert len(ledger.events(own)) == before + 1
    assert moved(promote(own, "3")) == (ledger.PROMOTED, "2", "3"), "it serves already: nothing is written"
    assert len(ledger.events(own)) == before + 1


def test_a_move_of_ours_that_is_under_way_is_left_alone(own: Settings, store: memory.Registry) -> None:
    intention = ledger.append(own, ledger.PROMOTING, who="ann", from_version="1", to_version="2")
    store.aliases["champion"] = "2"
    assert outside_moves.notice(own) is None
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="1", to_version="2", intention=intention)
    assert outside_moves.notice(own) is None


@pytest.mark.parametrize(
    ("tags", "doubt"),
    [
        ({catalog.VERDICT: "refused", catalog.SENTENCE: "worse"}, "the gate had refused it: worse"),
        ({catalog.VERDICT: ""}, "it was never judged"),
        ({catalog.QUARANTINED: "complaints"}, "it was quarantined (complaints)"),
    ],
)
def test_what_the_gate_would_not_have_let_pass_is_told(
    own: Settings, store: memory.Registry, tags: dict[str, str], doubt: str
) -> None:
    store.tags("2").update(tags)
    store.aliases["champion"] = "2"
    event = outside_moves.notice(own)
    assert event is not None
    assert doubt in str(event.why)
    assert event.numbers["doubts"] == [doubt]
    assert len(told(own)) == 1
    assert doubt in told(own)[0]
    assert catalog.QUARANTINED not in store.tags("2"), "whoever pointed at it has decided"


def test_moving_the_alias_back_is_a_rollback(own: Settings, store: memory.Registry) -> None:
    promote(own, "2")
    promote(own, "3")
    store.aliases["champion"] = "2"
    assert moved(outside_moves.notice(own)) == (ledger.ROLLED_BACK, "3", "2")
    assert store.aliases["previous"] == "1"
    assert "rolled back to version 2" in store.tags("3")[catalog.QUARANTINED]


def test_a_rollback_that_is_undone_there_is_a_promotion(own: Settings, store: memory.Registry) -> None:
    """What served meanwhile is the way back from it, and is not quarantined; the bake watches again."""
    promote(own, "2")
    for to in ("1", "2"):
        store.aliases["champion"] = to
        event = outside_moves.notice(own)
    assert moved(event) == (ledger.PROMOTED, "1", "2")
    assert event is not None
    assert "it was quarantined" in str(event.why)
    assert store.aliases["previous"] == "1"
    assert [catalog.QUARANTINED in store.tags(number) for number in ("1", "2")] == [False, False]
    assert bake.promotion(own, event.time + 1) == event


def test_a_deleted_alias_is_not_an_empty_registry(own: Settings, store: memory.Registry) -> None:
    """What served, serves on: everybody is told, once, and the next run does not make a first champion."""
    del store.aliases["champion"]
    event = outside_moves.notice(own)
    assert event is not None
    assert (event.what, str(event.why)) == (
        ledger.ALIAS_GONE,
        "the alias was deleted in MLflow's registry; version 1 serves on",
    )
    assert outside_moves.notice(own) is None
    assert len(told(own)) == 1
    info, bundle, problem = evidence.champion_bundle(own)
    assert info is not None
    assert (info.version, bundle is not None, problem) == ("1", True, None)
    assert moved(promote(own, "2", expected_champion="1")) == (ledger.PROMOTED, "1", "2")


def test_a_deleted_version_is_not_one_either(own: Settings, store: memory.Registry) -> None:
    store.delete("1")
    assert "version 1 was deleted in MLflow's registry" in str(outside_moves.notice(own).why)  # type: ignore[union-attr]
    info, bundle, problem = evidence.champion_bundle(own)
    assert info is not None
    assert (info.version, bundle) == ("1", None)
    assert "was deleted" in str(problem)
    with pytest.raises(PromotionError, match="would change what callers send and get"):
        promote(own, "2", expected_champion="1")
    assert moved(promote(own, "2", across=True)) == (ledger.PROMOTED, "1", "2")


def test_another_contract_is_refused_unless_forced(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what callers would feel; `previous` is never across, and a rollback without a name does not cross it."""
    another_contract(monkeypatch)
    promote(own, "2")
    with pytest.raises(PromotionError, match="columns gone: score"):
        promote(own, "4")
    assert store.aliases == {"champion": "2", "previous": "1"}
    assert ledger.events(own, limit=1)[0].what == ledger.REFUSED
    assert moved(promote(own, "4", force=True)) == (ledger.PROMOTED, "2", "4")
    assert store.aliases == {"champion": "4"}
    border = ledger.events(own, limit=1, what=[ledger.NEW_CONTRACT])[0]
    assert (border.from_version, border.to_version, str(border.why)) == ("2", "4", "columns gone: score")
    with pytest.raises(PromotionError, match=r"version 2 did, .*: columns gone: score; name it with force"):
        registry.rollback(own, who="bob", why="complaints", confirm_with=agree)
    with pytest.raises(PromotionError, match="columns gone: score"):
        registry.rollback(own, "2", who="bob", why="complaints", confirm_with=agree)
    back = registry.rollback(own, "2", who="bob", why="complaints", force=True, confirm_with=agree)
    assert moved(back) == (ledger.ROLLED_BACK, "4", "2")
    assert store.aliases == {"champion": "2", "previous": "1"}


def test_another_contract_there_is_told_and_not_watched_beside_the_old(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_contract(monkeypatch)
    store.aliases["champion"] = "4"
    event = outside_moves.notice(own)
    assert event is not None
    assert "it changes what callers send and get: columns gone: score" in str(event.why)
    assert "previous" not in store.aliases
    assert [e.what for e in ledger.events(own, limit=1, what=[ledger.NEW_CONTRACT])] == [ledger.NEW_CONTRACT]
    assert "columns gone: score" in told(own)[0]
