"""Suspected leaks: a column that alone separates the classes is more often the answer than luck.

For every column and class, the ROC AUC of the column alone: of its ranks, and of the class share of
its level (or of its quantile), learned on one half of the rows and scored on the other. Source: our
choice; the threshold is `data.leak_auc`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.schema.frames import Table

_MAX_ROWS = 10_000  # drawn at random; our choice: it bounds the time
_BINS = 100  # of equal counts, for a number column with more values; our choice
_MIN_ROWS = 50  # below this, a column may separate two classes by luck


def find(frame: Table, y: NDArray[np.int64], threshold: float) -> dict[str, float]:
    """Column → AUC, for the columns of a canonical frame that reach `threshold` in every class.

    Parameters
    ----------
    y
        (n_rows,) int64 class codes ≥ 0.
    """
    if len(y) < _MIN_ROWS:
        return {}
    rows = np.random.default_rng(0).permutation(len(y))[:_MAX_ROWS]
    y = y[rows]
    suspects = {}
    for name in frame.columns:
        cells = frame[name].to_numpy()[rows]
        score = _column_auc(cells, y)
        if score >= threshold:
            suspects[str(name)] = score
    return suspects


def _column_auc(cells: NDArray[np.generic], y: NDArray[np.int64]) -> float:
    classes = np.unique(y)
    levels = _levels(cells)
    scores = []
    for code in classes[1:] if len(classes) == 2 else classes:
        truth = y == code
        best = _level_auc(levels, truth)
        if cells.dtype.kind == "f":
            best = max(
                best, *(_rank_auc(np.nan_to_num(cells.astype(np.float64), nan=end), truth) for end in (-3.5e38, 3.5e38))
            )
        scores.append(best)
    return float(min(scores))


def _levels(cells: NDArray[np.generic]) -> NDArray[np.int64]:
    codes, _ = pd.factorize(cells, use_na_sentinel=False, sort=cells.dtype.kind == "f")
    distinct = int(codes.max()) + 1
    if cells.dtype.kind == "f" and distinct > _BINS:
        ranks = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
        codes = ranks * _BINS // len(ranks)
    return np.asarray(codes, np.int64)


def _level_auc(levels: NDArray[np.int64], truth: NDArray[np.bool_]) -> float:
    half = len(truth) // 2
    size = int(levels.max()) + 1
    seen = np.bincount(levels[:half], minlength=size)
    hits = np.bincount(levels[:half], weights=truth[:half], minlength=size)
    share = (hits + truth[:half].mean()) / (seen + 1)
    return _rank_auc(share[levels[half:]], truth[half:])


def _rank_auc(scores: NDArray[np.generic], truth: NDArray[np.bool_]) -> float:
    """ROC AUC in [0.5, 1], of the better direction; 0.5 where one class is absent."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return 0.5
    ranks = pd.Series(scores).rank().to_numpy()
    auc = (ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return float(max(auc, 1 - auc))
