"""What every model family offers, and what its estimators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.errors import DataError
from ml.messages import message
from ml.schema.schema import Schema

Params = dict[str, Any]  # of an estimator's constructor, JSON-able: their names and types are each family's own
SearchSpace = dict[str, Any]  # parameter → hyperopt expression
OnEpoch = Callable[[dict[str, float]], None]


class TableSize(NamedTuple):
    """What a search space goes by: rows that a fit learns from, classes, levels of the category that has most."""

    n_rows: int
    n_classes: int
    n_levels: int = 0


class Family(Protocol):
    """One model family: its name, its search space, and how a candidate is built."""

    name: str
    rounds: str  # the parameter that says how many rounds are boosted; "" where a family has none

    def space(self, size: TableSize) -> SearchSpace:
        """A hyperopt space; every label starts with the family's name."""
        ...

    def baseline(self, n_rows: int) -> Params:
        """Parameters that do well untuned; always among the candidates."""
        ...

    def grid(self) -> list[Params]:
        """Parameters to try exhaustively; empty where a grid makes no sense."""
        ...

    def build(self, params: Params, schema: Schema, *, seed: int, device: str = "cpu", threads: int = 1) -> Any:
        """An unfitted estimator.

        Parameters
        ----------
        params
            Of the family; whole numbers may come as floats and tuples as lists, as a search and JSON hand them over.
        schema
            Its number of classes is the model's.
        seed
            Of all that is random in a fit.
        device
            "auto", or torch's name of one; for families that know devices.
        threads
            Of the fit, where the family has several.

        Raises
        ------
        TypeError
            A parameter that the family does not have.
        """
        ...


def encode_labels(y: Any, classes: Sequence[Any] | NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Encode labels (n,) as codes.

    Parameters
    ----------
    y
        (n,) labels, or (n, 1).
    classes
        (C,) all labels in any order; None: those in `y`, sorted.

    Returns
    -------
    Classes (C,) and codes (n,) int64, positions in them.

    Raises
    ------
    ValueError
        A label is outside of the named classes.

    >>> encode_labels(["b", "a", "b"], ["b", "a"])[1]
    array([0, 1, 0])
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        labels = labels.reshape(-1)
    known = np.unique(labels) if classes is None else np.asarray(classes)
    order = np.argsort(known, kind="stable")
    places = np.clip(np.searchsorted(known, labels, sorter=order), 0, len(known) - 1)
    codes = order[places].astype(np.int64)
    if len(labels) and not (wrong := known[codes] == labels).all():
        raise ValueError(f"expected labels among {known[:10].tolist()}, got {labels[~wrong][0]!r}")
    return known, codes


class UntrainableError(DataError, ValueError):
    """Raised when no classifier can learn from the rows; a ValueError too, as scikit-learn's tools expect."""


def check_trainable(n_rows: int, n_columns: int, codes: NDArray[np.int64]) -> None:
    """Raises UntrainableError where nothing can be learned.

    Parameters
    ----------
    n_rows
        Two or more are needed.
    n_columns
        That vary, encoded; one or more.
    codes
        (n_rows,) class codes; of two classes or more.
    """
    if n_rows < 2:
        raise UntrainableError(message("training.too_few_rows", n=n_rows))
    if n_columns == 0:
        raise UntrainableError(message("training.nothing_varies"))
    if len(np.unique(codes)) < 2:
        raise UntrainableError(message("training.one_class"))


def scatter_classes(probabilities: NDArray[Any], seen: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Scatter the columns of the classes seen in training into those of all classes.

    Parameters
    ----------
    probabilities
        (n, S) of the S classes seen in training.
    seen
        (S,) their class numbers, increasing.
    n_classes
        C, of the schema: a fold may lack a class.

    Returns
    -------
    (n, C) float64, 0 for a class that was not seen.

    >>> scatter_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    array([[0.25, 0.  , 0.75]])
    """
    if len(seen) == n_classes:
        return np.asarray(probabilities, dtype=np.float64)
    full = np.zeros((len(probabilities), n_classes), dtype=np.float64)
    full[:, seen] = probabilities
    return full


def best_round(curves: Sequence[Sequence[float]], weights: Sequence[float] | None = None) -> int:
    """The round, counted from 1, after which the mean of the curves is lowest.

    Parameters
    ----------
    curves
        Held-out log-losses after round 1, 2, … of several fits; one that stopped early stays where it stopped.
    weights
        Of the curves: their numbers of rows; None: all alike.

    >>> best_round([[0.5, 0.3, 0.4], [0.5, 0.4, 0.2, 0.1]])
    4
    """
    length = max(map(len, curves))
    even = [[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves]
    return int(np.average(even, axis=0, weights=weights).argmin()) + 1
