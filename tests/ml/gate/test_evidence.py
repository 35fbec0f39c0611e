"""The rows that the gate is asked with: which decide, and which the floor is asked of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import data, predictions
from ml.bundle.reader import Bundle
from ml.gate import evidence
from ml.gate.fitted_rows import FittedRows
from ml.messages import Message
from ml.retraining import window_policy
from ml.settings import Settings
from ml.storage import database
from tests.ml import worlds


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.home(tmp_path)


def rows_of(found: Settings, labels: Any) -> tuple[evidence.Rows, int, int]:
    """The gate's rows where the newest labelled ones have these labels; how many those and the test rows are."""
    frame, _, p = worlds.draw(len(labels), 7)
    worlds.serve(found, frame, p, labels=labels)
    chosen = window_policy.select(found, version="1", created=worlds.START - 1)
    snapshot = data.generate(found, labelled=chosen.labelled, gate_since=chosen.gate_since)
    return (
        evidence.rows_to_judge(found, snapshot, FittedRows()),
        len(snapshot.part("recent").y),
        len(snapshot.part("test").y),
    )


@pytest.mark.parametrize(("positives", "few"), [(49, True), (50, False)])
def test_the_floor_is_asked_of_test_rows_too_where_the_recent_ones_have_few_of_the_rarest_class(
    found: Settings, positives: int, few: bool
) -> None:
    """And that is told; what decides stays the newest rows."""
    labels = np.full(2_000, "0", dtype=object)
    labels[-500:][:positives] = "1"
    rows, recent, test = rows_of(found, labels)
    assert rows.parts["recent"].sum() == recent == 500
    assert ("floor" in rows.parts) == few
    assert len(rows) == recent + (test if few else 0)
    assert [note.code for note in rows.notes] == (["gate.floor_of_all"] if few else [])
    if few:
        assert rows.parts["floor"].all()
        assert rows.notes[0].values["n"] == recent + test


def test_the_test_part_alone_is_all_there_is(found: Settings) -> None:
    """Without recent rows it decides, and there is nothing to add."""
    rows, recent, test = rows_of(found, np.full(20, "0", dtype=object))
    assert (recent < 100, len(rows), list(rows.parts)) == (True, test, ["recent"])


def test_no_rows_ask_for_no_others() -> None:
    assert not evidence.few_for_floor(np.zeros(0, np.int64), worlds.SCHEMA)
    assert evidence.few_for_floor(np.zeros(100, np.int64), worlds.SCHEMA)  # a class that did not come at all


def test_regression_rows_stand_between_what_decides_and_what_is_for_the_floor(
    found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three blocks, three masks: the floor is not asked of the rows of long ago."""

    def block(n: int, code: int) -> tuple[pd.DataFrame, Any]:
        return pd.DataFrame({"x0": np.arange(n, dtype=np.float64)}), np.full(n, code)

    monkeypatch.setattr(evidence.regression_rows, "load", lambda *_: block(3, 1))
    notes: list[Message] = []
    rows = evidence.with_regression_rows(found, *block(2, 0), worlds.SCHEMA, notes, for_floor=block(4, 0))
    assert rows.y.tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert {name: "".join(str(int(x)) for x in mask) for name, mask in rows.parts.items()} == {
        "recent": "110000000", "regression": "001110000", "floor": "110001111",
    }  # fmt: skip
    assert (len(notes), rows.notes[0].values["n"], len(rows.X)) == (0, 6, 9)


@pytest.mark.parametrize(
    ("family", "numbers", "known"),
    [
        ("mlp", {"floor_gain": {"lower": 0.01}}, True),
        ("logistic", {"floor_gain": {"lower": 0.01}}, False),
        ("mlp", {"floor_gain": {"lower": 0.0}}, False),
        ("mlp", {"floor_gain": {"lower": -0.1}, "floor_known": True}, True),
        ("mlp", {"floor_gain": None}, False),
        ("mlp", {"floor_gain": {"lower": None}}, False),
        ("mlp", None, False),
    ],
)
def test_the_floor_is_known_of_a_champion_of_the_same_family_that_was_above_it(
    found: Settings, tmp_path: Path, family: str, numbers: dict[str, Any] | None, known: bool
) -> None:
    """By its own gate, or by one before, of which it was of the family again."""
    champion = _Folder(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"family": "mlp"}), encoding="utf-8")
    if numbers is not None:
        (tmp_path / "gate.json").write_text(json.dumps({"numbers": numbers}), encoding="utf-8")
    assert evidence._floor_known(champion, family, found) is known  # type: ignore[arg-type]
    assert evidence._floor_known(None, family, found) is False


class _Folder:
    """What is asked of a champion's bundle: its side files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    json = Bundle.json
    metrics = Bundle.metrics


def lent(found: Settings, *, logged: bool) -> evidence.Rows:
    """The gate's rows where the others than "0" answers have a label in one of twenty."""
    frame, y, p = worlds.draw(4_000, 7)
    chance = np.where(worlds.decide(p) == "0", 1.0, 0.05)
    seen = np.random.default_rng(0).random(4_000) < chance
    ids = worlds.serve(found, frame, p)
    worlds.answer(found, [ids[i] for i in np.flatnonzero(seen)], y[seen], worlds.START + 30)
    told = [
        {"prediction_id": key, "action": "lend", "propensity": e, "label_propensity": e, "told_at": 1.0}
        for key, e in zip(ids, chance.tolist(), strict=True)
    ]
    if logged:
        predictions.insert_actions(database.engine(found), told)
    chosen = window_policy.select(found, version="1", created=worlds.START - 1)
    snapshot = data.generate(found, labelled=chosen.labelled, gate_since=chosen.gate_since)
    assert (evidence.reference_weight(found, snapshot) is not None) == logged
    return evidence.rows_to_judge(found, snapshot, FittedRows())


def test_explored_rows_count_by_their_chance_and_more_are_held_out(found: Settings) -> None:
    """The rows that decide are weighed, the others count once; the verdict tells what they are worth."""
    rows = lent(found, logged=True)
    assert rows.weight is not None
    assert sorted(set(rows.weight[rows.parts["recent"]].tolist())) == pytest.approx([1.0, 20.0])
    assert set(rows.weight[~rows.parts["recent"]].tolist()) <= {1.0}
    assert rows.parts["recent"].sum() > 500, "so many of equal weight"
    assert [note.code for note in rows.notes if note.code.startswith("exploration")] == ["exploration.weighed"]


def test_where_nothing_is_logged_the_verdict_says_that_the_rows_are_no_sample(found: Settings) -> None:
    rows = lent(found, logged=False)
    assert rows.weight is None
    assert [note.code for note in rows.notes if note.code.startswith("exploration")] == ["exploration.no_sample"]
