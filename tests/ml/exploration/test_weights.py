"""Weights by inverse propensity: what counts, how much, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest

from ml.exploration.weights import effective_sample_size, resample, weights


def test_a_row_without_a_chance_counts_nothing_and_is_told() -> None:
    found = weights([1.0, 0.0, 0.0], most=50)
    assert found.rows.tolist() == [1.0, 0.0, 0.0]
    assert [note.code for note in found.notes] == ["exploration.without_chance"]
    assert found.notes[0].values["n"] == 2


def test_what_is_told_has_the_effective_sample_size_the_cut_and_the_unknown() -> None:
    found = weights([1.0] * 90 + [0.01] * 2 + [np.nan] * 8, most=10)
    told = {note.code: note.values for note in found.notes}
    assert told["exploration.weighed"]["effective"] == pytest.approx((98 + 20) ** 2 / (98 + 200))
    assert told["exploration.clipped"]["n"] == 2
    assert told["exploration.unknown"]["n"] == 8


@pytest.mark.parametrize("chances", [[np.nan, np.nan], [1.0, 1.0], [0.5, 0.5], []], ids=str)
def test_rows_that_count_alike_are_not_told(chances: list[float]) -> None:
    found = weights(chances, most=50)
    assert found.uniform
    assert found.notes == []


def test_a_propensity_above_one_weighs_as_one() -> None:
    assert weights([1.5], most=50).rows.tolist() == [1.0]


def test_a_resample_is_as_large_as_the_rows_are_worth_and_like_the_whole() -> None:
    rng = np.random.default_rng(0)
    value = np.concatenate([np.zeros(4_000), np.ones(100)])
    weight = np.concatenate([np.ones(4_000), np.full(100, 40.0)])
    drawn = resample(weight, seed=int(rng.integers(100)))
    assert len(drawn) == round(effective_sample_size(weight))
    assert value[drawn].mean() == pytest.approx(0.5, abs=0.1)
