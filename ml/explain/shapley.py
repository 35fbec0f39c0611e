"""The game behind an explanation: what a set of known columns is worth, and walks that share it out.

What a set of columns is worth is the score of the row with its other columns taken from another row. A column's
Shapley value is its mean change of that worth over all orders in which the columns can become known.

**Source** Lundberg & Lee 2017, "A Unified Approach to Interpreting Model Predictions"; antithetic permutations:
Mitchell, Cooper, Frank & Holmes 2022, "Sampling Permutations for Shapley Value Estimation", JMLR 23(43).
"""

from __future__ import annotations

from math import factorial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml.decision import FLOAT32_FLOOR
from ml.errors import BundleError
from ml.messages import message
from ml.schema.rows import Rows
from ml.schema.schema import Schema

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TOLERANCE = 1e-5  # of probabilities: both graphs are float32 and sum in another order
CHUNK = 2_048  # rows a run: larger runs are slower a row, and cost memory


class Model(Protocol):
    """What an explanation needs of a bundle."""

    @property
    def schema(self) -> Schema: ...

    def run(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]: ...

    def mixing(self) -> Any: ...


def log_odds(probabilities: npt.NDArray[Any], target: int) -> Floats:
    """(n, C) probabilities → (n,) log-odds of class `target`, within ±16."""
    p = probabilities[:, target].astype(np.float64)
    rest = probabilities.sum(axis=1, dtype=np.float64) - p
    odds: Floats = np.log(np.maximum(p, FLOAT32_FLOOR)) - np.log(np.maximum(rest, FLOAT32_FLOOR))
    return odds


def take(rows: Rows, index: npt.ArrayLike) -> Rows:
    """The rows at `index`, as a copy."""
    at = np.asarray(index, dtype=np.int64)
    return Rows(rows.numbers[at], rows.categories[at])


class Game:
    """Scores of mixed rows by one model.

    `columns` are the K names in schema order; `targets` the classes that can be explained: the positive one of two,
    else every class.
    """

    def __init__(self, model: Model) -> None:
        schema = model.schema
        self.model = model
        self.columns = [column.name for column in schema.columns]
        self.targets = (
            [schema.classes.index(schema.positive_label)]
            if len(schema.classes) == 2
            else list(range(len(schema.classes)))
        )
        kinds = [column.kind for column in schema.columns]
        self._numbers = [i for i, kind in enumerate(kinds) if kind != "category"]
        self._categories = [i for i, kind in enumerate(kinds) if kind == "category"]
        self._mixing = model.mixing()

    def scores(self, rows: Rows, targets: list[int]) -> Floats:
        """(len(targets), n) log-odds."""
        out = np.empty((len(targets), len(rows)))
        for start in range(0, len(rows), CHUNK):
            part = rows.part(start, start + CHUNK)
            probabilities = self.model.run(part.numbers, part.categories)
            for i, target in enumerate(targets):
                out[i, start : start + CHUNK] = log_odds(probabilities, target)
        return out

    def mixed(self, row: Rows, others: Rows, known: Mask) -> Rows:
        """Mixtures of one row with others.

        Parameters
        ----------
        row
            One row.
        others
            n rows.
        known
            (n, K): the columns that are taken from `row`.
        """
        return Rows(
            np.where(known[:, self._numbers], row.numbers, others.numbers),
            np.where(known[:, self._categories], row.categories, others.categories),
        )

    def of_walks(self, row: Rows, others: Rows, walks: Walks, targets: list[int]) -> Floats:
        """Scores of the walks' inner points, by the model's graph for mixtures where it has one.

        Parameters
        ----------
        row
            One row.
        others
            The B rows that the walks start from.
        walks
            Their n = B · 2 · (K - 1) inner points.
        targets
            Class numbers.

        Returns
        -------
        (len(targets), n) log-odds.
        """
        if self._mixing is None:
            return self.scores(self.mixed(row, take(others, walks.other), walks.known), targets)
        rows = Rows(np.concatenate([row.numbers, others.numbers]), np.concatenate([row.categories, others.categories]))
        known = walks.known[:, self._numbers + self._categories].astype(np.float32)
        probabilities = self._mixing(rows.numbers, rows.categories, known.reshape(len(others), -1, known.shape[1]))
        return np.stack([log_odds(probabilities, target) for target in targets])

    def check_mixing(self, rows: Rows) -> None:
        """Raises BundleError where the graph for mixtures does not answer for whole rows what the model answers."""
        if self._mixing is None:
            return
        one, k = np.zeros(len(rows) + 1, np.int64), len(self.columns)
        one[1:] = np.arange(len(rows))  # the first row, then all
        known = np.repeat(np.array([0, 1], np.float32), k).reshape(1, 2, k).repeat(len(rows), axis=0)
        mixed = self._mixing(rows.numbers[one], rows.categories[one], known).reshape(len(rows), 2, -1)
        whole = self.model.run(rows.numbers, rows.categories)
        worst = max(np.abs(mixed[:, 0] - whole).max(), np.abs(mixed[:, 1] - whole[0]).max())
        if not worst <= TOLERANCE:  # catches NaN as well
            raise BundleError(message("bundle.explains_otherwise", worst=worst, allowed=TOLERANCE))

    def every_subset(self, row: Rows, others: Rows, target: int) -> Floats:
        """Exact Shapley values of a row against the mean of others, by scoring every subset of the columns.

        Parameters
        ----------
        row
            One row.
        others
            B background rows: 2^K · B rows are scored.
        target
            Class number.

        Returns
        -------
        (K,) in log-odds.

        **Source** Shapley 1953; the weights are |S|! (K - |S| - 1)! / K!.
        """
        k, b = len(self.columns), len(others)
        subsets = np.arange(1 << k)
        known = (subsets[:, None] >> np.arange(k)) & 1 == 1
        repeated = take(others, np.tile(np.arange(b), len(subsets)))
        scores = self.scores(self.mixed(row, repeated, np.repeat(known, b, axis=0)), [target])[0]
        values = scores.reshape(len(subsets), b).mean(axis=1)
        sizes = known.sum(axis=1)
        weights = np.array([factorial(s) * factorial(k - s - 1) / factorial(k) for s in range(k)])
        shares = np.empty(k)
        for j in range(k):
            without = subsets[~known[:, j]]
            shares[j] = (weights[sizes[without]] * (values[without | (1 << j)] - values[without])).sum()
        return shares

    def steps(self, row: Rows, start: Rows, order: Index, targets: list[int]) -> Floats:
        """Change of score as each column of one row is replaced by another row's, in order.

        Parameters
        ----------
        row
            Where the walk ends.
        start
            The one row where it starts.
        order
            (K,) columns.
        targets
            Class numbers.

        Returns
        -------
        (len(targets), K) in the schema's order of columns.
        """
        k = len(order)
        known = np.argsort(order)[None, :] < np.arange(k + 1)[:, None]
        scores = self.scores(self.mixed(row, take(start, np.zeros(k + 1)), known), targets)
        steps = np.empty((len(targets), k))
        steps[:, order] = np.diff(scores, axis=1)
        return steps


