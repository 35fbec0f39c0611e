"""The points of ROC, precision-recall and calibration that the pages draw."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ml.evaluation.curves import MAX_CLASSES, POINTS, curves
from ml.schema.schema import Column, Schema


def schema(n_classes: int) -> Schema:
    labels = tuple(str(i) for i in range(n_classes))
    return Schema(target="y", classes=labels, positive_label=labels[-1], columns=(Column(name="x", kind="number"),))


def answers(n_classes: int, rows: int = 3_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right on average, and the codes drawn from them."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_classes), rows)
    y = (p.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return p, y


def test_the_points_keep_the_area_that_scikit_learn_finds() -> None:
    """Ties are one step, and what is left out of a long curve cannot be seen."""
    from sklearn.metrics import roc_auc_score

    p, y = answers(2)
    p[:, 1] = np.round(p[:, 1], 2)
    (found,) = curves(p, y, schema(2))
    x, height = np.transpose(found.roc)
    assert found.area == pytest.approx(roc_auc_score(y, p[:, 1]))
    assert np.trapezoid(height, x) == pytest.approx(found.area, abs=1e-3)
    assert (x[0], height[0], x[-1], height[-1]) == (0, 0, 1, 1)


def test_a_long_curve_is_thinned_and_small() -> None:
    """However many rows were measured, a page gets what it can draw."""
    p, y = answers(2, rows=20_000)
    (found,) = curves(p, y, schema(2))
    assert len(found.roc) <= POINTS
    assert len(found.precision_recall) <= POINTS
    assert len(msgspec.json.encode(found)) < 6_000


def test_calibration_counts_every_row_once() -> None:
    """Said and came agree where probabilities are right, and the bins' rows add up."""
    p, y = answers(2, rows=20_000)
    (found,) = curves(p, y, schema(2))
    said, came, rows = np.transpose(found.calibration)
    assert rows.sum() == len(y)
    assert np.abs(said - came).max() < 0.05


def test_many_classes_give_the_commonest() -> None:
    """A class without rows of both kinds has no curve."""
    p, y = answers(26)
    y[y == 3] = 4
    found = curves(p, y, schema(26))
    assert len(found) == MAX_CLASSES
    assert found[0].label == "4"
    assert "3" not in {entry.label for entry in found}


def test_one_kind_of_row_has_no_curve() -> None:
    """Nothing to draw is an empty list."""
    assert curves(np.array([[0.2, 0.8]]), np.array([1]), schema(2)) == []
