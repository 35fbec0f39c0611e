"""The loop's alternatives: who answers which window."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.data import generate
from ml.replay import loop, strategies
from ml.replay.loop import FIRST
from tests.ml.replay.tables import WINDOWS, stream

SCORED = WINDOWS - FIRST


@pytest.mark.parametrize(("budget", "due"), [(0, []), (1, [4]), (2, [2, 5]), (6, [1, 2, 3, 4, 5, 6])])
def test_a_schedule_is_evenly_spaced(budget: int, due: list[int]) -> None:
    assert strategies.schedule(SCORED, budget) == due


def test_the_newest_that_is_due_answers() -> None:
    assert strategies.on_schedule(list("abcdefg"), [2, 5]) == list("aacccff")  # type: ignore[arg-type]
    assert strategies.on_schedule(list("abc"), []) == list("aaa")  # type: ignore[arg-type]


def test_after_every_window_a_model_of_all_that_is_labelled(tmp_path: Path) -> None:
    late = [window + 2 for window in range(WINDOWS)]
    played = stream(tmp_path, arrives=late)
    first = loop.fit(played.settings, generate(played.settings), "1")
    models = strategies.always(played, first)
    assert models[:3] == [first] * 3, "the labels of the first scored window come two later"
    rows = [model.snapshot.manifest.rows for model in models[3:]]
    assert rows == [600 + 200 * n for n in range(1, SCORED - 2)]
    outcome = strategies.follow(played, models)
    assert outcome.retrainings == SCORED - 3


def test_no_retraining_is_none(tmp_path: Path) -> None:
    played = stream(tmp_path)
    first = loop.fit(played.settings, generate(played.settings), "1")
    assert strategies.follow(played, [first] * SCORED).retrainings == 0
