"""The bake, case by case: which rows are looked at, how much worse is too much, and what a rollback leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import predictions, registry
from ml.errors import BundleError, PromotionError, RegistryError
from ml.evaluation import two_sample
from ml.messages import message
from ml.registry import ledger
from ml.release import bake, replay_scoring
from ml.settings import Settings
from tests.ml import worlds

START = worlds.START
NOW = START + 500
LABELS = 40


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Version 2 replaced version 1 at `START`."""
    made = worlds.settings(tmp_path, min_labels=LABELS, label_rows=60, baking_s=1_000.0)
    monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: START))
    ledger.append(made, ledger.PROMOTED, who="ann", from_version="1", to_version="2")
    return made


class Registry:
    """What the bake asks of the registry: noted, and refused where an error is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.asked: list[tuple[Settings, str, dict[str, Any]]] = []
        self.error = error
        monkeypatch.setattr(registry, "rollback", self)

    def __call__(self, settings: Settings, to: str, **more: Any) -> None:
        self.asked.append((settings, to, more))
        if self.error is not None:
            raise self.error


class Before:
    """Stands for the predecessor, which would have been right on all rows but `wrong`; notes the rows it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wrong: int = 0) -> None:
        self.wrong = wrong
        self.asked: list[tuple[Settings, str, pd.DataFrame]] = []
        monkeypatch.setattr(replay_scoring, "score", self)

    def __call__(self, settings: Settings, version: str, rows: pd.DataFrame, sha256: str) -> tuple[Any, Any]:
        self.asked.append((settings, version, rows))
        actual = rows["actual"].to_numpy(object)
        return np.where(np.arange(len(rows)) < self.wrong, "neither", actual), None


def serve(
    own: Settings, n: int, *, wrong: int = 0, at: float = START, version: str = "2", labelled: bool = True
) -> None:
    """Rows that a version answered a millisecond apart, wrongly on the last `wrong`."""
    frame, _, p = worlds.draw(n, n)
    said = worlds.decide(p)
    actual = np.where(np.arange(n) >= n - wrong, np.where(said == "1", "0", "1"), said)
    worlds.serve(own, frame, p, at=at, version=version, labels=actual if labelled else None)


def alerts(own: Settings) -> list[dict[str, Any]]:
    file = own.var / "logs" / "alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_what_is_found_is_told_in_figures(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares on the rows that it answered, and the lower bound of the paired loss, one for and one against added."""
    Registry(monkeypatch)
    before = Before(monkeypatch, wrong=3)
    serve(own, 50, wrong=4)
    found = bake.watch(own, NOW)
    assert found is not None
    paired = np.concatenate([[-1.0] * 3, [0.0] * 43, [1.0] * 4, [1.0, -1.0]])
    bound = two_sample.drop_lower_bound(paired, np.zeros(2), own.drift.confidence)
    assert (found.version, found.predecessor, found.labels) == ("2", "1", 50)
    assert (found.accuracy, found.predecessor_accuracy) == (46 / 50, 47 / 50)
    assert found.worse_by == pytest.approx(bound, abs=1e-12)
    assert found.rolled_back is False
    assert found.message == message("release.baked", n=50, version="2", accuracy=46 / 50, old="1", before=47 / 50)
    assert [(s, v) for s, v, _ in before.asked] == [(own, "1")]


