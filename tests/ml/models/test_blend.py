"""The blend as a scikit-learn estimator: it fits copies, and passes scikit-learn's own checks."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from ml.models.blend import BlendClassifier
from ml.models.logistic import LogisticClassifier

# As for its members, whose preprocessing counts each row once.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "columns are scaled by rows, whatever their weight",
    "check_sample_weight_equivalence_on_sparse_data": "no sparse input",
}


def blend() -> BlendClassifier:
    members = (("logistic", LogisticClassifier(C=1.0)), ("logistic", LogisticClassifier(C=0.1)))
    return BlendClassifier(members, (0.5, 0.5))


@parametrize_with_checks([blend()], expected_failed_checks=lambda estimator: EXPECTED)
def test_scikit_learn_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_the_members_that_were_given_stay_unfitted() -> None:
    """Fitted twice, or in two blends, they are not the same object with the last fit in it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    first, second = blend(), blend()
    second.members = first.members
    first.fit(X, (X[:, 0] > 0).astype(int))
    before = first.predict_proba(X)
    second.fit(X, (X[:, 1] > 0).astype(int))
    assert not any(hasattr(model, "classes_") for _, model in first.members)
    np.testing.assert_array_equal(first.predict_proba(X), before)
    assert clone(first).get_params()["weights"] == (0.5, 0.5)
