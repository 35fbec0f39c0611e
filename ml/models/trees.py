"""What families of boosted trees share: sums of leaves behind Refit's preprocessing, with an exact ONNX export.

A family fits with its own library and hands its trees over as nodes (`tree`); from there on, that library is not
needed: predictions, export and saved state are made of the nodes. `ml/models/lightgbm.py` is a whole one.

Numbers go in as they are, NaN included (trees split on "missing" by themselves); categories go in one-hot, with rare
levels grouped, so that trees compare numbers only.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils.validation import check_is_fitted

from ml.models.base import best_round, check_trainable, encode_labels, scatter_classes
from ml.models.estimator import TabularClassifier, Task, restored_params
from ml.models.onnx.graph import Graph
from ml.models.preprocessing.preprocessor import Preprocessor
from ml.models.preprocessing.state import Options
from ml.models.state import Arrays, Structure, TreesState

# Seconds of a core for a tree, for a row's cell on a level, and for a node's column: 35 fits of 451 to 3,000 rows on
# six tables of bench.tables, within a factor of 1.3.
A_TREE, A_CELL, A_NODE = 3.9e-4, 1.2e-9, 7.6e-7
_NO_CATEGORIES = np.empty((0, 8), dtype=np.uint32)


@dataclass(frozen=True)
class TreeTask:
    """What a library is given: dense rows (n, width) float32, codes (n,) of the classes that are `seen`.

    `held` are such rows and codes to stop early on, None where there are none; codes are positions in all classes.
    """

    rows: NDArray[np.float32]
    codes: NDArray[np.int64]
    seen: NDArray[np.int64]
    weight: Any = None
    held: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None


class TreesClassifier(TabularClassifier):
    """A family is a dataclass of its parameters, with `state`, `_boost` and of what `Options` needs."""

    state: ClassVar[type[TreesState]]
    pace: ClassVar[float] = 1.0  # seconds of a fit, scikit-learn's of the same trees being 1
    rare: int
    statistics: int
    dates: tuple[str, ...]
    threads: int

    trees_: list[TreePredictor]
    grown_: list[TreePredictor]  # of the last fit, also those after the best round; not kept in a saved model
    base_: NDArray[np.float64]
    seen_: NDArray[np.int64]

    @abstractmethod
    def _boost(self, task: TreeTask) -> tuple[list[TreePredictor], NDArray[np.float64], list[dict[str, float]]]:
        """Fit.

        Returns
        -------
        Trees, a round's after another's, in a round one an output; what every row begins with (n_outputs,), in
        log-odds, with one output for two classes; and figures of each round.
        """

    def _fit(self, task: Task) -> None:
        options = Options(
            scaling="none", indicators=False, rare=self.rare, statistics=self.statistics, dates=self.dates
        )
        preprocessor = Preprocessor(options)
        rows = preprocessor.fit_rows(task.rows, task.codes, len(task.classes), task.weight).dense()
        check_trainable(len(task.codes), preprocessor.width, task.codes)
        seen, held = np.unique(task.codes), None
        if task.validation is not None:
            known = np.isin(codes := encode_labels(task.validation[1], task.classes)[1], seen)
            held = preprocessor.transform(task.validation[0]).dense()[known], codes[known]
        self.grown_, self.base_, self.history_ = self._boost(TreeTask(rows, task.codes, seen, task.weight, held))
        self.preprocessor_, self.seen_ = preprocessor, seen
        self.cut(best_round([self.held_out_losses]) if self.held_out_losses else len(self.grown_))
        for epoch in self.history_ if task.on_epoch else []:
            task.on_epoch(epoch)  # type: ignore[misc]

    @property
    def held_out_losses(self) -> list[float]:
        """Log-loss of the held-out rows after round 1, 2, …; empty where the last fit was given none."""
        told = [epoch for epoch in self.history_ if epoch["epoch"] >= 1]
        return [epoch["validation_loss"] for epoch in told if "validation_loss" in epoch]

    def cut(self, rounds: int) -> None:
        """Predict with the first `rounds` rounds of the last fit, or with all where it had no more."""
        self.trees_ = self.grown_[: rounds * len(self.base_)]

    def cost(self, n_rows: int) -> float:
        """As `TabularClassifier.cost`: by trees, columns and nodes."""
        nodes = sum(len(grown.nodes) for grown in self.grown_)
        width = self.preprocessor_.width
        levels = math.log2(max(nodes / len(self.grown_), 2))
        each = A_TREE + A_CELL * n_rows * width * levels
        return self.pace * (len(self.grown_) * each + A_NODE * nodes * width)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1; 0 for a class that training never showed."""
        frame = self._rows(X)
        rows = self.preprocessor_.transform(frame).dense().astype(np.float64)
        width = len(self.base_)
        raw = np.tile(self.base_, (len(rows), 1))
        index = np.empty(0, dtype=np.uint32)
        for i, grown in enumerate(self.trees_):
            raw[:, i % width] += grown.predict(rows, _NO_CATEGORIES, index, self.threads)
        if width == 1:
            raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
        raw -= raw.max(axis=1, keepdims=True)
        each = np.exp(raw)
        return scatter_classes(each / each.sum(axis=1, keepdims=True), self.seen_, len(self.classes_))

    def emit(self, graph: Graph) -> str:
        """Thresholds, leaves and their sum stay float64, so that trees take the same turns."""
        rows = graph.op("Cast", graph.concat(self.preprocessor_.emit(graph)), to=11)
        raw = graph.op("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **_attributes(self.trees_, self.base_))
        if len(self.base_) == 1:
            raw = graph.op("Concat", graph.op("Sub", raw, raw), raw, axis=1)
        return graph.scatter_classes(graph.op("Softmax", raw, axis=1), self.seen_, len(self.classes_))

    def describe(self) -> Structure:
        """Number of trees and nodes."""
        check_is_fitted(self, "trees_")
        return Structure(
            family=str(self.state.__struct_config__.tag),
            trees=len(self.trees_),
            rounds=len(self.trees_) // len(self.base_),
            inputs=self.preprocessor_.width,
            parameters=int(sum(len(grown.nodes) for grown in self.trees_)),
        )

    def to_state(self) -> tuple[TreesState, Arrays]:
        """Record and arrays; `from_state` reads them back."""
        check_is_fitted(self, "trees_")
        nodes = np.concatenate([grown.nodes for grown in self.trees_])
        arrays = {f"nodes.{name}": np.ascontiguousarray(nodes[name]) for name in PREDICTOR_RECORD_DTYPE.fields or {}}
        arrays["sizes"] = np.asarray([len(grown.nodes) for grown in self.trees_], dtype=np.int64)
        arrays["base"] = self.base_
        return self.state(**msgspec.structs.asdict(self._common_state()), seen=tuple(self.seen_.tolist())), arrays

    @classmethod
    def from_state(cls, state: TreesState, arrays: Arrays) -> Self:
        """The fitted estimator that `to_state` described."""
        model = cls(**restored_params(state.params))._restore(state)
        nodes = np.empty(len(arrays["nodes.value"]), dtype=PREDICTOR_RECORD_DTYPE)
        for name in PREDICTOR_RECORD_DTYPE.fields or {}:
            nodes[name] = arrays[f"nodes.{name}"]
        ends = np.cumsum(arrays["sizes"])
        model.trees_ = [tree(part.copy()) for part in np.split(nodes, ends[:-1].tolist())]
        model.seen_ = np.asarray(state.seen, dtype=np.int64)
        model.base_ = arrays["base"]
        return model


def tree(nodes: NDArray[Any]) -> TreePredictor:
    """A tree of its nodes, as scikit-learn predicts with it."""
    return TreePredictor(nodes, _NO_CATEGORIES, _NO_CATEGORIES)


def empty_nodes(n: int) -> NDArray[Any]:
    """`n` nodes to be filled, the root first.

    Of an inner node: `feature_idx`, `num_threshold`, `left` and `right` (node numbers; a row goes left where its value
    is at most the threshold), `missing_go_to_left`; of a leaf: `is_leaf` and `value`, in log-odds.
    """
    return np.zeros(n, dtype=PREDICTOR_RECORD_DTYPE)


def _attributes(trees: list[Any], base: NDArray[np.float64]) -> dict[str, Any]:
    """Attributes of TreeEnsembleRegressor from the node arrays."""
    nodes = np.concatenate([grown.nodes for grown in trees])
    sizes = [len(grown.nodes) for grown in trees]
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
