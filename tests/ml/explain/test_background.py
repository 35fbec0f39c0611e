"""Few background rows stand for all: their weights, their own values, and what that is worth."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ml.errors import BundleError
from ml.explain.background import EVALUATIONS, summarise_background
from ml.explain.explainer import Explainer
from ml.explain.shapley import Game, take
from ml.schema.rows import Rows
from tests.ml.explain.models import CASES, Model, linear, rows, wide


def test_weights_are_shares_of_the_rows_they_stand_for() -> None:
    summary = summarise_background(Model(wide, numbers=12), rows(60, 12))
    assert summary.method == "permutation"
    assert sum(summary.weights) == pytest.approx(1)
    assert len(set(summary.rows)) == len(summary.rows) == EVALUATIONS // 24
    assert summary.background_rows == 60


def test_own_values_add_up_to_what_a_row_is_above_the_mean() -> None:
    """So that the attributions are against all rows, whichever stand for them."""
    model, background = Model(wide, numbers=12), rows(60, 12)
    summary = summarise_background(model, background)
    game = Game(model)
    (scores,) = game.scores(background, game.targets)
    own = np.asarray(summary.offsets)[0]
    np.testing.assert_allclose(own.sum(axis=1), scores[list(summary.rows)] - scores.mean(), atol=1e-9)


def test_own_values_are_exact_for_an_additive_model() -> None:
    model, background = Model(linear, numbers=5), rows(40, 5)
    summary = summarise_background(model, background)
    assert summary.method == "additive"
    values = background.numbers * np.linspace(-0.5, 0.5, 5)
    expected = values[summary.rows[0]] - values.mean(axis=0)
    np.testing.assert_allclose(np.asarray(summary.offsets)[0, 0], expected, atol=1e-5)


def test_they_are_nearer_to_all_rows_than_as_many_rows_alone() -> None:
    """Less than half the error, against the exact values for all rows, of an average over as many rows.

    For a model in which columns have effects of their own; where they act only together nothing is gained.
    """
    weights = np.linspace(-1, 1, 12)
    model = Model(lambda x, codes: x @ weights + np.tanh(x[:, 0] * x[:, 11]) + np.sin(x[:, 5]), numbers=12)
    background, some = rows(60, 12), rows(4, 12, seed=4)
    game = Game(model)
    exact = np.array([game.every_subset(some.part(i, i + 1), background, 1) for i in range(4)])
    summary = summarise_background(model, background)
    alone = take(background, np.random.default_rng(1).permutation(60)[: len(summary.rows)])
    errors = {}
    for name, explainer in {"stand": Explainer(model, background, summary), "alone": Explainer(model, alone)}.items():
        found = np.array([one.attributions for one in explainer.explain(some)])
        errors[name] = float(np.sqrt(((found - exact) ** 2).mean()))
    assert errors["stand"] < errors["alone"] / 2


def test_few_background_rows_are_walked_from_more_than_once() -> None:
    summary = summarise_background(Model(wide, numbers=12), rows(3, 12))
    assert set(summary.rows) == {0, 1, 2}
    assert len(summary.rows) == EVALUATIONS // 24
    np.testing.assert_allclose(
        [sum(w for r, w in zip(summary.rows, summary.weights, strict=True) if r == i) for i in range(3)], 1 / 3
    )


def test_a_very_wide_table_takes_few_rows_and_no_preparation() -> None:
    """The work grows with the square of the columns; the sum still holds."""
    model = Model(lambda x, codes: np.tanh(x[:, ::2].sum(axis=1)) * x[:, 1], numbers=1100)
    explainer = Explainer(model, rows(20, 1100))
    (one,) = explainer.explain(rows(1, 1100, seed=2))
    assert one.background_rows == 8
    assert one.baseline + one.attributions.sum() == pytest.approx(one.score, abs=1e-5)


@pytest.mark.parametrize("case", [name for name in CASES if name != "three classes"])
def test_a_background_summary_of_another_model_is_refused(case: str) -> None:
    score, numbers, category, classes = CASES[case]
    model = Model(score, numbers=numbers, category=category, classes=classes)
    background = rows(30, numbers, category=category)
    summary = summarise_background(model, background)
    other = msgspec.structs.replace(summary, rows=tuple(i + 30 for i in summary.rows))
    for wrong, among in ((other, background), (summary, rows(0, numbers, category=category))):
        with pytest.raises(BundleError, match="does not fit"):
            Explainer(model, among, wrong)


def test_there_must_be_a_row() -> None:
    with pytest.raises(ValueError, match="at least one background row"):
        summarise_background(Model(linear, numbers=2), Rows(np.empty((0, 2), np.float32), np.empty((0, 0), object)))
