"""CatBoost, where it is installed: `pip install catboost`, then its name in `train.families`.

What it made is saved, explained and served without it: its trees are handed over as nodes. It is given what the other
trees are given, number columns alone: its own statistics of categories are not in the graph that is served.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from ml.models.state import CatBoostState, TreesState
from ml.models.trees import TreesClassifier, TreeTask, empty_nodes, tree


@dataclass(eq=False, repr=False)
class CatBoostClassifier(TreesClassifier):
    """CatBoost behind Refit's preprocessing; parameters are CatBoost's, but for those of `BoostingClassifier`."""

    state: ClassVar[type[TreesState]] = CatBoostState
    pace: ClassVar[float] = 0.3

    learning_rate: float = 0.05
    iterations: int = 200
    depth: int = 6
    l2_leaf_reg: float = 3.0
    random_strength: float = 1.0
    subsample: float = 0.8
    patience: int = 20
    rare: int = 10
    statistics: int = 0
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = None
    threads: int = 1

    def _boost(self, task: TreeTask) -> tuple[list[TreePredictor], NDArray[np.float64], list[dict[str, float]]]:
        import catboost

        outputs = 1 if len(task.seen) == 2 else len(task.seen)
        booster = catboost.CatBoost(
            {
                "loss_function": "Logloss" if outputs == 1 else "MultiClass", "iterations": self.iterations,
                "learning_rate": self.learning_rate, "depth": self.depth, "l2_leaf_reg": self.l2_leaf_reg,
                "random_strength": self.random_strength, "bootstrap_type": "Bernoulli", "subsample": self.subsample,
                "random_seed": self.random_state or 0, "thread_count": self.threads, "allow_writing_files": False,
                "use_best_model": False, "logging_level": "Silent",
                # As by default for many rounds: with another number for few, those would not begin as many do.
                "leaf_estimation_iterations": 10 if outputs == 1 else 1,
                **({} if task.held is None else {"od_type": "Iter", "od_wait": self.patience}),
            }
        )  # fmt: skip
        known = catboost.Pool(task.rows, np.searchsorted(task.seen, task.codes), weight=task.weight)
        held = None if task.held is None else (task.held[0], np.searchsorted(task.seen, task.held[1]))
        booster.fit(known, eval_set=held)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.json")
            booster.save_model(str(path), format="json")
            dumped = json.loads(path.read_text(encoding="utf-8"))
        scale, bias = dumped["scale_and_bias"]
        grown = [one for dump in dumped["oblivious_trees"] for one in _trees(dump, outputs, scale)]
        losses: list[float] = next(iter(booster.get_evals_result().get("validation", {}).values()), [])
        history = [{"epoch": float(i), "validation_loss": float(loss)} for i, loss in enumerate(losses, 1)]
        return grown, np.resize(np.asarray(bias or [0.0], dtype=np.float64), outputs), history


def _trees(dump: dict[str, Any], outputs: int, scale: float) -> list[TreePredictor]:
    """A dumped tree, which asks the same on a whole level, as one tree an output. The last split is asked first."""
    splits = dump["splits"][::-1]
    depth = len(splits)
    nodes = empty_nodes(2 ** (depth + 1) - 1)  # the root, then level by level; children of i are 2 i + 1 and 2 i + 2
    for level, split in enumerate(splits):
        own = nodes[2**level - 1 : 2 ** (level + 1) - 1]
        places = np.arange(2**level - 1, 2 ** (level + 1) - 1)
        own["feature_idx"], own["num_threshold"] = split["float_feature_index"], np.float32(split["border"])
        own["left"], own["right"], own["missing_go_to_left"] = 2 * places + 1, 2 * places + 2, 1
    leaves = np.asarray(dump["leaf_values"], dtype=np.float64).reshape(2**depth, outputs) * scale
    made = []
    for output in range(outputs):
        own = nodes.copy()
        own["is_leaf"][2**depth - 1 :] = 1
        own["value"][2**depth - 1 :] = leaves[:, output]
        made.append(tree(own))
    return made
