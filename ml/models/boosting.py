"""Histogram gradient boosting from scikit-learn: the honest yardstick in the same search.

Numbers go in as they are, NaN included (trees split on "missing" by themselves); categories go in
one-hot, with rare levels grouped, so that the exported trees compare numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.models.base import check_trainable, encode_labels, scatter_classes
from ml.models.estimator import TabularClassifier, Task, restored_params
from ml.models.onnx.graph import Graph
from ml.models.preprocessing.preprocessor import Preprocessor
from ml.models.preprocessing.state import Options
from ml.models.state import Arrays, BoostingState, Structure

_NO_CATEGORIES = np.empty((0, 8), dtype=np.uint32)


@dataclass(eq=False, repr=False)
class BoostingClassifier(TabularClassifier):
    """`HistGradientBoostingClassifier` behind Refit's preprocessing, with an exact ONNX export.

    Parameters are scikit-learn's; `rare` and `dates` are those of `Options`; `patience` is the number of rounds without
    a better validation log-loss after which boosting stops (only when `fit` is given a validation set);
    `threads` is the number of OpenMP threads: with 2 on a busy machine a fit once took 60 times as
    long as with 1, so the default is 1.
    """

    learning_rate: float = 0.1
    max_iter: int = 100
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    max_features: float = 1.0
    patience: int = 20
    rare: int = 10
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = None
    threads: int = 1

    def _fit(self, task: Task) -> None:
        # Boosting stops early on validation log-loss where there are held-out rows.
        codes, validation = task.codes, task.validation
        preprocessor = Preprocessor(Options(scaling="none", indicators=False, rare=self.rare, dates=self.dates)).fit(
            task.rows
        )
        check_trainable(len(codes), preprocessor.width, codes)
        rows = preprocessor.transform(task.rows).dense()
        seen = np.unique(codes)
        model = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_features=self.max_features,
            early_stopping=validation is not None,
            n_iter_no_change=self.patience,
            random_state=self.random_state,
            categorical_features=None,
        )
        held_rows = held_codes = None
        if validation is not None:
            known = np.isin(held := encode_labels(validation[1], task.classes)[1], seen)
            held_rows, held_codes = preprocessor.transform(validation[0]).dense()[known], held[known]
        with threadpool_limits(limits=self.threads, user_api="openmp"):
            model.fit(rows, codes, sample_weight=task.weight, X_val=held_rows, y_val=held_codes)
        self.trees_ = [tree for round_ in model._predictors for tree in round_]
        self.base_ = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)
        self.preprocessor_, self.seen_ = preprocessor, seen
        self.history_ = _history(model)
        for epoch in self.history_ if task.on_epoch else []:
            task.on_epoch(epoch)  # type: ignore[misc]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1; 0 for a class that training never showed."""
        frame = self._rows(X)
        rows = self.preprocessor_.transform(frame).dense().astype(np.float64)
        width = len(self.base_)
        raw = np.tile(self.base_, (len(rows), 1))
        index = np.empty(0, dtype=np.uint32)
        for i, tree in enumerate(self.trees_):
            raw[:, i % width] += tree.predict(rows, _NO_CATEGORIES, index, self.threads)
        if width == 1:
            raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
        raw -= raw.max(axis=1, keepdims=True)
        each = np.exp(raw)
        return scatter_classes(each / each.sum(axis=1, keepdims=True), self.seen_, len(self.classes_))

    def emit(self, graph: Graph) -> str:
        """Thresholds, leaves and their sum stay float64, so that trees take the same turns."""
        rows = graph.op("Cast", graph.concat(self.preprocessor_.emit(graph)), to=11)
        raw = graph.op("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **_tree_attributes(self.trees_, self.base_))
        if len(self.base_) == 1:
            raw = graph.op("Concat", graph.op("Sub", raw, raw), raw, axis=1)
        return graph.scatter_classes(graph.op("Softmax", raw, axis=1), self.seen_, len(self.classes_))

    def describe(self) -> Structure:
        """Number of trees and nodes."""
        check_is_fitted(self, "trees_")
        return Structure(
            family="hist_gradient_boosting",
            trees=len(self.trees_),
            rounds=len(self.trees_) // len(self.base_),
            inputs=self.preprocessor_.width,
            parameters=int(sum(len(tree.nodes) for tree in self.trees_)),
        )

    def to_state(self) -> tuple[BoostingState, Arrays]:
        """Record and arrays; `from_state` reads them back."""
        check_is_fitted(self, "trees_")
        nodes = np.concatenate([tree.nodes for tree in self.trees_])
        arrays = {f"nodes.{name}": np.ascontiguousarray(nodes[name]) for name in PREDICTOR_RECORD_DTYPE.fields or {}}
        arrays["sizes"] = np.asarray([len(tree.nodes) for tree in self.trees_], dtype=np.int64)
        arrays["base"] = self.base_
        return BoostingState(**msgspec.structs.asdict(self._common_state()), seen=tuple(self.seen_.tolist())), arrays


def from_state(state: BoostingState, arrays: Arrays) -> BoostingClassifier:
    """The fitted estimator that `to_state` described."""
    model = BoostingClassifier(**restored_params(state.params))._restore(state)
    nodes = np.empty(len(arrays["nodes.value"]), dtype=PREDICTOR_RECORD_DTYPE)
    for name in PREDICTOR_RECORD_DTYPE.fields or {}:
        nodes[name] = arrays[f"nodes.{name}"]
    ends = np.cumsum(arrays["sizes"])
    model.trees_ = [
        TreePredictor(part.copy(), _NO_CATEGORIES, _NO_CATEGORIES) for part in np.split(nodes, ends[:-1].tolist())
    ]
    model.seen_ = np.asarray(state.seen, dtype=np.int64)
    model.base_ = arrays["base"]
    return model


def _history(model: HistGradientBoostingClassifier) -> list[dict[str, float]]:
    """Log-loss per round; scikit-learn keeps it only where it stops early. Round 0 is the class prior."""
    return [
        {"epoch": float(i), "loss": -float(train), "validation_loss": -float(held)}
        for i, (train, held) in enumerate(zip(model.train_score_, model.validation_score_, strict=True))
    ]


def _tree_attributes(trees: list[Any], base: NDArray[np.float64]) -> dict[str, Any]:
    """Attributes of TreeEnsembleRegressor from scikit-learn's node arrays."""
    nodes = np.concatenate([tree.nodes for tree in trees])
    sizes = [len(tree.nodes) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    return {
        "n_targets": len(base),
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values_as_tensor": _double(base),
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]).astype(int).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values_as_tensor": _double(np.where(leaf, 0.0, nodes["num_threshold"])),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]).astype(int).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]).astype(int).tolist(),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nodes["missing_go_to_left"]).astype(int).tolist(),
        "target_treeids": tree_ids[leaf].tolist(),
        "target_nodeids": node_ids[leaf].tolist(),
        "target_ids": (tree_ids[leaf] % len(base)).tolist(),
        "target_weights_as_tensor": _double(nodes["value"][leaf]),
    }


def _double(values: NDArray[Any]) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float64), "values")
