"""Explanations of every family's own bundle: they add up for odd rows, and rest on what was written with the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import artifact
from ml.bundle import Bundle
from ml.decision import Decision
from ml.errors import BundleError
from ml.explain import BASIS, Explainer
from ml.rows import Rows
from ml.schema import Column, Schema
from ml.shapley import log_odds
from ml.training import CandidateSpec, fit_candidate

NETWORK = {"hidden": (8,), "members": 2, "epochs": 2, "bins": 3}
MEMBERS = [
    {"family": "mlp", "params": NETWORK, "weight": 0.5},
    {"family": "hist_gradient_boosting", "params": {"max_iter": 5}, "weight": 0.5},
]
PARAMS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "mlp": NETWORK,
    "hist_gradient_boosting": {"max_iter": 10},
    "blend": {"members": MEMBERS},
}
ODD = Rows(
    np.array([[np.nan] * 5, [0.1] * 5, [3e38] * 5, [0, np.nan, 0, 0, 0]], np.float32),
    np.array([["", ""], ["never seen", "x"], ["a", "y"], ["b", "never seen"]], object),
)


def made(folder: Path, family: str, classes: int) -> Bundle:
    """A bundle of a model of five numbers and two categories, with values missing."""
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    frame = pd.DataFrame(x, columns=[f"n{i}" for i in range(5)])
    for name, levels in (("c0", ["a", "b", ""]), ("c1", ["x", "y"])):
        frame[name] = rng.choice(levels, 300).astype(object)
    y = (np.nan_to_num(x[:, 0]) + (frame["c0"] == "a") + np.nan_to_num(x[:, 1] * x[:, 2]) > 0.3).to_numpy().astype(int)
    y = y + (classes > 2) * (x[:, 3] > 1)
    schema = Schema(
        target="y",
        classes=tuple("pqr"[:classes]),
        positive_label="q",
        columns=(
            *(Column(name=f"n{i}", kind="number") for i in range(5)),
            Column(name="c0", kind="category", categories=("a", "b")),
            Column(name="c1", kind="category", categories=("x", "y")),
        ),
    )
    candidate = fit_candidate(CandidateSpec(family, PARAMS[family], 0), frame, y, schema=schema, device="cpu")
    return artifact.begin(folder / family, candidate, Decision(threshold=0.5 if classes == 2 else None), frame)


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


def test_a_bundle_carries_the_basis_of_its_explanations(tmp_path: Path) -> None:
    """The same that would be found anew; so a service finds nothing out while somebody waits."""
    bundle = made(tmp_path, "hist_gradient_boosting", 2)
    assert bundle.json(BASIS)["method"] == "permutation"
    written = Explainer.of(bundle).explain(ODD)
    found = Explainer(bundle, bundle.background).explain(ODD)
    for one, other in zip(written, found, strict=True):
        np.testing.assert_array_equal(one.attributions, other.attributions)


def test_a_bundle_without_a_basis_is_explained_all_the_same(tmp_path: Path) -> None:
    bundle = made(tmp_path, "logistic", 2)
    (bundle.path / BASIS).unlink()
    assert Explainer.of(bundle).method == "additive"


def test_a_broken_basis_is_named(tmp_path: Path) -> None:
    bundle = made(tmp_path, "logistic", 2)
    (bundle.path / BASIS).write_text('{"method": "guess"}')
    with pytest.raises(BundleError, match=BASIS):
        Explainer.of(bundle)
