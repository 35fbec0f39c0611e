"""CatBoost's trees as nodes: what the library itself would answer."""

from __future__ import annotations

import catboost
import numpy as np
import pytest

from ml.models import FAMILIES
from tests.ml.models.tables import schema_of, table


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_nodes_answer_as_the_library_does(n_classes: int, missing: float) -> None:
    """Rows at a border, missing cells where training had some and where it had none."""
    X, y = table(300, n_classes=n_classes, missing=missing, seed=2)
    params = {"iterations": 20, "depth": 3, "learning_rate": 0.2, "subsample": 0.9}
    model = FAMILIES["catboost"].build(params, schema_of(X, n_classes), seed=4).fit(X, y)
    known = {
        "l2_leaf_reg": 3.0,
        "random_strength": 1.0,
        "bootstrap_type": "Bernoulli",
        "leaf_estimation_iterations": 10 if n_classes == 2 else 1,
    }
    peer = catboost.CatBoostClassifier(
        **params, **known, random_seed=4, thread_count=1, verbose=False, allow_writing_files=False
    )
    peer.fit(model.preprocessor_.transform(X).dense(), y)
    rows, _ = table(200, n_classes=n_classes, missing=0.3, seed=5)
    rows = rows.assign(n0=np.resize(X["n0"].to_numpy(), len(rows)))
    dense = model.preprocessor_.transform(rows).dense()
    np.testing.assert_allclose(model.predict_proba(rows), peer.predict_proba(dense), atol=1e-12)


def test_it_stops_on_held_out_rows_and_keeps_what_came_after() -> None:
    """For the search, which chooses one number of rounds for all folds."""
    X, y = table(400, seed=1)
    model = FAMILIES["catboost"].build({"iterations": 400, "learning_rate": 0.3}, schema_of(X, 2), seed=0)
    model.fit(X[:250], y[:250], validation=(X[250:], y[250:]))
    best = int(np.argmin(model.held_out_losses)) + 1
    assert len(model.trees_) == best
    assert best + model.patience == len(model.grown_) == len(model.held_out_losses) < 400
    p = model.predict_proba(X[250:])
    assert -np.log(p[np.arange(150), y[250:]]).mean() == pytest.approx(min(model.held_out_losses))
