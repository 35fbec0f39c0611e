"""When the champion began to fail: found among its own answers, in any order of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml import predictions, store
from ml.drift import onset
from ml.drift.findings import Performance
from ml.settings import Settings
from tests.ml import worlds


@pytest.mark.parametrize("at", [0, 100, 500, 900])
def test_the_change_of_a_mean_is_found(at: int) -> None:
    """Within some rows, wherever it lies: a chance run of right answers just before or after moves it."""
    rng = np.random.default_rng(at)
    cost = np.where(np.arange(1_000) < at, rng.random(1_000) < 0.1, rng.random(1_000) < 0.5).astype(float)
    assert abs(onset.change(cost, 0.1, 0.5) - at) <= 20


def test_a_bad_stretch_that_is_over_is_not_it() -> None:
    """The champion recovered in between: only what is bad until now counts."""
    cost = np.repeat([0.1, 0.9, 0.1, 0.9], [300, 100, 300, 100])
    assert onset.change(cost, 0.1, 0.9) == 700


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    """400 rows of the old world, then 200 in which the champion is wrong, labels in random order."""
    found = worlds.settings(tmp_path)
    rng = np.random.default_rng(0)
    for part, (n, wrong) in enumerate(((400, 0.1), (200, 0.6))):
        frame, _, p = worlds.draw(n, part)
        label = worlds.decide(p)
        actual = np.where(rng.random(n) < wrong, np.where(label == "1", "0", "1"), label)
        ids = worlds.serve(found, frame, p, at=worlds.START + 3_600 * part)
        for key, truth in zip(ids, actual, strict=True):
            worlds.answer(found, [key], [truth], worlds.START + 10_000 + rng.exponential(5_000))
    return found


@pytest.mark.parametrize("by", ["accuracy", "log-loss"])
def test_it_is_told_in_the_time_of_the_answers(found: Settings, by: str) -> None:
    """Whichever of the two figures dropped."""
    figures = Performance(
        labels=600, reference_accuracy=0.9, accuracy=0.7, reference_log_loss=0.5, log_loss=1.2,
        accuracy_drop_at_least=0.1 if by == "accuracy" else 0.0,
    )  # fmt: skip
    moment = onset.of(found, "1", figures)
    assert moment is not None
    since = predictions.window(store.engine(found), since=moment)
    assert 180 <= len(since) <= 220


def test_without_figures_there_is_no_answer(found: Settings) -> None:
    """Nor where they show no drop, nor for a version that answered nothing."""
    assert onset.of(found, "1", Performance(labels=0)) is None
    assert onset.of(found, "1", Performance(labels=9, reference_accuracy=0.9, accuracy=0.9)) is None
    assert onset.of(found, "7", Performance(labels=9, reference_accuracy=0.9, accuracy=0.5)) is None
