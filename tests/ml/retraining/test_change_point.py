"""When the champion began to fail: found among its own answers, in any order of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import predictions
from ml.drift.verdict import DriftVerdict, Performance, Window
from ml.retraining import change_point
from ml.settings import Settings
from ml.storage import database
from tests.ml import worlds


@pytest.mark.parametrize("at", [0, 100, 500, 900])
def test_the_change_of_a_mean_is_found(at: int) -> None:
    """Within some rows, wherever it lies: a chance run of right answers just before or after moves it."""
    rng = np.random.default_rng(at)
    cost = np.where(np.arange(1_000) < at, rng.random(1_000) < 0.1, rng.random(1_000) < 0.5).astype(float)
    assert abs(change_point.change(cost, 0.1, 0.5) - at) <= 20


def test_a_bad_stretch_that_is_over_is_not_it() -> None:
    """The champion recovered in between: only what is bad until now counts."""
    cost = np.repeat([0.1, 0.9, 0.1, 0.9], [300, 100, 300, 100])
    assert change_point.change(cost, 0.1, 0.9) == 700


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
        worlds.answer(found, ids, actual, worlds.START + 10_000 + rng.exponential(5_000, n))
    return found


def check(window_at: float, **figures: Any) -> DriftVerdict:
    """One that said "degraded", about all labels that had come."""
    performance = Performance(labels=600, labels_until=worlds.START + 1e6, **figures)
    return DriftVerdict(
        id="1", time=window_at, verdict="degraded", retrain=True, decision="", reasons=[], model_version="1",
        window=Window(start=window_at, end=window_at + 1, rows=200), performance=performance,
    )  # fmt: skip


FELL = {"reference_accuracy": 0.9, "accuracy": 0.7, "accuracy_drop_at_least": 0.1}
ROSE = {"reference_accuracy": 0.9, "accuracy": 0.7, "reference_log_loss": 0.5, "log_loss": 1.2}
LATER = worlds.START + 50_000


@pytest.mark.parametrize("figures", [FELL, ROSE], ids=["accuracy", "log-loss"])
def test_late_labels_are_placed_by_when_their_rows_were_answered(found: Settings, figures: dict[str, float]) -> None:
    """The window of the check is long after all of them."""
    moment = change_point.began(found, "1", [check(LATER, **figures)], 0.0)
    assert moment is not None
    assert 180 <= len(predictions.window(database.engine(found), since=moment)) <= 220


def test_where_labels_come_in_time_it_is_the_first_degraded_window(found: Settings) -> None:
    """Their rows are those of the window; the run may be longer than its newest check."""
    run = [check(LATER, **FELL), check(worlds.START, **FELL)]
    assert change_point.began(found, "1", run, 0.0) == worlds.START


@pytest.mark.parametrize("figures", [{}, {"reference_accuracy": 0.9, "accuracy": 0.9}], ids=["no figures", "no drop"])
def test_what_the_figures_do_not_tell_is_left_to_the_window(found: Settings, figures: dict[str, float]) -> None:
    """As for a version that has no labelled answers, or a check that judged no new ones."""
    assert change_point.began(found, "1", [check(LATER, **figures)], 0.0) == LATER
    assert change_point.began(found, "7", [check(LATER, **FELL)], 0.0) == LATER
    assert change_point.began(found, "1", [check(LATER, **FELL)], worlds.START + 1e6) == LATER
