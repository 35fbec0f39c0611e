"""What the estimators of all families share: the scikit-learn interface around canonical rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from ml.models.base import OnEpoch, Params, encode_labels
from ml.models.onnx.graph import Graph
from ml.models.onnx.mixing import MixingGraph
from ml.models.preprocessing.preprocessor import Preprocessor, as_frame
from ml.models.state import FittedState, Structure
from ml.schema.schema import Schema


@dataclass(frozen=True)
class Task:
    """What one fit is given, checked.

    rows: canonical DataFrame (n, d); classes: all labels (C,); codes: (n,) int64 positions in them;
    weight: (n,) or None; validation: held-out (rows, labels) or None.
    """

    rows: pd.DataFrame
    classes: NDArray[Any]
    codes: NDArray[np.int64]
    weight: Any = None
    validation: tuple[Any, Any] | None = None
    on_epoch: OnEpoch | None = None


class TabularClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """A classifier on canonical rows: `_fit`, `predict_proba` and `emit` are a family's own.

    A family is a dataclass (`eq=False, repr=False`: identity and scikit-learn's own) of its parameters.

    A DataFrame is taken as canonical rows (`ml.schema.schema`) with its columns found by name; anything else
    goes through scikit-learn's own checks and is a table of numbers, NaN for missing.
    """

    classes: tuple[Any, ...] | None
    classes_: NDArray[Any]
    preprocessor_: Preprocessor
    history_: list[dict[str, float]]
    n_features_in_: int

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        validation: tuple[Any, Any] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Fit on rows and labels.

        Nothing of the estimator changes until the fit is over: an interrupt leaves it as it was.

        Parameters
        ----------
        X
            (n, d) canonical rows.
        y
            (n,) labels.
        sample_weight
            (n,) not negative; None: all 1.
        validation
            Held-out (rows, labels), for families that stop early.
        on_epoch
            Called with the figures of each epoch as it ends, in families that have epochs.

        Raises
        ------
        DataError
            No rows, no varying column, or one class only.
        TrainingError
            The fit does not come to finite numbers, or a parameter makes no sense.
        """
        rows, classes, codes = self._training_rows(X, y)
        self._fit(Task(rows, classes, codes, sample_weight, validation, on_epoch))
        self.classes_ = classes
        self._set_features(X)
        return self

    @abstractmethod
    def _fit(self, task: Task) -> None:
        """Learn; what was learned is set last."""

    @abstractmethod
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1."""

    @property
    def history(self) -> list[dict[str, float]]:
        """Figures of each epoch of the last fit; empty for families that are fitted in one go."""
        return self.history_

    @abstractmethod
    def emit(self, graph: Graph) -> str:
        """Write the fitted model's ops; returns the value of its probabilities, (N, C) float32."""

    @abstractmethod
    def cost(self, n_rows: int) -> float:
        """What the last fit of `n_rows` rows cost, in about the seconds of one core, by what it did.

        Counted, not measured: the same fit costs the same wherever it ran, so that a search may go by it and is
        repeated all the same.
        """

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row: (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def to_onnx(self, schema: Schema) -> Any:
        """Raw columns in, probabilities out: one `onnx.ModelProto`."""
        return self._written(schema, Graph())

    def to_mixing_onnx(self, schema: Schema) -> Any:
        """The same over mixtures of rows (`ml.models.onnx.mixing`): what explanations are made with."""
        return self._written(schema, MixingGraph(len(schema.numbers) + len(schema.categories)))

    def _written(self, schema: Schema, graph: Graph) -> Any:
        check_is_fitted(self, "classes_")
        self.check_schema(schema)
        return graph.model(
            self.emit(graph),
            n_numbers=len(schema.numbers),
            n_categories=len(schema.categories),
            n_classes=len(self.classes_),
        )

    def check_schema(self, schema: Schema) -> None:
        """Raises SchemaError when the model was fitted on other columns."""
        self.preprocessor_.check_schema(schema)

    def _training_rows(self, X: Any, y: Any) -> tuple[pd.DataFrame, NDArray[Any], NDArray[np.int64]]:
        """Checked rows, classes (C,), codes (n,)."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if isinstance(X, pd.DataFrame):
            frame = as_frame(X)
            if len(frame) == 0 or frame.shape[1] == 0:
                raise ValueError(f"expected rows and columns to train on, got a table of {frame.shape}")
        else:
            frame = as_frame(check_array(X, dtype=np.float32, ensure_all_finite="allow-nan", estimator=self))
        y = column_or_1d(y, warn=True)
        check_consistent_length(frame, y)
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        return frame, *encode_labels(y, self.classes)

    def _set_features(self, X: Any) -> None:
        """Remember number and names of the columns as scikit-learn does."""
        if isinstance(X, pd.DataFrame):
            self.n_features_in_ = X.shape[1]
            self.feature_names_in_ = np.asarray([str(c) for c in X.columns], dtype=object)
        else:
            self.n_features_in_ = np.asarray(X).shape[1]

    def _rows(self, X: Any) -> pd.DataFrame:
        """Checked rows to predict; columns of a DataFrame are found by name."""
        check_is_fitted(self, "classes_")
        if isinstance(X, pd.DataFrame):
            return as_frame(X)
        return as_frame(
            validate_data(self, X, reset=False, dtype=np.float32, ensure_all_finite="allow-nan", skip_check_array=False)
        )

    @abstractmethod
    def describe(self) -> Structure:
        """What was fitted, and how large it is."""

    def _common_state(self) -> FittedState:
        return FittedState(
            params=self.get_params(), classes=tuple(self.classes_.tolist()), preprocessor=self.preprocessor_.fitted
        )

    def _restore(self, state: FittedState) -> Self:
        """Take over what `_common_state` gave."""
        saved = state.preprocessor
        self.preprocessor_ = Preprocessor(saved.options, saved)
        self.classes_, self.history_ = np.asarray(state.classes), []
        names = (*saved.numbers, *saved.categories)
        self.n_features_in_ = len(names)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def restored_params(params: Params) -> Params:
    """Constructor arguments as JSON gives them back: lists where tuples were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in params.items()}
