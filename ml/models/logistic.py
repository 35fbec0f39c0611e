"""Logistic regression: the grid of the course report, and what larger tables need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from ml.models.base import check_trainable, scatter_classes
from ml.models.estimator import TabularClassifier, Task, restored_params
from ml.models.onnx.graph import Graph
from ml.models.preprocessing.preprocessor import Preprocessor
from ml.models.preprocessing.state import Options
from ml.models.state import Arrays, LogisticState, Structure

# Seconds of a core for a fit, and for a row's coefficient in an iteration: 42 fits on six tables (bench.tables).
A_FIT, A_COEFFICIENT = 1.0e-2, 1.0e-9
FAR = 500.0  # margins beyond are certain; their exponential must stay a number, and their share not 0 / 0


@dataclass(eq=False, repr=False)
class LogisticClassifier(TabularClassifier):
    """Regularised logistic regression on bounded z-scores and one-hot columns.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty.
    solver
        As in scikit-learn. `liblinear` fits one class against the rest; the others are multinomial.
    max_iter
        Iterations of the solver. Unscaled data would need more; here columns are scaled.
    scaling, clip, clip_at, rare, statistics, dates
        See `ml.models.preprocessing.state.Options`.
    class_weight
        None or "balanced". Balancing spoils probabilities unless they are calibrated later.
    classes
        All labels in the order of the probability columns; default: those in y.
    """

    C: float = 1.0
    solver: str = "lbfgs"
    max_iter: int = 1_000
    scaling: str = "zscore"
    clip: str = "smooth"
    clip_at: float = 3.0
    rare: int = 5
    statistics: int = 0
    class_weight: str | None = None
    classes: tuple[Any, ...] | None = None
    dates: tuple[str, ...] = ()
    random_state: int | None = None

    def _fit(self, task: Task) -> None:
        # Held-out rows are not used: the penalty does the regularising.
        codes, weight = task.codes, task.weight
        options = msgspec.convert(
            {
                "scaling": self.scaling,
                "clip": self.clip,
                "clip_at": self.clip_at,
                "rare": self.rare,
                "dates": self.dates,
                "statistics": self.statistics,
            },
            Options,
        )
        preprocessor = Preprocessor(options)
        rows = preprocessor.fit_rows(task.rows, codes, len(task.classes), weight).dense()
        check_trainable(len(codes), preprocessor.width, codes)
        # float32 halves time and memory where the table is large; the log-loss is the same.
        rows = rows if len(rows) > 100_000 else rows.astype(np.float64)
        seen = np.unique(codes)
        if self.solver == "liblinear" and len(seen) > 2:
            models = [self._solve(rows, (codes == c).astype(np.int64), weight) for c in seen]
        else:
            models = [self._solve(rows, codes, weight)]
        coef, intercept = np.concatenate([m[0] for m in models]), np.concatenate([m[1] for m in models])
        self.iterations_ = sum(m[2] for m in models)
        self.preprocessor_, self.seen_ = preprocessor, seen
        self.coef_, self.intercept_ = np.ascontiguousarray(coef, np.float64), intercept.astype(np.float64)
        self.history_ = []

    def _solve(
        self, rows: NDArray[Any], codes: NDArray[np.int64], weight: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        model = LogisticRegression(
            C=self.C,
            solver=self.solver,
            max_iter=self.max_iter,
            class_weight=self.class_weight,
            random_state=self.random_state,
        )
        model.fit(rows, codes, sample_weight=weight)
        return model.coef_, model.intercept_, int(np.max(model.n_iter_))

    @property
    def _one_against_rest(self) -> bool:
        return self.solver == "liblinear" and len(self.seen_) > 2

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1; 0 for a class that training never showed."""
        frame = self._rows(X)
        margin = self.preprocessor_.transform(frame).dense().astype(np.float64) @ self.coef_.T + self.intercept_
        if self._one_against_rest:
            each = 1.0 / (1.0 + np.exp(-np.clip(margin, -FAR, FAR)))
            return scatter_classes(each / each.sum(axis=1, keepdims=True), self.seen_, len(self.classes_))
        if margin.shape[1] == 1:
            margin = np.concatenate([np.zeros_like(margin), margin], axis=1)
        margin -= margin.max(axis=1, keepdims=True)
        each = np.exp(margin)
        return scatter_classes(each / each.sum(axis=1, keepdims=True), self.seen_, len(self.classes_))

    def cost(self, n_rows: int) -> float:
        """As `TabularClassifier.cost`: by the solver's iterations."""
        return A_FIT + A_COEFFICIENT * self.iterations_ * n_rows * self.coef_.size

    def emit(self, graph: Graph) -> str:
        """The linear part is float64, as it is in `predict_proba`."""
        dense = graph.op("Cast", graph.concat(self.preprocessor_.emit(graph)), to=11)
        coef, intercept = self.coef_, self.intercept_
        if len(coef) == 1:  # two classes: a zero margin for the first
            coef = np.concatenate([np.zeros_like(coef), coef])
            intercept = np.concatenate([np.zeros(1), intercept])
        margin = graph.op("MatMul", dense, graph.constant(coef.T))
        margin = graph.op("Add", margin, graph.constant(intercept[None, :]))
        if self._one_against_rest:
            bounded = graph.op("Clip", margin, graph.constant(np.asarray(-FAR)), graph.constant(np.asarray(FAR)))
            each = graph.op("Sigmoid", bounded)
            value = graph.op("Div", each, graph.op("ReduceSum", each, graph.int64(1)))
        else:
            value = graph.op("Softmax", margin, axis=1)
        return graph.op("Cast", graph.scatter_classes(value, self.seen_, len(self.classes_)), to=1)

    def describe(self) -> Structure:
        """What was fitted, with the size of every dense column's coefficient."""
        check_is_fitted(self, "coef_")
        strength = np.abs(self.coef_).max(axis=0)
        return Structure(
            family="logistic",
            solver=self.solver,
            C=self.C,
            inputs=self.preprocessor_.width,
            parameters=int(self.coef_.size + self.intercept_.size),
            coefficients=dict(zip(self.preprocessor_.names, strength.round(6).tolist(), strict=True)),
        )

    def to_state(self) -> tuple[LogisticState, Arrays]:
        """Record and arrays; `from_state` reads them back."""
        state = LogisticState(**msgspec.structs.asdict(self._common_state()), seen=tuple(self.seen_.tolist()))
        return state, {"coef": self.coef_, "intercept": self.intercept_}


def from_state(state: LogisticState, arrays: Arrays) -> LogisticClassifier:
    """The fitted estimator that `to_state` described."""
    model = LogisticClassifier(**restored_params(state.params))._restore(state)
    model.seen_ = np.asarray(state.seen, dtype=np.int64)
    model.coef_, model.intercept_ = arrays["coef"], arrays["intercept"]
    return model