def test_the_rows_are_its_own_labelled_answers_since_it_serves(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to now, and the newest of them."""
    Registry(monkeypatch)
    before = Before(monkeypatch)
    serve(own, 30, at=START - 100)
    serve(own, 30, labelled=False)
    serve(own, 30, version="1")
    serve(own, 30, at=NOW)
    serve(own, LABELS - 1, at=START)
    assert bake.watch(own, NOW) is None
    assert before.asked == []
    serve(own, 1, at=START + 1)
    found = bake.watch(own, NOW)
    assert found is not None
    assert found.labels == LABELS
    serve(own, 30, at=START + 2)
    assert bake.watch(own, NOW) is not None
    _, _, rows = before.asked[-1]
    assert len(rows) == own.drift.label_rows
    assert rows["time"].max() == pytest.approx(START + 2.029)


@pytest.mark.parametrize(("above", "back"), [(0.0, False), (1e-9, True)])
def test_it_goes_back_where_it_is_worse_by_more_than_the_margin(
    own: Settings, monkeypatch: pytest.MonkeyPatch, above: float, back: bool
) -> None:
    """The margin itself is not more; what goes back is told to a person, from which to which."""
    asked = Registry(monkeypatch)
    Before(monkeypatch)
    serve(own, 50, wrong=20)
    margin = own.drift.accuracy_margin
    monkeypatch.setattr(two_sample, "drop_lower_bound", lambda *_, **__: margin + above)
    found = bake.watch(own, NOW)
    assert found is not None
    assert found.rolled_back is back
    assert found.worse_by == margin + above
    assert len(asked.asked) == len(alerts(own)) == back
    if back:
        ((settings, to, more),) = asked.asked
        assert (settings, to, more["who"], sorted(more)) == (own, "1", bake.WHO, ["who", "why"])
        (alert,) = alerts(own)
        assert (alert["kind"], alert["from_version"], alert["to_version"]) == ("rolled back", "2", "1")
        assert found.message == more["why"]
        assert (found.message.code, found.message.values["found"].code) == ("release.baked_worse", "release.baked")
        assert (found.message.values["worse"], found.message.values["sure"]) == (margin + above, own.drift.confidence)
        assert str(more["why"]) in alert["text"]


@pytest.mark.parametrize("error", [PromotionError("not confirmed"), BundleError("not confirmed")])
def test_a_rollback_that_fails_is_told(own: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It serves on, and a person hears why."""
    Registry(monkeypatch, error)
    Before(monkeypatch)
    serve(own, 50, wrong=30)
    found = bake.watch(own, NOW)
    assert found is not None
    assert found.worse_by > own.drift.accuracy_margin
    assert found.rolled_back is False
    (alert,) = alerts(own)
    assert (alert["kind"], alert["from_version"], alert["to_version"]) == ("rollback failed", "2", "1")
    assert "not confirmed" in alert["text"]
    assert found.message.code == "release.baked"
    assert str(found.message) in alert["text"]


@pytest.mark.parametrize("error", [RegistryError("gone"), BundleError("gone")])
def test_a_predecessor_that_is_gone_is_told_once(
    own: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """There is nothing to go back to, which is not the same as having had no predecessor."""

    def gone(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(replay_scoring, "score", gone)
    serve(own, 50, wrong=30)
    for _ in range(2):
        found = bake.watch(own, NOW)
        why = message("release.bake_not_compared", version="2", old="1", why="gone")
        assert found == bake.Baking(
            version="2", predecessor="1", labels=50, accuracy=20 / 50, predecessor_accuracy=None, worse_by=0.0,
            rolled_back=False, message=why,
        )  # fmt: skip
    (row,) = ledger.events(own, what=[ledger.NOT_COMPARED])
    assert (row.who, row.from_version, row.to_version, row.message) == (bake.WHO, "1", "2", why)
    (alert,) = alerts(own)
    assert (alert["kind"], alert["from_version"], alert["to_version"]) == (ledger.NOT_COMPARED, "1", "2")
    assert str(why) in alert["text"]


@pytest.mark.parametrize("other", [("1", "3"), ("0", "2")])
def test_that_another_was_told_of_is_not_enough(
    own: Settings, monkeypatch: pytest.MonkeyPatch, other: tuple[str, str]
) -> None:
    def gone(*_: Any) -> Any:
        raise RegistryError("gone")

    monkeypatch.setattr(replay_scoring, "score", gone)
    serve(own, 50)
    ledger.append(own, ledger.NOT_COMPARED, who=bake.WHO, from_version=other[0], to_version=other[1])
    bake.watch(own, NOW)
    assert len(ledger.events(own, what=[ledger.NOT_COMPARED])) == 2


def test_a_predecessor_of_another_contract_is_not_compared(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its missing columns would be filled with nothing, and it would look bad in silence."""
    monkeypatch.setattr(replay_scoring, "score", None)
    serve(own, 50, wrong=30)
    why = message("release.contract", changes=[message("gate.columns_gone", names="score")])
    [move] = ledger.events(own, what=[ledger.PROMOTED])
    numbers = {"move": move.id}
    ledger.append(own, ledger.NEW_CONTRACT, who="ann", why=why, from_version="1", to_version="2", numbers=numbers)
    found = bake.watch(own, NOW)
    assert found is not None
    assert found.message == message("release.bake_not_compared", version="2", old="1", why=why)
    assert not found.rolled_back


@pytest.mark.parametrize("other", [("1", "3"), ("0", "2")])
def test_another_moves_contract_is_not_this_ones(
    own: Settings, monkeypatch: pytest.MonkeyPatch, other: tuple[str, str]
) -> None:
    Registry(monkeypatch)
    before = Before(monkeypatch)
    serve(own, 50)
    ledger.append(own, ledger.NEW_CONTRACT, who="ann", why="columns", from_version=other[0], to_version=other[1])
    bake.watch(own, NOW)
    assert len(before.asked) == 1


def test_a_contract_that_was_new_at_an_earlier_promotion_of_the_same_pair_is_old(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a row after that of the move tells of it."""
    Registry(monkeypatch)
    before = Before(monkeypatch)
    serve(own, 50)
    ledger.append(own, ledger.NEW_CONTRACT, who="ann", why="columns", from_version="1", to_version="2")
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="1", to_version="2")
    bake.watch(own, NOW)
    assert len(before.asked) == 1


@pytest.mark.parametrize(("age", "watched"), [(999.0, True), (1_000.0, True), (1_000.5, False)])
def test_it_is_watched_for_as_long_as_is_set(own: Settings, age: float, watched: bool) -> None:
    """From its promotion on."""
    event = bake.promotion(own, START + age)
    assert (event is not None) is watched
    if event is not None:
        assert (event.what, event.from_version, event.to_version) == (ledger.PROMOTED, "1", "2")


@pytest.mark.parametrize(
    ("what", "before", "watched"),
    [
        (ledger.PROMOTED, "2", True), (ledger.PROMOTED, "", False), (ledger.ROLLED_BACK, "2", False),
        (ledger.REFUSED, "2", True), (ledger.PROMOTION_FAILED, "2", True),
    ],
)  # fmt: skip
def test_only_a_promotion_with_a_predecessor_is_watched(own: Settings, what: str, before: str, watched: bool) -> None:
    """The newest move counts; what moved nothing is passed over."""
    ledger.append(own, what, who="ann", from_version=before, to_version="3")
    assert (bake.promotion(own, NOW) is not None) is watched


def test_without_a_promotion_nothing_is_watched(tmp_path: Path) -> None:
    found = worlds.settings(tmp_path)
    assert bake.promotion(found, NOW) is None
    assert bake.watch(found, NOW) is None


def test_what_was_cut_short_is_finished_first(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nothing was, the registry is not asked."""
    asked: list[Settings] = []
    monkeypatch.setattr(registry, "reconcile", asked.append)
    bake.watch(own, NOW)
    assert asked == []
    ledger.append(own, ledger.PROMOTING, who="ann", to_version="3")
    bake.watch(own, NOW)
    assert asked == [own]


def test_a_move_that_is_finished_now_is_watched_at_once(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finish comes before the look at what serves."""
    key = ledger.append(own, ledger.PROMOTING, who="ann", from_version="2", to_version="3")

    def finish(settings: Settings) -> None:
        ledger.append(settings, ledger.PROMOTED, who="ann", from_version="2", to_version="3", intention=key)

    monkeypatch.setattr(registry, "reconcile", finish)
    before = Before(monkeypatch)
    Registry(monkeypatch)
    serve(own, 50, version="3")
    found = bake.watch(own, NOW)
    assert found is not None
    assert (found.version, found.predecessor) == ("3", "2")
    assert msgspec.structs.asdict(found)["labels"] == 50
    assert [v for _, v, _ in before.asked] == ["2"]


def test_both_sides_are_the_bundles_of_the_move(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their hashes, as another registry has the numbers; and the row that is told once holds them."""
    old, new = "a" * 64, "b" * 64
    ledger.append(
        own, ledger.PROMOTED, who="ann", from_version="1", to_version="2", from_sha256=old, to_sha256=new
    )  # fmt: skip
    asked, window = list[str](), predictions.window

    def noted(*args: Any, **more: Any) -> pd.DataFrame:
        asked.append(more["sha256"])
        return window(*args, **{**more, "sha256": ""})

    def score(settings: Settings, version: str, rows: pd.DataFrame, sha256: str) -> tuple[Any, Any]:
        asked.append(sha256)
        raise RegistryError("deleted")

    monkeypatch.setattr(predictions, "window", noted)
    monkeypatch.setattr(replay_scoring, "score", score)
    serve(own, LABELS)
    assert bake.watch(own, NOW) is not None
    assert asked == [new, old]
    (told,) = ledger.events(own, what=[ledger.NOT_COMPARED])
    assert (told.from_sha256, told.to_sha256) == (old, new)
    ledger.append(own, ledger.REGISTERED, who="ann", to_version="3")
    bake.watch(own, NOW)
    assert len(ledger.events(own, what=[ledger.NOT_COMPARED])) == len(alerts(own)) == 1, "once, whatever came since"
