"""The background of one model's explanations, summarised: few background rows that stand for all of them.

A Shapley value against the background is the mean of those against each background row b, φ(x, b). The
part of φ(x, b) that depends on b alone is, by symmetry, −Φ(b), where Φ(b) is b's own Shapley value against
the background. So the mean over a few rows of φ(x, b) + Φ(b) estimates the value against *all* rows, and
what is left as noise is only how x and b interact (a control variate). The few are medoids in the space
of Φ: each stands, with its weight, for the rows that the model treats like it.

Φ costs some seconds at most, once a model: it is worked out when the bundle is written and kept in it.

**Source** control variates: Owen, "Monte Carlo theory, methods and examples", section 8.9; medoids: the BUILD step of
Kaufman & Rousseeuw 1990. That Φ is the control variate: φ(x, b) = −φ(b, x), Hoeffding's projection of it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np

from ml.explain.shapley import Floats, Game, Index, Model, Walks, take
from ml.schema.rows import Rows

Method = Literal["additive", "exact", "permutation"]

EVALUATIONS = 480  # rows scored to explain one by walks, unless `FEWEST` walks take more: 2 ms (bench/explain.py)
EXACT_EVALUATIONS = 3_200  # up to this many, every subset is scored: five columns of a hundred rows
PREPARATION = 100_000  # rows scored to find Φ
MAX_BACKGROUND = 100  # rows that stand for "not known"; our choice
FEWEST = 8  # walks, each with its reverse; our choice, as the numbers above and below
PARTNERS = (6, 24)  # rows that each background row is compared with to find Φ, at least and at most
ADDITIVE_TOLERANCE = 2e-4  # float32 probabilities near 0.999 give log-odds to about 1e-4


class BackgroundSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The background summarised: B of its rows, by their index, with weights that sum to 1.

    `background_rows`: how many rows they stand for. `offsets`: (T, B, K) Φ of each for each class that can be
    explained (`Game.targets`), in the order of the schema's columns; zeros where the B rows are all there are.
    """

    method: Method
    background_rows: int
    rows: tuple[int, ...]
    weights: tuple[float, ...]
    offsets: list[list[list[float]]]

    def fits(self, game: Game, background: Rows) -> bool:
        """Whether this was made for such a model and so many background rows."""
        shape = (len(game.targets), len(self.rows), len(game.columns))
        inside = all(0 <= i < len(background) for i in self.rows)
        return inside and len(self.rows) == len(self.weights) > 0 and np.shape(self.offsets) == shape


def summarise_background(model: Model, background: Rows, *, seed: int = 0) -> BackgroundSummary:
    """Summarise the background for the explanations of one model: choose the method, and the rows that stand for all.

    Parameters
    ----------
    model
        The opened bundle.
    background
        Rows that stand for "not known"; at most `MAX_BACKGROUND` of them are taken.
    seed
        Of which rows are taken, and of the walks.

    Raises
    ------
    ValueError
        There is no background row.
    """
    if len(background) == 0:
        raise ValueError("expected at least one background row, got none")
    game, rng = Game(model), np.random.default_rng(seed)
    order = rng.permutation(len(background))[:MAX_BACKGROUND]
    rows, k = take(background, order), len(game.columns)
    if _is_additive(game, rows, rng):
        return _summary("additive", len(order), order[:1], np.ones(1), _additive_offsets(game, rows))
    if len(order) << min(k, 32) <= EXACT_EVALUATIONS:
        none = np.zeros((len(game.targets), len(order), k))
        return _summary("exact", len(order), order, np.full(len(order), 1 / len(order)), none)
    return _for_walks(game, rows, order, rng)


def _for_walks(game: Game, rows: Rows, order: Index, rng: np.random.Generator) -> BackgroundSummary:
    steps = 2 * (len(game.columns) - 1)
    wanted = max(EVALUATIONS // (steps + 2), FEWEST)
    pairs = PREPARATION // steps
    partners = int(np.clip(pairs // len(order), *PARTNERS))
    n = min(len(order), max(pairs // partners, wanted))
    rows, order = rows.part(0, n), order[:n]
    affordable = n * min(partners, n) <= pairs
    own = (
        _own_values(game, rows, min(partners, n), rng)
        if affordable
        else np.zeros((len(game.targets), n, steps // 2 + 1))
    )
    if n > wanted:
        chosen, weights = _medoids(own.transpose(1, 0, 2).reshape(n, -1), wanted)
    else:  # several walks to a row
        chosen = np.resize(np.arange(n), wanted)
        weights = 1 / (n * np.bincount(chosen)[chosen])
    return _summary("permutation", n, order[chosen], weights, own[:, chosen])


def _summary(method: Method, n: int, rows: Index, weights: Floats, offsets: Floats) -> BackgroundSummary:
    return BackgroundSummary(
        method=method,
        background_rows=n,
        rows=tuple(rows.tolist()),
        weights=tuple(weights.tolist()),
        offsets=offsets.tolist(),
    )


def _own_values(game: Game, rows: Rows, partners: int, rng: np.random.Generator) -> Floats:
    """(T, N, K) Φ: means over the first `partners` rows, moved so that the mean over all rows is 0, as it must be."""
    scores = game.scores(rows, game.targets)
    others = rows.part(0, partners)
    own = np.empty((len(game.targets), len(rows), len(game.columns)))
    for i in range(len(rows)):
        walks = Walks(len(game.columns), partners, rng)
        inner = game.of_walks(rows.part(i, i + 1), others, walks, game.targets)
        shares = walks.shares(scores[:, :partners], inner, scores[:, i])
        own[:, i] = shares.mean(axis=1)
    centred: Floats = own - own.mean(axis=1, keepdims=True)
    return centred


def _medoids(points: Floats, count: int) -> tuple[Index, Floats]:
    """`count` of the (N, D) points, each next one the best addition, and each one's share of the points near it."""
    squares = (points**2).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    nearest = np.full(len(points), np.inf)
    chosen: list[int] = []
    for _ in range(count):
        total = np.minimum(nearest[:, None], distance).sum(axis=0)
        total[chosen] = np.inf
        chosen.append(int(total.argmin()))
        nearest = np.minimum(nearest, distance[:, chosen[-1]])
    owner = distance[:, chosen].argmin(axis=1)
    return np.array(chosen), np.bincount(owner, minlength=count) / len(points)


def _additive_offsets(game: Game, rows: Rows) -> Floats:
    """(T, 1, K) Φ of the first row, exact where the score is a sum of one term a column."""
    first, order = rows.part(0, 1), np.arange(len(game.columns))
    steps = [game.steps(first, rows.part(i, i + 1), order, game.targets) for i in range(len(rows))]
    offsets: Floats = np.mean(steps, axis=0)[:, None]
    return offsets


def _is_additive(game: Game, rows: Rows, rng: np.random.Generator) -> bool:
    """Whether replacing columns forwards and backwards changes the score by the same steps, between many rows."""
    some = rows.part(0, 12)
    for i, j in pairwise(range(len(some))):
        order = rng.permutation(len(game.columns))
        start, end = some.part(i, i + 1), some.part(j, j + 1)
        forwards = game.steps(end, start, order, game.targets)
        backwards = game.steps(end, start, order[::-1], game.targets)
        if np.abs(forwards - backwards).max() > ADDITIVE_TOLERANCE * (1 + np.abs(forwards).max()):
            return False
    return len(some) > 2
