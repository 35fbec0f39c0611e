"""Histogram gradient boosting from scikit-learn: the honest yardstick in the same search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.models.state import BoostingState, TreesState
from ml.models.trees import TreesClassifier, TreeTask


@dataclass(eq=False, repr=False)
class BoostingClassifier(TreesClassifier):
    """`HistGradientBoostingClassifier` behind Refit's preprocessing, with an exact ONNX export.

    Parameters are scikit-learn's; `rare`, `statistics` and `dates` are those of `Options`; `patience`
    is the number of rounds without a better validation log-loss after which boosting stops (only when `fit` is given
    a validation set; the best round is then the last one of the model);
    `threads` is the number of OpenMP threads: with 2 on a busy machine a fit once took 60 times as
    long as with 1, so the default is 1.
    """

    state: ClassVar[type[TreesState]] = BoostingState

    learning_rate: float = 0.1
    max_iter: int = 100
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    max_features: float = 1.0
    patience: int = 20
    rare: int = 10
    statistics: int = 0
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = None
    threads: int = 1

    def _boost(self, task: TreeTask) -> tuple[list[TreePredictor], NDArray[np.float64], list[dict[str, float]]]:
        # Boosting stops early on validation log-loss where there are held-out rows.
        model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_features=self.max_features,
            early_stopping=task.held is not None,
            n_iter_no_change=self.patience,
            random_state=self.random_state,
            categorical_features=None,
        )
        held_rows, held_codes = task.held or (None, None)
        with threadpool_limits(limits=self.threads, user_api="openmp"):
            model.fit(task.rows, task.codes, sample_weight=task.weight, X_val=held_rows, y_val=held_codes)
        trees = [tree for round_ in model._predictors for tree in round_]
        return trees, np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1), _history(model)


def _history(model: HistGradientBoostingClassifier) -> list[dict[str, float]]:
    """Log-loss per round; scikit-learn keeps it only where it stops early. Round 0 is the class prior."""
    return [
        {"epoch": float(i), "loss": -float(train), "validation_loss": -float(held)}
        for i, (train, held) in enumerate(zip(model.train_score_, model.validation_score_, strict=True))
    ]
