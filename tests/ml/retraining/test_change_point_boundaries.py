"""The change point of a champion: which labels are looked at, and which figures decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.drift.verdict import DriftVerdict, Performance, Window
from ml.retraining import change_point
from ml.settings import Settings, from_values
from tests.ml import worlds

START = worlds.START
LATER = START + 50_000
BAD_FROM = 60  # of 100 rows
FELL = {"reference_accuracy": 1.0, "accuracy": 0.5, "accuracy_drop_at_least": 0.1}


def check(at: float | None = LATER, until: float = START + 1e6, **figures: Any) -> DriftVerdict:
    return DriftVerdict(
        id="1", time=START, verdict="degraded", retrain=True, decision="", reasons=[], model_version="1",
        window=Window(start=at, end=at, rows=100), performance=Performance(labels=100, labels_until=until, **figures),
    )  # fmt: skip


def fill(found: Settings, *, labelled_at: float = START + 1_000, unlabelled: int = 0) -> None:
    """100 answers, a second apart: right and sure at first, from row 60 on wrong and sure."""
    frame, _, _ = worlds.draw(100, 0)
    actual = np.where(np.arange(100) >= BAD_FROM, "0", "1")
    worlds.serve(found, frame, np.full(100, 0.9), step=1.0, labels=actual, labelled_at=labelled_at)
    if unlabelled:
        more, _, q = worlds.draw(unlabelled, 1)
        worlds.serve(found, more, q, at=START + 200)


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    found = worlds.settings(tmp_path)
    fill(found)
    return found


@pytest.mark.parametrize(
    "figures",
    [
        FELL,
        {"reference_accuracy": 1.0, "accuracy": 0.5, "reference_log_loss": 0.1, "log_loss": 2.0},
        {"reference_accuracy": 1.0, "accuracy": 0.5, "accuracy_drop_at_least": 0.0, "reference_log_loss": 0.1,
         "log_loss": 2.0},
        {"reference_accuracy": 1.0, "accuracy": 0.5, "log_loss": 0.9},
    ],
    ids=["accuracy", "log-loss", "no drop", "no reference"],
)  # fmt: skip
def test_the_first_bad_row_is_found(found: Settings, figures: dict[str, float]) -> None:
    """By accuracy where that fell, else by log-loss; a figure that is not known counts zero."""
    assert change_point.began(found, "1", [check(**figures)], 0.0) == START + BAD_FROM


def test_a_drop_of_the_margin_itself_is_not_one_of_accuracy(found: Settings) -> None:
    """Then the log-loss decides, and here it did not rise."""
    margin = found.drift.accuracy_margin
    figures = {"reference_accuracy": 1.0, "accuracy": 0.5, "reference_log_loss": 0.5, "log_loss": 0.5}
    assert change_point.began(found, "1", [check(accuracy_drop_at_least=margin, **figures)], 0.0) == LATER
    assert (
        change_point.began(found, "1", [check(accuracy_drop_at_least=margin + 1e-9, **figures)], 0.0)
        == START + BAD_FROM
    )


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"accuracy": 0.5, "log_loss": 2.0},
        {"reference_accuracy": 1.0, "log_loss": 2.0},
        {"reference_accuracy": 0.5, "accuracy": 0.5},
        {"reference_accuracy": 0.9, "accuracy": 0.5},
    ],
    ids=["nothing", "no reference", "no accuracy", "level", "no log-loss"],
)
def test_without_figures_it_is_the_window(found: Settings, figures: dict[str, float]) -> None:
    """One alone does not tell a rise."""
    assert change_point.began(found, "1", [check(**figures)], 0.0) == LATER


def test_a_window_without_a_start_stays_unknown(found: Settings) -> None:
    """Whatever the rows would tell."""
    assert change_point.began(found, "1", [check(None, **FELL)], 0.0) is None


@pytest.mark.parametrize(
    ("judged_until", "until", "looked"), [(1_000, 2_000, False), (999, 1_000, True), (999, 999, False)]
)
def test_labels_between_the_checks_are_looked_at(found: Settings, judged_until: int, until: int, looked: bool) -> None:
    """Those after the check before, up to the last that the check judged."""
    moment = change_point.began(found, "1", [check(until=START + until, **FELL)], START + judged_until)
    assert moment == (START + BAD_FROM if looked else LATER)


@pytest.mark.parametrize(("late", "looked"), [(9, False), (10, False), (11, True)])
def test_more_than_a_tenth_of_the_labels_must_be_late(found: Settings, late: int, looked: bool) -> None:
    """Answers at the window's start are in it."""
    moment = change_point.began(found, "1", [check(START + late, **FELL)], 0.0)
    assert moment == START + (BAD_FROM if looked else late)


def test_the_figures_are_the_newest_and_the_window_the_first(found: Settings) -> None:
    """`run` is newest first."""
    assert change_point.began(found, "1", [check(**FELL), check(LATER + 5)], 0.0) == START + BAD_FROM
    assert change_point.began(found, "1", [check(), check(LATER + 5, **FELL)], 0.0) == LATER + 5


def test_only_labelled_rows_and_only_the_newest_are_looked_at(tmp_path: Path) -> None:
    """Answers without labels neither count as wrong nor use up the rows."""
    found = from_values({"home": str(tmp_path), "drift": {"track": False}, "retrain": {"backtest_rows": 100}})
    fill(found, unlabelled=50)
    assert change_point.began(found, "1", [check(**FELL)], 0.0) == START + BAD_FROM
    few = from_values({"home": str(tmp_path), "drift": {"track": False}, "retrain": {"backtest_rows": 30}})
    assert change_point.began(few, "1", [check(**FELL)], 0.0) == START + 70


def test_a_label_that_no_class_had_costs_most_and_not_infinitely(tmp_path: Path) -> None:
    """A class that the champion did not know is a wrong answer of probability zero, at a capped loss."""
    found = worlds.settings(tmp_path)
    frame, _, _ = worlds.draw(40, 0)
    row = np.arange(40)
    actual = np.where((row == 20) | (row >= 25), "new", "1")
    worlds.serve(found, frame, np.full(40, 0.9), step=1.0, labels=actual, labelled_at=START + 1_000)
    figures = {"reference_accuracy": 1.0, "accuracy": 0.5, "reference_log_loss": 0.2, "log_loss": 6.0}
    assert change_point.began(found, "1", [check(**figures)], 0.0) == START + 25


def test_equal_clarity_takes_the_first_row() -> None:
    """No cost above the middle is the last row; all above it the first."""
    assert change_point.change(np.ones(5), 0.0, 1.0) == 0
    assert change_point.change(np.zeros(5), 0.0, 1.0) == 4
    assert change_point.change(np.array([0.0, 0.5, 0.5, 1.0]), 0.0, 1.0) == 1