class Walks:
    """For each of B other rows a random order of the K columns, walked forwards and backwards.

    The mean of a walk and its reverse is the Shapley value itself as long as no more than two columns interact.
    `known` is (n, K): which columns of each inner point come from the row; `other` is (n,): the other row of the
    point. Both walks share their ends, which are not among the n = 2 · B · (K − 1) points.

    Parameters
    ----------
    k
        Columns.
    b
        Other rows, one pair of walks each.
    rng
        Draws the orders.
    """

    def __init__(self, k: int, b: int, rng: np.random.Generator) -> None:
        orders = rng.permuted(np.broadcast_to(np.arange(k), (b, k)), axis=1)
        self._orders = np.stack([orders, orders[:, ::-1]], axis=1)  # (B, 2, K)
        rank = np.argsort(self._orders, axis=-1)
        known = rank[:, :, None, :] < np.arange(1, k)[:, None]  # (B, 2, K-1, K)
        self.known: Mask = known.reshape(-1, k)
        self.other: Index = np.repeat(np.arange(b), 2 * (k - 1))

    def shares(self, starts: Floats, inner: Floats, end: Floats) -> Floats:
        """What each column changed, the mean of a walk and its reverse.

        Parameters
        ----------
        starts
            (T, B) scores of the other rows.
        inner
            (T, n) of the walks' inner points.
        end
            (T,) of the row.

        Returns
        -------
        (T, B, K) changes of score; they add up to `end` - `starts`.
        """
        b, ways, k = self._orders.shape
        scores = np.empty((len(end), b, ways, k + 1))
        scores[..., 0] = starts[:, :, None]
        scores[..., 1:-1] = inner.reshape(len(end), b, ways, k - 1)
        scores[..., -1] = end[:, None, None]
        changes = np.empty((len(end), b, ways, k))
        np.put_along_axis(changes, self._orders[None], np.diff(scores, axis=-1), axis=-1)
        mean: Floats = changes.mean(axis=2)
        return mean
