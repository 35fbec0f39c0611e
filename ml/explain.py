"""Why a row got its score: attributions of the raw columns that add up to the score, for any model.

The score is the log-odds of one class: the positive one for two classes, else the answered one. What a
set of known columns is worth is the mean score of the row with its other columns taken from background
rows (the interventional value function). A column's attribution is its Shapley value:

    score(row) = baseline + sum of the attributions,   baseline = mean score of the background rows

and that holds to rounding by construction, whatever the method:

* "additive": where the score is a sum of one term a column (logistic regression), one walk from a
  background row to the row gives the Shapley values exactly. Found out by trying, not by the family's name.
* "exact": few columns, every subset of them is scored.
* "permutation": walks in random orders and in the reverse of each; each column's standard error says how
  far the estimate may be from the exact value for these background rows.

Needs NumPy and the bundle alone: every value comes from the graph that serves.

**Source** Shapley value: Lundberg & Lee 2017; antithetic permutations: Mitchell, Cooper, Frank & Holmes 2022,
"Sampling permutations for Shapley value estimation", JMLR 23(43).
"""

from __future__ import annotations

from itertools import pairwise
from math import factorial
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.rows import Rows
from ml.schema import Schema

Method = Literal["additive", "exact", "permutation"]
Floats = npt.NDArray[np.float64]

EVALUATIONS = 2_000  # rows scored to explain one: about 2 ms with an MLP of 2 × 128 (measured); our choice
EXACT_EVALUATIONS = 4_096
MIN_BACKGROUND = 8
MAX_BACKGROUND = 100
ADDITIVE_TOLERANCE = 2e-4  # float32 probabilities near 0.999 give log-odds to about 1e-4
FLOOR = 1e-7  # probabilities are float32: below this, log-odds are noise


