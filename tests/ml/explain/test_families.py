"""Explanations of every family's own bundle: they add up for odd rows, and rest on what was written with the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.bundle.reader import MIXING, Bundle
from ml.errors import BundleError
from ml.explain.background import summarise_background
from ml.explain.explainer import BACKGROUND_SUMMARY, Explainer
from ml.explain.shapley import Game, Walks, log_odds, take
from ml.schema.rows import Rows
from tests.ml.explain.bundles import PARAMS, made

ODD = Rows(
    np.array([[np.nan] * 5, [0.1] * 5, [3e38] * 5, [0, np.nan, 0, 0, 0]], np.float32),
    np.array([["", ""], ["never seen", "x"], ["a", "y"], ["b", "never seen"]], object),
)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", PARAMS)
def test_attributions_add_up_for_odd_rows(tmp_path: Path, family: str, classes: int) -> None:
    """All missing, unseen levels, values at the end of float32; and the score is what the graph answers."""
    bundle = made(tmp_path, family, classes)
    explainer = Explainer.of(bundle)
    assert (explainer.method == "additive") == (family == "logistic" and classes == 2)
    probabilities = bundle.run(ODD.numbers, ODD.categories)
    for i, one in enumerate(explainer.explain(ODD)):
        target = bundle.classes.index(one.explained_class)
        assert target == (1 if classes == 2 else probabilities[i].argmax())
        assert one.score == pytest.approx(log_odds(probabilities[i : i + 1], target)[0], abs=1e-12)
        assert one.baseline + one.attributions.sum() == pytest.approx(one.score, abs=1e-5)
        assert np.isfinite(one.attributions).all()
        assert np.isfinite(one.standard_errors).all()


def test_a_bundle_carries_the_summarised_background(tmp_path: Path) -> None:
    """The same that would be found anew; so a service finds nothing out while somebody waits."""
    bundle = made(tmp_path, "hist_gradient_boosting", 2)
    assert bundle.json(BACKGROUND_SUMMARY)["method"] == "permutation"
    written = Explainer.of(bundle).explain(ODD)
    found = Explainer(bundle, bundle.background).explain(ODD)
    for one, other in zip(written, found, strict=True):
        np.testing.assert_array_equal(one.attributions, other.attributions)


@pytest.mark.parametrize(("classes", "dates"), [(2, 0), (3, 0), (2, 1), (2, 3)])
@pytest.mark.parametrize("family", PARAMS)
def test_mixtures_are_scored_as_the_rows_that_they_are(tmp_path: Path, family: str, classes: int, dates: int) -> None:
    """By the graph that mixes inside: the same as mixing outside and asking the graph that serves."""
    bundle = made(tmp_path, family, classes, dates)
    game, others = Game(bundle), bundle.background.part(0, 6)
    walks = Walks(len(game.columns), 6, np.random.default_rng(0))
    inside = bundle.mixing()
    assert inside is not None
    for i in range(len(ODD)):
        row = ODD.part(i, i + 1)
        rows = Rows(np.concatenate([row.numbers, others.numbers]), np.concatenate([row.categories, others.categories]))
        known = walks.known.reshape(6, -1, len(game.columns)).astype(np.float32)  # the schema has numbers first
        mixed = game.mixed(row, take(others, walks.other), walks.known)
        outside = bundle.run(mixed.numbers, mixed.categories)
        np.testing.assert_allclose(inside(rows.numbers, rows.categories, known), outside, atol=2e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": "none"},
        {"embedding_width": 3},
        {"hidden": ()},
    ],
    ids=str,
)
def test_every_kind_of_network_can_be_mixed(tmp_path: Path, change: dict[str, Any]) -> None:
    """With columns that meet in the first layer, or before it."""
    bundle = made(tmp_path, "mlp", 2, **change)
    explainer = Explainer.of(bundle)  # compares both graphs
    alone = Explainer(WithoutMixing(bundle), bundle.background, summarise_background(bundle, bundle.background))
    for one, other in zip(explainer.explain(ODD), alone.explain(ODD), strict=True):
        np.testing.assert_allclose(one.attributions, other.attributions, atol=1e-4)


class WithoutMixing:
    """A bundle that has only the graph that serves."""

    def __init__(self, bundle: Bundle) -> None:
        self.schema, self.run = bundle.schema, bundle.run

    def mixing(self) -> None:
        """There is none."""


def test_a_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    bundle, other = made(tmp_path / "one", "mlp", 2), made(tmp_path / "other", "hist_gradient_boosting", 2)
    (bundle.path / MIXING).write_bytes((other.path / MIXING).read_bytes())
    with pytest.raises(BundleError, match="differs from the model"):
        Explainer.of(bundle)


def test_a_bundle_without_a_summarised_background_is_explained_all_the_same(tmp_path: Path) -> None:
    bundle = made(tmp_path, "logistic", 2)
    (bundle.path / BACKGROUND_SUMMARY).unlink()
    assert Explainer.of(bundle).method == "additive"


def test_a_broken_summary_is_named(tmp_path: Path) -> None:
    bundle = made(tmp_path, "logistic", 2)
    (bundle.path / BACKGROUND_SUMMARY).write_text('{"method": "guess"}')
    with pytest.raises(BundleError, match=BACKGROUND_SUMMARY):
        Explainer.of(bundle)
