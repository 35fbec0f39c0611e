"""Which rows a trial trains on and which it is scored on: the same for every trial of a search.

Few rows (below `tune.small_rows`): cross-validation as the snapshot was split: stratified k-fold, grouped
k-fold, or forward chaining in time. Many rows: the snapshot's own training and validation parts.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["stratified", "time", "group"]
Rows = npt.NDArray[np.int64]
Fold = tuple[Rows, Rows]  # training rows, held-out rows


def cross_validation(
    y: npt.NDArray[np.int64], *, kind: Kind, folds: int, groups: npt.NDArray[Any] | None = None, seed: int = 0
) -> list[Fold]:
    """Cross-validation folds: stratified, grouped, or forward chaining in time.

    The number of folds is lowered to what the rarest class (or the number of groups) can fill; each
    class is in the training rows of every fold of a stratified split.

    Parameters
    ----------
    y
        (n,) class codes; for `kind="time"` of rows in time order already.
    kind
        How the snapshot was split.
    folds
        Wanted.
    groups
        (n,) for `kind="group"`: a group is in one fold only.
    seed
        Of the folds; the same for every trial of a search.
    """
    if kind == "time":
        return forward_chain(len(y), folds)
    if kind == "group" and groups is not None:
        codes = np.unique(groups.astype(str), return_inverse=True)[1]
        k = max(2, min(folds, len(np.unique(codes))))
        return _from_numbers(_group_numbers(y, codes, k, seed), k)
    k = max(2, min(folds, int(np.bincount(y)[np.bincount(y) > 0].min())))
    return _from_numbers(_stratified_numbers(y, k, seed), k)


def forward_chain(n: int, folds: int) -> list[Fold]:
    """The last 60% of the rows in `folds` blocks; each is held out once, after training on all before it."""
    edges = np.linspace(round(0.4 * n), n, folds + 1).astype(np.int64)
    return [(np.arange(a), np.arange(a, b)) for a, b in itertools.pairwise(edges) if b > a > 0]


def held_out(n_train: int, n: int) -> list[Fold]:
    """One fold: the first `n_train` rows train, the rest is held out."""
    return [(np.arange(n_train), np.arange(n_train, n))]


def thin(fold: Fold, y: npt.NDArray[np.int64], max_rows: int, seed: int) -> Fold:
    """At most `max_rows` training rows of a fold, stratified by class (at least two rows of each).

    Parameters
    ----------
    fold
        (training rows, held-out rows); the held-out rows stay.
    y
        (n,) class codes of all rows.
    max_rows
        `tune.max_rows`.
    seed
        Of the choice.
    """
    train, valid = fold
    if len(train) <= max_rows:
        return fold
    rng = np.random.default_rng(seed)
    keep = []
    for c in np.unique(y[train]):
        rows = train[y[train] == c]
        wanted = min(len(rows), max(2, round(max_rows * len(rows) / len(train))))
        keep.append(rng.choice(rows, wanted, replace=False))
    return np.sort(np.concatenate(keep)), valid


def _stratified_numbers(y: npt.NDArray[np.int64], k: int, seed: int) -> Rows:
    """A fold number a row; each class is dealt round by round in a random order."""
    order = np.random.default_rng(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    numbers = np.empty(len(y), dtype=np.int64)
    numbers[by_class] = np.arange(len(y)) % k
    return numbers


def _group_numbers(y: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], k: int, seed: int) -> Rows:
    """A fold number a row; a group is in one fold only, classes as even as groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    numbers = np.zeros(len(y), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    for number, (_, valid) in enumerate(splitter.split(np.zeros(len(y)), y, groups)):
        numbers[valid] = number
    return numbers


def _from_numbers(numbers: Rows, k: int) -> list[Fold]:
    folds = [(np.flatnonzero(numbers != i), np.flatnonzero(numbers == i)) for i in range(k)]
    return [fold for fold in folds if len(fold[1])]