class Model(Protocol):
    """What an explanation needs of a bundle."""

    @property
    def schema(self) -> Schema: ...

    def run(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]: ...


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One row's score taken apart.

    `score` and `baseline` are log-odds of `explained_class`; `attributions` and `standard_errors` are (K,) in the
    order of `schema.columns`, the errors all zero where the method is exact; `background_rows` is how many were used.
    """

    explained_class: str
    score: float
    baseline: float
    method: Method
    background_rows: int
    attributions: Floats
    standard_errors: Floats


class Explainer:
    """Explains rows of one model. Build once a version; seeded, so the same row gets the same numbers.

    Parameters
    ----------
    model
        The opened bundle.
    background
        Rows that stand for "not known"; as many as are needed are drawn from them.
    evaluations
        About how many rows to score for one explanation.
    seed
        Of the permutations.
    """

    def __init__(self, model: Model, background: Rows, *, evaluations: int = EVALUATIONS, seed: int = 0):
        if len(background) == 0:
            raise ValueError("expected at least one background row, got none")
        self.model = model
        self.columns = [column.name for column in model.schema.columns]
        k = len(self.columns)
        self._place = _places(model.schema)
        self._seed = seed
        background = _take(background, np.random.default_rng(seed).permutation(len(background)))
        if (1 << min(k, 62)) * MIN_BACKGROUND <= EXACT_EVALUATIONS:
            self.method: Method = "exact"
            wanted = EXACT_EVALUATIONS >> k
        else:
            self.method = "permutation"
            wanted = evaluations // (4 * k)  # two permutations and their reverses a background row
        self.background = background.part(0, min(max(wanted, MIN_BACKGROUND), MAX_BACKGROUND))
        if self._is_additive(background):
            self.method = "additive"
            self.background = background.part(0, MAX_BACKGROUND)
        self._walks = _Walks(k, len(self.background), np.random.default_rng(seed))
        self._background_scores: dict[int, Floats] = {}
        self._offsets: dict[int, Floats] = {}

    def explain(self, rows: Rows) -> list[Explanation]:
        """One explanation a row."""
        return [self._explain(rows.part(i, i + 1)) for i in range(len(rows))]

    def _explain(self, row: Rows) -> Explanation:
        target = self._target(row)
        if self.method == "additive":
            attributions = self._additive(row, target)
            errors = np.zeros_like(attributions)
        elif self.method == "exact":
            attributions = self._exact(row, target)
            errors = np.zeros_like(attributions)
        else:
            attributions, errors = self._permutation(row, target)
        return Explanation(
            explained_class=self.model.schema.classes[target],
            score=float(self._scores(row, target)[0]),
            baseline=float(self._of_background(target).mean()),
            method=self.method,
            background_rows=len(self.background),
            attributions=attributions,
            standard_errors=errors,
        )

    def _target(self, row: Rows) -> int:
        classes = self.model.schema.classes
        if len(classes) == 2:
            return classes.index(self.model.schema.positive_label)
        return int(self.model.run(row.numbers, row.categories)[0].argmax())

    def _scores(self, rows: Rows, target: int) -> Floats:
        return log_odds(self.model.run(rows.numbers, rows.categories), target)

    def _of_background(self, target: int) -> Floats:
        if target not in self._background_scores:
            self._background_scores[target] = self._scores(self.background, target)
        return self._background_scores[target]

    def _mixed(self, row: Rows, other: Rows, known: npt.NDArray[np.bool_]) -> Rows:
        """`other` with the columns that `known` (n, K) marks taken from the one `row`."""
        numbers_at, categories_at = self._place
        return Rows(
            np.where(known[:, numbers_at], row.numbers, other.numbers),
            np.where(known[:, categories_at], row.categories, other.categories),
        )

    def _permutation(self, row: Rows, target: int) -> tuple[Floats, Floats]:
        walks = self._walks
        other = _take(self.background, walks.background)
        inner = self._scores(self._mixed(row, other, walks.known), target)
        end = self._scores(row, target)[0]
        contributions = walks.contributions(self._of_background(target), inner, end)  # (B, 2, K)
        by_row = contributions.mean(axis=1)
        # Two independent pairs a background row: half their squared difference estimates a pair's variance.
        variance = ((contributions[:, 0] - contributions[:, 1]) ** 2 / 4).sum(axis=0)
        return by_row.mean(axis=0), np.sqrt(variance) / len(self.background)

    def _exact(self, row: Rows, target: int) -> Floats:
        k, b = len(self.columns), len(self.background)
        subsets = np.arange(1 << k)
        known = (subsets[:, None] >> np.arange(k)) & 1 == 1
        other = _take(self.background, np.tile(np.arange(b), len(subsets)))
        scores = self._scores(self._mixed(row, other, np.repeat(known, b, axis=0)), target)
        values = scores.reshape(len(subsets), b).mean(axis=1)
        sizes = known.sum(axis=1)
        weights = np.array([factorial(s) * factorial(k - s - 1) / factorial(k) for s in range(k)])
        attributions = np.empty(k)
        for j in range(k):
            without = subsets[~known[:, j]]
            attributions[j] = (weights[sizes[without]] * (values[without | (1 << j)] - values[without])).sum()
        return attributions

    def _additive(self, row: Rows, target: int) -> Floats:
        """Steps of one walk from the first background row, and from there to the mean of all."""
        if target not in self._offsets:
            first = self.background.part(0, 1)
            steps = [self._steps(first, self.background.part(i, i + 1), target) for i in range(len(self.background))]
            self._offsets[target] = np.mean(steps, axis=0)
        return self._steps(row, self.background.part(0, 1), target) + self._offsets[target]

    def _steps(self, row: Rows, start: Rows, target: int, order: npt.NDArray[np.int64] | None = None) -> Floats:
        """(K,) change of score as each column of `start` is replaced by `row`'s, in turn."""
        k = len(self.columns)
        order = np.arange(k) if order is None else order
        known = np.zeros((k + 1, k), bool)
        for step, (_, column) in enumerate(zip(range(k), order, strict=True), start=1):
            known[step:, column] = True
        scores = self._scores(self._mixed(row, _take(start, np.zeros(k + 1, np.int64)), known), target)
        steps = np.empty(k)
        steps[order] = np.diff(scores)
        return steps

    def _is_additive(self, background: Rows) -> bool:
        """Whether replacing columns forwards and backwards changes the score by the same steps, between many rows."""
        k, rng = len(self.columns), np.random.default_rng(self._seed)
        some = background.part(0, 12)
        for i, j in pairwise(range(len(some))):
            order = rng.permutation(k)
            start, end = some.part(i, i + 1), some.part(j, j + 1)
            target = self._target(end)
            forwards = self._steps(end, start, target, order)
            backwards = self._steps(end, start, target, order[::-1])
            if np.abs(forwards - backwards).max() > ADDITIVE_TOLERANCE * (1 + np.abs(forwards).max()):
                return False
        return len(some) > 2


