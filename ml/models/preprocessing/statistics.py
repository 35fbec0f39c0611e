"""Target statistics of categories with many levels: how the classes' odds differ at a level.

One-hot columns know only levels that training saw often; a statistic has a number for each, drawn towards none (0, as
for a level never seen) the fewer its rows are. Rows that a model learns from are given those of other rows alone: with
its own label in it, a level of one row would be that label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.models.onnx.graph import CATEGORIES, Graph
from ml.models.preprocessing.encoded import F32
from ml.models.preprocessing.state import Statistics

FOLDS = 5  # of the training rows; our choice
LEAST_ROWS, MOST_ROWS = 1.0, 1e6  # that the prior counts as


def table(one: Statistics) -> F32:
    """(levels + 1, K) numbers: the first row, zeros, is of every level that is not among them."""
    values = np.asarray(one.values, np.float32)
    return np.concatenate([np.zeros((1, values.shape[1]), np.float32), values])


def apply(one: Statistics, frame: pd.DataFrame) -> F32:
    """(n, K) numbers of the frame's cells."""
    places = {level: place for place, level in enumerate(one.levels, 1)}
    seen, uniques = pd.factorize(frame[one.column], use_na_sentinel=False)
    return table(one)[np.array([places.get(str(u), 0) for u in uniques], dtype=np.int64)[seen]]


def emit(graph: Graph, one: Statistics, place: int) -> str:
    """`apply` as ONNX ops.

    Parameters
    ----------
    graph
        Is written to.
    one
        Of which column.
    place
        Of the column among the categories.
    """
    text = graph.op("Gather", CATEGORIES, graph.int64(place), axis=1)
    keys, places = list(one.levels), list(range(1, len(one.levels) + 1))
    codes = graph.op(
        "LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=places, default_int64=0
    )
    found = graph.op("Gather", graph.constant(table(one)), codes, axis=0)  # (N, 1, K)
    return graph.op("Reshape", found, graph.int64(-1, len(one.values[0])))


def learn(cells: pd.Series, codes: NDArray[np.int64], weight: NDArray[np.float64], n_classes: int) -> Statistics:
    """The statistics of one column.

    How many rows the prior counts as follows from how much the levels differ beyond chance (empirical Bayes, by the
    method of moments): where they do not, every number is about 0.

    Parameters
    ----------
    cells
        (n,) levels.
    codes
        (n,) class codes.
    weight
        (n,) of the rows.
    n_classes
        C.

    **Source** Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical attributes"; the moments as
    in the analysis of variance with one random effect (Searle, Casella & McCulloch 1992, section 3.6).
    """
    places, levels = pd.factorize(cells, use_na_sentinel=False)
    sums = np.bincount(places * n_classes + codes, weight, len(levels) * n_classes).reshape(len(levels), n_classes)
    rows = sums.sum(axis=1)
    share = sums.sum(axis=0) / rows.sum()
    within = float((share * (1 - share)).sum())
    between = float((rows[:, None] * (sums / np.maximum(rows, 1e-12)[:, None] - share) ** 2).sum())
    freedom = rows.sum() - (rows**2).sum() / rows.sum()
    excess = max(between - (len(levels) - 1) * within, 0.0) / max(freedom, 1e-12)
    prior = float(np.clip(within / max(excess, 1e-12), LEAST_ROWS, MOST_ROWS))
    smooth = (sums + prior * share) / (rows + prior)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.nan_to_num(np.log(smooth / share), nan=0.0, posinf=0.0, neginf=0.0)
    if n_classes == 2:
        change = change[:, 1:] - change[:, :1]
    values = change.astype(np.float32)
    order = np.argsort(np.asarray(levels, dtype=object).astype(str), kind="stable")
    return Statistics(
        column=str(cells.name),
        levels=tuple(str(levels[i]) for i in order),
        values=tuple(tuple(float(v) for v in values[i]) for i in order),
    )


def out_of_fold(
    cells: pd.Series, codes: NDArray[np.int64], weight: NDArray[np.float64], n_classes: int
) -> NDArray[np.float32]:
    """(n, K) statistics of rows that are learned from, each by the rows of the other folds.

    Parameters
    ----------
    cells, codes, weight, n_classes
        As those of `learn`.
    """
    fold = np.random.default_rng(0).permutation(len(codes)) % FOLDS
    made = np.zeros((len(codes), 1 if n_classes == 2 else n_classes), np.float32)
    for number in range(min(FOLDS, len(codes))):
        rest, own = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(rest):
            made[own] = apply(learn(cells.iloc[rest], codes[rest], weight[rest], n_classes), cells.iloc[own].to_frame())
    return made


def names(columns: Sequence[Statistics]) -> list[str]:
    """Names of the number columns, in their order.

    >>> names([Statistics("city", ("Hue",), ((0.5,),)), Statistics("zip", ("1",), ((0.5, -0.2, 0.1),))])
    ['odds by city', 'share of class 0 by zip', 'share of class 1 by zip', 'share of class 2 by zip']
    """
    named = []
    for one in columns:
        width = table(one).shape[1]
        named += (
            [f"odds by {one.column}"] if width == 1 else [f"share of class {k} by {one.column}" for k in range(width)]
        )
    return named
