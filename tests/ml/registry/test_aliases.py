"""An old answer about the alias, from a cache or a replica before MLflow, moves nothing and is no move."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml import registry
from ml.errors import RegistryUnavailable
from ml.registry import aliases, ledger, outside_moves
from ml.registry.rollout import Confirmation
from ml.settings import Settings
from tests.ml.registry import memory


class Lagging(memory.Registry):
    """Answers the next `old` questions about the model as they were before its last move."""

    old = 0
    before: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def _now(self) -> tuple[dict[str, str], dict[str, str]]:
        self.old -= 1
        return self.before if self.old >= 0 else (self.aliases, self.model_tags)

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        told = self._now()[0]
        if alias not in told:
            raise memory.refused("INVALID_PARAMETER_VALUE", f"no alias {alias}")
        return self.versions[told[alias]]

    def get_registered_model(self, name: str) -> SimpleNamespace:
        named, tags = self._now()
        return SimpleNamespace(name=name, tags=dict(tags), aliases=dict(named))

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.before = dict(self.aliases), dict(self.model_tags)
        super().set_registered_model_alias(name, alias, version)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return memory.settings(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> Lagging:
    """Versions 1 to 3; 2 serves, and served after 1."""
    monkeypatch.setattr(memory, "Registry", Lagging)
    monkeypatch.setattr(aliases, "WAITS_S", (0.0,) * 4)
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    assert isinstance(made, Lagging)
    for slope in (1.0, 2.0, 3.0):
        made.add(slope)
    for number in "12":
        registry.promote(own, number, **WORDS)
    made.before = {"champion": "1"}, {}
    return made


def agree(settings: Settings, version: str) -> Confirmation:
    return Confirmation(("here",), 4, "by four")


WORDS: dict[str, Any] = {"who": "ann", "why": "because", "confirm_with": agree}


def moves(own: Settings) -> list[tuple[str, str, str]]:
    return [(e.what, e.from_version, e.to_version) for e in reversed(ledger.events(own, what=ledger.SERVED))]


BEFORE = [("promoted", "", "1"), ("promoted", "1", "2")]


def test_an_old_answer_is_no_move_in_mlflow(own: Settings, store: Lagging) -> None:
    store.old = 2
    assert outside_moves.notice(own) is None
    assert moves(own) == BEFORE
    assert not registry.version(own, "2").quarantined


@pytest.mark.parametrize("old", [1, 2, 3])
def test_a_promotion_starts_from_what_serves_now(own: Settings, store: Lagging, old: int) -> None:
    store.old = old
    registry.promote(own, "3", **WORDS)
    assert moves(own) == [*BEFORE, ("promoted", "2", "3")]
    assert store.aliases == {"champion": "3", "previous": "2"}


def test_a_version_that_served_before_does_not_seem_to_serve(own: Settings, store: Lagging) -> None:
    store.old = 2
    registry.promote(own, "1", **WORDS)
    assert moves(own)[2:] == [("promoted", "2", "1")]
    assert store.aliases["champion"] == "1"


@pytest.mark.parametrize("old", [1, 2, 3])
def test_the_way_back_starts_from_what_serves_now(own: Settings, store: Lagging, old: int) -> None:
    store.old = old
    registry.rollback(own, **WORDS)
    assert moves(own)[2:] == [("rolled back", "2", "1")]


def test_a_move_that_was_cut_short_is_finished_by_what_is_so_now(own: Settings, store: Lagging) -> None:
    class Killed(BaseException):
        pass

    def killed(settings: Settings, version: str) -> Confirmation:
        raise Killed

    with pytest.raises(Killed):
        registry.promote(own, "3", who="ann", why="because", confirm_with=killed)
    store.before, store.old = ({"champion": "2"}, {}), 1
    registry.reconcile(own, agree)
    assert moves(own)[2:] == [("promoted", "2", "3")]


@pytest.mark.parametrize("move", [lambda own: registry.promote(own, "3", **WORDS),
                                  lambda own: registry.rollback(own, **WORDS), outside_moves.notice])  # fmt: skip
def test_answers_that_stay_old_move_nothing_and_may_be_asked_again(own: Settings, store: Lagging, move: Any) -> None:
    store.old = 100
    with pytest.raises(RegistryUnavailable, match="true before"):
        move(own)
    assert moves(own) == BEFORE
    assert store.aliases["champion"] == "2"


def test_no_model_yet_has_no_champion(own: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = memory.install(monkeypatch, own, tmp_path)

    def missing(*_: str) -> None:
        raise memory.refused("RESOURCE_DOES_NOT_EXIST", "no model")

    monkeypatch.setattr(store, "set_registered_model_tag", missing, raising=False)
    assert aliases.champion_now(own) is None
