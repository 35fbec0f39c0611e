"""After a promotion: a new champion that is worse than its predecessor goes back; one that is not stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import registry
from ml.errors import PromotionError, RegistryError
from ml.exploration.weights import weights
from ml.messages import message
from ml.registry import ledger
from ml.release import bake, replay_scoring
from ml.settings import Settings
from tests.ml import worlds

ROWS = 600


class Rollbacks(list[tuple[str, str]]):
    """A registry that only notes what it is asked for."""

    def __call__(self, settings: Settings, to: str, *, who: str, why: str) -> None:
        self.append((to, why))
        ledger.append(settings, ledger.ROLLED_BACK, who=who, why=why, from_version="2", to_version=to)


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.settings(tmp_path)


@pytest.fixture
def rollbacks(monkeypatch: pytest.MonkeyPatch) -> Rollbacks:
    made = Rollbacks()
    monkeypatch.setattr(registry, "rollback", made)
    return made


def promoted(
    found: Settings, monkeypatch: pytest.MonkeyPatch, *, wrong: float, wrong_before: float, rows: int = ROWS
) -> None:
    """Version 2 replaced version 1 and answered `rows`; both are wrong on a share of them."""
    monkeypatch.setattr("ml.registry.ledger.clock.now", lambda _: worlds.START - 1)
    ledger.append(found, ledger.PROMOTED, who="test", from_version="1", to_version="2")
    rng = np.random.default_rng(0)
    frame, _, p = worlds.draw(rows, 3)
    actual = flip(worlds.decide(p), rng.random(rows) < wrong)
    worlds.serve(found, frame, p, version="2", labels=actual)
    before = flip(actual, rng.random(rows) < wrong_before)
    monkeypatch.setattr(replay_scoring, "score", lambda _s, version, logged, _sha256: (before[: len(logged)], None))


def flip(labels: np.ndarray, where: Any) -> np.ndarray:
    return np.where(where, np.where(labels == "1", "0", "1"), labels).astype(object)


def test_worse_champion_goes_back(found: Settings, rollbacks: Rollbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    """On evidence from the very rows it answered, with an alert."""
    promoted(found, monkeypatch, wrong=0.3, wrong_before=0.1)
    result = bake.watch(found, worlds.START + 60)
    assert result is not None
    assert result.rolled_back
    assert [to for to, _ in rollbacks] == ["1"]
    assert rollbacks[0][1].code == "release.baked_worse"
    assert '"kind": "rolled back"' in (found.var / "logs" / "alerts.jsonl").read_text()


def test_it_goes_back_once(found: Settings, rollbacks: Rollbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback there is no new champion to watch."""
    promoted(found, monkeypatch, wrong=0.3, wrong_before=0.1)
    bake.watch(found, worlds.START + 60)
    assert bake.watch(found, worlds.START + 60) is None
    assert len(rollbacks) == 1


@pytest.mark.parametrize(
    ("wrong", "wrong_before"), [(0.1, 0.1), (0.1, 0.3), (0.4, 0.5)], ids=["level", "better", "both bad: harder world"]
)
def test_champion_that_is_not_worse_stays(
    found: Settings, rollbacks: Rollbacks, monkeypatch: pytest.MonkeyPatch, wrong: float, wrong_before: float
) -> None:
    """A world that became harder for both is not the new model's fault."""
    promoted(found, monkeypatch, wrong=wrong, wrong_before=wrong_before)
    result = bake.watch(found, worlds.START + 60)
    assert result is not None
    assert not result.rolled_back
    assert not rollbacks


def test_nothing_is_judged_on_few_labels(
    found: Settings, rollbacks: Rollbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor after the watch is over."""
    promoted(found, monkeypatch, wrong=0.9, wrong_before=0.0, rows=50)
    assert bake.watch(found, worlds.START + 60) is None
    assert bake.watch(found, worlds.START + found.drift.baking_s + 1) is None
    assert not rollbacks


def test_predecessor_that_is_gone_is_no_way_back(
    found: Settings, rollbacks: Rollbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted version cannot be compared with, which is told."""
    promoted(found, monkeypatch, wrong=0.5, wrong_before=0.0)

    def gone(*_: Any) -> Any:
        raise RegistryError("no such version")

    monkeypatch.setattr(replay_scoring, "score", gone)
    result = bake.watch(found, worlds.START + 60)
    assert result is not None
    assert (result.message.code, result.predecessor_accuracy) == ("release.bake_not_compared", None)
    assert not result.rolled_back
    assert not rollbacks


def test_rollback_that_fails_is_told(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person hears of it; the check goes on."""
    promoted(found, monkeypatch, wrong=0.3, wrong_before=0.1)

    def refused(*_: Any, **__: Any) -> Any:
        raise PromotionError("not confirmed")

    monkeypatch.setattr(registry, "rollback", refused)
    result = bake.watch(found, worlds.START + 60)
    assert result is not None
    assert not result.rolled_back
    assert '"kind": "rollback failed"' in (found.var / "logs" / "alerts.jsonl").read_text()


def test_what_only_explored_rows_show_counts_by_weight(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better by a little where labels come by themselves, worse by much on the few that stand for half of all."""
    promoted(found, monkeypatch, wrong=0.0, wrong_before=0.0)
    [event] = [e for e in ledger.events(found) if e.what == ledger.PROMOTED]
    actual = np.full(1_050, "1", dtype=object)
    explored = np.arange(1_050) >= 1_000
    label = np.where(explored & (np.arange(1_050) % 2 == 0), "0", "1").astype(object)
    before = np.where(~explored & (np.arange(1_050) % 20 == 0), "0", "1").astype(object)
    plain = bake.judge(found, event, actual, label, before)
    chances = weights(np.where(explored, 0.05, 1.0), most=50)
    weighed = bake.judge(found, event, actual, label, before, chances=chances, notes=[message("release.no_version")])
    assert plain.worse_by < 0 < weighed.worse_by
    assert plain.accuracy > (plain.predecessor_accuracy or 0.0)
    assert weighed.accuracy == pytest.approx(0.75)
    assert weighed.message.code == "exploration.with_notes"
    assert "tell as much as" in weighed.sentence
    assert weighed.sentence.endswith("no version)")