class _Walks:
    """Two random orders of K columns and their reverses, for each of B background rows.

    `known` is (n, K): which columns of each inner point of a walk come from the row; `background` is (n,): the
    background row of the point. A walk and its reverse share both ends, which are not among the points.
    """

    def __init__(self, k: int, b: int, rng: np.random.Generator):
        self.shape = (b, 2, 2, k)
        orders = rng.permuted(np.broadcast_to(np.arange(k), (b, 2, k)), axis=2)
        self.orders = np.stack([orders, orders[..., ::-1]], axis=2)  # (B, 2, 2, K)
        rank = np.argsort(self.orders, axis=-1)
        steps = np.arange(1, k)
        known = rank[..., None, :] < steps[:, None]  # (B, 2, 2, K-1, K)
        self.known = known.reshape(-1, k)
        self.background = np.repeat(np.arange(b), 4 * (k - 1))

    def contributions(self, starts: Floats, inner: Floats, end: float) -> Floats:
        """(B, 2, K): each column's change of score, the mean of a walk and its reverse."""
        b, pairs, ways, k = self.shape
        scores = np.empty((b, pairs, ways, k + 1))
        scores[..., 0] = starts[:, None, None]
        scores[..., 1:-1] = inner.reshape(b, pairs, ways, k - 1)
        scores[..., -1] = end
        changes = np.empty(self.shape)
        np.put_along_axis(changes, self.orders, np.diff(scores, axis=-1), axis=-1)
        mean: Floats = changes.mean(axis=2)
        return mean


def log_odds(probabilities: npt.NDArray[Any], target: int) -> Floats:
    """(n, C) probabilities → (n,) log-odds of class `target`, within ±16."""
    p = probabilities[:, target].astype(np.float64)
    rest = probabilities.sum(axis=1, dtype=np.float64) - p
    odds: Floats = np.log(np.maximum(p, FLOOR)) - np.log(np.maximum(rest, FLOOR))
    return odds


def importance(explainer: Explainer, rows: Rows) -> dict[str, float]:
    """Global importance: mean absolute attribution of each column over `rows`, in log-odds, largest first."""
    if len(rows) == 0:
        raise ValueError("expected at least one row to take the importance over, got none")
    mean = np.mean([np.abs(explanation.attributions) for explanation in explainer.explain(rows)], axis=0)
    return {explainer.columns[j]: float(mean[j]) for j in np.argsort(-mean, kind="stable")}


def _places(schema: Schema) -> tuple[list[int], list[int]]:
    """Where the number columns, and where the category columns, are in `schema.columns`."""
    kinds = [column.kind for column in schema.columns]
    return [i for i, kind in enumerate(kinds) if kind == "number"], [
        i for i, kind in enumerate(kinds) if kind == "category"
    ]


def _take(rows: Rows, index: npt.NDArray[np.int64]) -> Rows:
    return Rows(rows.numbers[index], rows.categories[index])
