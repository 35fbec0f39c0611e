"""LightGBM, where it is installed: `pip install lightgbm`, then its name in `train.families`.

What it made is saved, explained and served without it: its trees are handed over as nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from ml.models.state import LightGBMState, TreesState
from ml.models.trees import TreesClassifier, TreeTask, empty_nodes, tree


@dataclass(eq=False, repr=False)
class LightGBMClassifier(TreesClassifier):
    """LightGBM behind Refit's preprocessing; parameters are LightGBM's, but for those of `BoostingClassifier`."""

    state: ClassVar[type[TreesState]] = LightGBMState
    pace: ClassVar[float] = 0.6

    learning_rate: float = 0.05
    n_estimators: int = 200
    num_leaves: int = 31
    min_child_samples: int = 20
    reg_lambda: float = 0.0
    colsample_bytree: float = 1.0
    subsample: float = 1.0
    patience: int = 20
    rare: int = 10
    statistics: int = 0
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = None
    threads: int = 1

    def _boost(self, task: TreeTask) -> tuple[list[TreePredictor], NDArray[np.float64], list[dict[str, float]]]:
        import lightgbm

        outputs = 1 if len(task.seen) == 2 else len(task.seen)
        parameters = {
            "objective": "binary" if outputs == 1 else "multiclass", "num_class": outputs,
            "learning_rate": self.learning_rate, "num_leaves": self.num_leaves, "lambda_l2": self.reg_lambda,
            "min_data_in_leaf": self.min_child_samples, "feature_fraction": self.colsample_bytree,
            "bagging_fraction": self.subsample, "bagging_freq": int(self.subsample < 1), "seed": self.random_state or 0,
            "num_threads": self.threads, "deterministic": True, "force_row_wise": True, "verbosity": -1,
        }  # fmt: skip
        known = lightgbm.Dataset(task.rows, np.searchsorted(task.seen, task.codes), weight=task.weight)
        figures: dict[str, Any] = {}
        calls, held = [lightgbm.record_evaluation(figures)], []
        if task.held is not None:
            held = [known.create_valid(task.held[0], np.searchsorted(task.seen, task.held[1]))]
            calls.append(lightgbm.early_stopping(self.patience, verbose=False))
        booster = lightgbm.train(
            parameters, known, self.n_estimators, valid_sets=held, callbacks=calls, keep_training_booster=True
        )  # or it would throw away what was grown after the best round
        dumped = booster.dump_model(num_iteration=booster.current_iteration())
        grown = [_tree(one["tree_structure"]) for one in dumped["tree_info"]]
        losses: list[float] = next(iter(figures.get("valid_0", {}).values()), [])
        history = [{"epoch": float(i), "validation_loss": float(loss)} for i, loss in enumerate(losses, 1)]
        return grown, np.zeros(outputs), history  # LightGBM's first trees hold what every row begins with


def _tree(root: dict[str, Any]) -> TreePredictor:
    """A dumped tree's nodes, each before its branches."""
    found: list[dict[str, Any]] = []
    waiting = [root]
    while waiting:
        found.append(one := waiting.pop())
        waiting += [one[side] for side in ("left_child", "right_child") if side in one]
    places = {id(one): place for place, one in enumerate(found)}
    nodes = empty_nodes(len(found))
    for node, one in zip(nodes, found, strict=True):
        if "leaf_value" in one:
            node["is_leaf"], node["value"] = True, one["leaf_value"]
            continue
        # A column that had no missing value in training takes one for 0.
        left = one["default_left"] if one["missing_type"] == "NaN" else one["threshold"] >= 0
        node["feature_idx"], node["num_threshold"], node["missing_go_to_left"] = (
            one["split_feature"], one["threshold"], left,
        )  # fmt: skip
        node["left"], node["right"] = places[id(one["left_child"])], places[id(one["right_child"])]
    return tree(nodes)
