"""Label coverage: a sample is left in peace, a selection is found, and time is no selection."""

from __future__ import annotations

import numpy as np
import pytest

from ml.exploration.label_coverage import coverage


def drawn(seed: int, *, rows: int = 3_000) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.random(rows), np.arange(rows, dtype=np.float64), rng


def test_labels_after_one_answer_alone_are_found_and_told() -> None:
    score, time, _ = drawn(0)
    found = coverage(score, score < 0.7, time, confidence=0.99)
    assert found.depends
    assert found.moved == pytest.approx(0.3, abs=0.03)
    [note] = found.notes
    assert (note.code, note.values["least"], note.values["most"]) == ("exploration.no_sample", 0.0, 1.0)
    assert coverage(score, score < 0.7, time, confidence=0.99, weighed=True).notes == []


def test_labels_in_the_middle_of_the_score_are_found() -> None:
    """A dependence that no trend shows."""
    score, time, rng = drawn(1)
    middle = np.where(abs(score - 0.5) < 0.25, 0.9, 0.3)
    assert coverage(score, rng.random(3_000) < middle, time, confidence=0.99).depends


def test_late_labels_of_a_drifting_score_are_no_selection() -> None:
    """Newer rows have fewer labels and higher scores; within a slice of time neither says anything of the other."""
    alarms = 0
    for seed in range(200):
        score, time, rng = drawn(seed)
        age = 1 - time / len(time)
        alarms += coverage(score + time / len(time), rng.random(len(time)) < age, time, confidence=0.99).depends
    assert alarms == 0


def test_the_test_keeps_its_level() -> None:
    p = []
    for seed in range(300):
        score, time, rng = drawn(seed, rows=1_000)
        p.append(coverage(score, rng.random(1_000) < 0.4, time, confidence=0.99).p)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.04)


def test_a_small_dependence_is_shown_and_not_told() -> None:
    score, time, rng = drawn(2, rows=20_000)
    found = coverage(score, rng.random(20_000) < 0.5 + 0.1 * (score - 0.5), time, confidence=0.99)
    assert found.p is not None
    assert found.p < 0.01
    assert not found.depends


def test_rows_that_no_label_can_have_reached_are_left_out() -> None:
    score, time, _ = drawn(3)
    found = coverage(score, (time < 1_000) & (score < 0.5), time, confidence=0.99)
    assert sum(b.rows for b in found.bins) == pytest.approx(1_000, abs=10)


@pytest.mark.parametrize("labelled", [0, 50, 2_990], ids=str)
def test_few_rows_are_shown_and_not_tested(labelled: int) -> None:
    score, time, _ = drawn(4)
    found = coverage(score, time < labelled, time[::-1].copy(), confidence=0.99)
    assert found.p is None
    assert sum(b.labelled for b in found.bins) == labelled


def test_a_score_of_two_values_has_two_bins() -> None:
    score, time, rng = drawn(5)
    found = coverage((score > 0.5).astype(float), rng.random(3_000) < 0.5, time, confidence=0.99)
    assert [b.low for b in found.bins] == [0.0, 1.0]
    assert coverage(np.zeros(3_000), rng.random(3_000) < 0.5, time, confidence=0.99).p is None
