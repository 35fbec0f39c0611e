"""What every model family offers, and what its estimators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.errors import DataError
from ml.schema.schema import Schema

Params = dict[str, Any]
OnEpoch = Callable[[dict[str, float]], None]


class Estimator(Protocol):
    """A fitted or unfitted classifier of one family, preprocessing included."""

    classes_: NDArray[Any]
    history: list[dict[str, float]]

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        validation: tuple[Any, Any] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Fit on canonical rows (n, d) and class codes (n,)."""
        ...

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, C) float64, rows sum to 1."""
        ...

    def to_onnx(self, schema: Schema) -> Any:
        """Raw columns in, probabilities out: an `onnx.ModelProto`."""
        ...

    def describe(self) -> dict[str, Any]:
        """Architecture and parameter count, JSON-able."""
        ...

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything that was learned: a JSON-able mapping and named arrays."""
        ...


class Family(Protocol):
    """One model family: its name, its search space, and how a candidate is built."""

    name: str

    def space(self, n_rows: int, n_classes: int) -> dict[str, Any]:
        """A hyperopt space; every label starts with the family's name."""
        ...

    def baseline(self, n_rows: int) -> Params:
        """Parameters that do well untuned; always among the candidates."""
        ...

    def grid(self) -> list[Params]:
        """Parameters to try exhaustively; empty where a grid makes no sense."""
        ...

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted estimator; casts numbers that a search hands over as floats."""
        ...

    def from_state(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
        """The fitted estimator that `to_state` described."""
        ...


def encode_labels(y: Any, classes: Sequence[Any] | NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Classes (C,) and codes (n,). Raises ValueError on a label outside of the named classes."""
    labels = np.asarray(y)
    if labels.ndim != 1:
        labels = labels.reshape(-1)
    known = np.unique(labels) if classes is None else np.asarray(classes)
    order = np.argsort(known, kind="stable")
    found = np.clip(np.searchsorted(known, labels, sorter=order), 0, len(known) - 1)
    codes = order[found].astype(np.int64)
    if len(labels) and not (wrong := known[codes] == labels).all():
        raise ValueError(f"expected labels among {known[:10].tolist()}, got {labels[~wrong][0]!r}")
    return known, codes


class UntrainableError(DataError, ValueError):
    """Raised when no classifier can learn from the rows; a ValueError too, as scikit-learn's tools expect."""


def check_trainable(n_rows: int, n_columns: int, codes: NDArray[np.int64]) -> None:
    """Raises UntrainableError: too few rows, no varying column, one class."""
    if n_rows < 2:
        raise UntrainableError(f"expected two rows or more to train on, got {n_rows} sample(s): n_samples={n_rows}")
    if n_columns == 0:
        raise UntrainableError("no column varies: nothing can be learned; check the columns and the missing markers")
    if len(np.unique(codes)) < 2:
        raise UntrainableError(
            "expected two classes or more among the training labels, got 1 class; check target and filter"
        )


def spread(probabilities: NDArray[Any], seen: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Columns of the classes seen in training to the columns of all classes: (n, C), 0 for unseen ones."""
    if len(seen) == n_classes:
        return np.asarray(probabilities, dtype=np.float64)
    full = np.zeros((len(probabilities), n_classes), dtype=np.float64)
    full[:, seen] = probabilities
    return full


def option_fields(kind: type[msgspec.Struct], params: Params) -> tuple[Params, Params]:
    """Split params into those that `kind` declares and the rest."""
    names = set(kind.__struct_fields__)
    return {k: v for k, v in params.items() if k in names}, {k: v for k, v in params.items() if k not in names}
