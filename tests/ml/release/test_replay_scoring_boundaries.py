"""Replay scoring, case by case: which rows are replayed, and how logged inputs become a model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import registry
from ml.bundle.reader import Bundle
from ml.release import replay_scoring
from ml.settings import Settings
from tests.ml import worlds
from tests.ml.registry import memory
from tests.ml.tiny import tiny_schema

START = worlds.START


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return memory.settings(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> memory.Registry:
    """Version 1 says "yes" to positive numbers, 2 to negative ones."""
    replay_scoring._open.cache_clear()
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    made.add()
    made.add(slope=-1.0)
    return made


def logged(*inputs: str) -> pd.DataFrame:
    return pd.DataFrame({"inputs": list(inputs)})


def test_inputs_are_as_a_model_takes_them() -> None:
    """Numbers that float32 cannot hold are at its limit, a missing one is NaN, a missing category empty."""
    rows = logged(
        '{"n0": 1e300, "n1": -1e300, "c0": "red"}', '{"n0": null, "n1": 2.5, "c0": null}', '{"n1": 3, "c0": "blue"}'
    )
    numbers, categories = replay_scoring.inputs(rows, tiny_schema())
    limit = np.finfo(np.float32).max
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers, np.array([[limit, -limit], [np.nan, 2.5], [np.nan, 3.0]], np.float32))
    assert categories.dtype == object
    assert categories.tolist() == [["red"], [""], ["blue"]]


def test_columns_that_no_row_has_are_missing() -> None:
    """As many as there are rows."""
    numbers, categories = replay_scoring.inputs(logged("{}", "{}", "{}"), tiny_schema(numbers=2, categories=2))
    assert numbers.shape == (3, 2)
    assert np.isnan(numbers).all()
    assert categories.tolist() == [["", ""]] * 3


@pytest.mark.parametrize(("numbers", "categories"), [(2, 0), (0, 2)])
def test_a_model_of_one_kind_of_columns(numbers: int, categories: int) -> None:
    """The other has no columns, and as many rows."""
    rows = logged('{"n0": 1, "n1": 2, "c0": "red", "c1": "green"}', '{"n0": 3, "n1": 4, "c0": "a", "c1": "b"}')
    found = replay_scoring.inputs(rows, tiny_schema(numbers=numbers, categories=categories))
    assert [part.shape for part in found] == [(2, numbers), (2, categories)]
    assert [part.dtype for part in found] == [np.float32, object]
    assert found[0].tolist() == ([[1, 2], [3, 4]] if numbers else [[], []])
    assert found[1].tolist() == ([["red", "green"], ["a", "b"]] if categories else [[], []])


def serve(own: Settings, values: list[float], said: list[str], actual: list[str | None], *, at: float = START) -> None:
    """Rows with one number, answered by version 1."""
    frame = pd.DataFrame({"n0": values, "n1": 0.0, "c0": "green"})
    ids = worlds.serve(own, frame, np.array([0.9 if label == "yes" else 0.1 for label in said]), at=at)
    known = [(key, label) for key, label in zip(ids, actual, strict=True) if label is not None]
    worlds.answer(own, [key for key, _ in known], [label for _, label in known], at + 10)


def rows_of(said: list[str], actual: list[str], chances: Any = np.nan) -> pd.DataFrame:
    inputs = [json.dumps({"n0": value, "n1": 0.0, "c0": "green"}) for value in (5, 5, -5, -5)]
    return pd.DataFrame({"inputs": inputs, "label": said, "actual": actual, "label_propensity": chances})


def test_a_comparison_counts_each_share(own: Settings, store: memory.Registry) -> None:
    """The model says yes, yes, no, no."""
    bundle = replay_scoring.open_version(own, "1")
    rows = rows_of(["yes", "no", "no", "no"], ["yes", "yes", "yes", "yes"])
    assert replay_scoring.beside(bundle, rows) == replay_scoring.Comparison(
        rows=4, shadow=0.5, served=0.25, agreement=0.75
    )
    assert replay_scoring.beside(bundle, rows[:0]) == replay_scoring.Comparison(
        rows=0, shadow=None, served=None, agreement=None
    )


def test_a_comparison_weighs_each_row_by_its_chance_of_a_label(own: Settings, store: memory.Registry) -> None:
    """The third row stands for four, the fourth for two, as its weight is cut; the first had no chance."""
    bundle = replay_scoring.open_version(own, "1")
    rows = rows_of(["yes", "no", "no", "yes"], ["yes"] * 4, [0.0, 1.0, 0.25, 0.5])
    found = replay_scoring.beside(bundle, rows)
    assert (found.shadow, found.served, found.agreement) == (1 / 7, 2 / 7, 4 / 7)
    assert replay_scoring.beside(bundle, rows, most=2.0).shadow == 1 / 5
    nothing = rows_of(["yes"] * 4, ["yes"] * 4, 0.0)
    assert replay_scoring.beside(bundle, nothing) == replay_scoring.Comparison()


def test_only_rows_whose_label_it_knows_are_live(own: Settings, store: memory.Registry) -> None:
    """From `since` on, the newest; numbered anew."""
    serve(own, [1.0, 2.0, 3.0, 4.0], ["yes"] * 4, ["yes", "other", None, "no"])
    serve(own, [5.0], ["yes"], ["no"], at=START + 50)
    bundle = replay_scoring.open_version(own, "1")
    found = replay_scoring.live(own, bundle, against="1", rows=10)
    assert found["actual"].tolist() == ["yes", "no", "no"]
    assert found.index.tolist() == [0, 1, 2]
    assert "index" not in found
    assert replay_scoring.live(own, bundle, against="1", rows=10, since=START + 50)["actual"].tolist() == ["no"]
    assert len(replay_scoring.live(own, bundle, against="1", rows=2)) == 2
    assert replay_scoring.live(own, bundle, against="2", rows=10).empty


def test_a_comparison_by_version_takes_two_thousand_rows(own: Settings, store: memory.Registry) -> None:
    """Unless told otherwise: the newest, which alone are wrong here."""
    serve(own, [5.0] * 2_001, ["yes"] * 2_001, ["no"] + ["yes"] * 2_000)
    found = replay_scoring.compare(own, "1", against="1")
    assert (found.rows, found.shadow) == (2_000, 1.0)
    assert replay_scoring.compare(own, "2", against="1").shadow == 0.0
    assert replay_scoring.compare(own, "2", against="1", rows=3).rows == 3


def test_a_version_is_opened_by_its_hash_and_kept(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at a time: the fifth takes the place of the oldest."""
    opened: list[Path] = []
    whole = Bundle.open

    def look(path: Path, *, sha256: str) -> Bundle:
        opened.append(path)
        assert sha256 == store.tags(path.name)[registry.SHA256]
        return whole(path, sha256=sha256)

    monkeypatch.setattr(Bundle, "open", look)
    for _ in range(3):
        store.add()
    for number in "12341":
        replay_scoring.open_version(own, number)
    assert [path.name for path in opened] == list("1234")
    replay_scoring.open_version(own, "5")
    replay_scoring.open_version(own, "2")
    assert [path.name for path in opened] == list("123452")


def test_a_score_is_of_the_version_that_is_asked(own: Settings, store: memory.Registry) -> None:
    rows = rows_of(["yes"] * 4, ["yes"] * 4)
    labels, probabilities = replay_scoring.score(own, "2", rows)
    assert labels.tolist() == ["no", "no", "yes", "yes"]
    assert probabilities.shape == (4, 2)
    assert (probabilities[:, 1] > 0.5).tolist() == [False, False, True, True]
