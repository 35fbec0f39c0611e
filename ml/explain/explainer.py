"""Shapley explanations: attributions of the raw columns that add up to a row's score, for any model.

The score is the log-odds of one class: the positive one for two classes, else the answered one. What a
set of known columns is worth is the mean score of the row with its other columns taken from background
rows (the interventional value function). A column's attribution is its Shapley value:

    score(row) = baseline + sum of the attributions,   baseline = mean score of the background rows

and that holds to rounding by construction, whatever the method:

* "additive": where the score is a sum of one term a column (logistic regression), one walk from a
  background row to the row gives the Shapley values exactly. Found out by trying, not by the family's name.
* "exact": few columns, every subset of them is scored.
* "permutation": walks in random orders and in the reverse of each, from a few background rows that stand for
  all (`ml.explain.background`); each column's standard error says how far the estimate may be from the exact value for
  all background rows.

Needs NumPy and the bundle alone. The scores of the row and of the background rows come from the graph that serves;
those between them, along the walks, from the same model's graph over mixtures of rows (`ml.models.onnx.mixing`), which
is held to the first when it is loaded. `bench/explain.py` measures time and error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml.errors import BundleError
from ml.explain.background import BackgroundSummary, Method, summarise_background
from ml.explain.shapley import Floats, Game, Model, Walks, take
from ml.messages import message
from ml.schema.rows import Rows

if TYPE_CHECKING:
    from ml.bundle.reader import Bundle

BACKGROUND_SUMMARY = "explanation.json"  # its file in a bundle


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One row's Shapley values: its score taken apart.

    `score` and `baseline` are log-odds of `explained_class`; `attributions` and `standard_errors` are (K,) in the
    order of `schema.columns`, the errors all zero where the method is exact; `background_rows` is how many rows the
    baseline is the mean of.
    """

    explained_class: str
    score: float
    baseline: float
    method: Method
    background_rows: int
    attributions: Floats
    standard_errors: Floats

    @property
    def probability_shares(self) -> Floats:
        """(K,) what each column adds to the probability: they sum to the row's, less that of `baseline`.

        The probability is taken along the straight line from `baseline` to `score` (its Aumann-Shapley values), so that
        each column keeps its share of the log-odds.

        **Source** Aumann and Shapley 1974, "Values of non-atomic games".
        """
        distance = self.score - self.baseline
        before, after = (1 / (1 + np.exp(-np.clip(odds, -700, 700))) for odds in (self.baseline, self.score))
        slope = before * (1 - before) if abs(distance) < 1e-6 else (after - before) / distance
        shares: Floats = self.attributions * slope
        return shares


class Explainer:
    """Explains rows of one model. Build once a version; seeded, so the same row gets the same numbers.

    Parameters
    ----------
    model
        The opened bundle.
    background
        Rows that stand for "not known".
    summary
        `ml.explain.background.summarise_background` of this model and background; None makes it now, which
        takes up to seconds.
    seed
        Of the walks' orders, and of the summary where none is given.

    Raises
    ------
    ValueError
        There is no background row.
    BundleError
        The summary is of another model or background, or the graph for mixtures of another model.
    """

    def __init__(
        self, model: Model, background: Rows, summary: BackgroundSummary | None = None, *, seed: int = 0
    ) -> None:
        self._game = Game(model)
        self._summary = summarise_background(model, background, seed=seed) if summary is None else summary
        if not self._summary.fits(self._game, background):
            raise BundleError(message("bundle.background"))
        self.model, self.columns, self.method = model, self._game.columns, self._summary.method
        self._others = take(background, self._summary.rows)
        self._game.check_mixing(self._others)
        self._weights, self._offsets = np.asarray(self._summary.weights), np.asarray(self._summary.offsets)
        self._walks = Walks(len(self.columns), len(self._others), np.random.default_rng(seed))
        self._starts = self._game.scores(self._others, self._game.targets)  # (T, B)

    @classmethod
    def of(cls, bundle: Bundle) -> Explainer:
        """The explainer of a bundle, with the summarised background that was written with it."""
        stored = bundle.json(BACKGROUND_SUMMARY)
        try:
            summary = None if stored is None else msgspec.convert(stored, BackgroundSummary)
        except msgspec.ValidationError as error:
            file = str(bundle.path / BACKGROUND_SUMMARY)
            raise BundleError(message("bundle.unreadable", file=file, error=str(error))) from error
        return cls(bundle, bundle.background, summary)

    def explain(self, rows: Rows) -> list[Explanation]:
        """One explanation a row."""
        return [self._explain(rows.part(i, i + 1)) for i in range(len(rows))]

    def _explain(self, row: Rows) -> Explanation:
        ends = self._game.scores(row, self._game.targets)[:, 0]
        at = int(ends.argmax())  # of two classes only the positive one is among the targets
        target = self._game.targets[at]
        # An estimate of the whole attribution from each background row, (B, K) but for "exact".
        if self.method == "exact":
            estimates = self._game.every_subset(row, self._others, target)[None]
            attributions, errors = estimates[0], np.zeros(len(self.columns))
        else:
            estimates = self._shares(row, at, ends[at]) + self._offsets[at]
            attributions = self._weights @ estimates
            errors = self._standard_errors(estimates, attributions)
        baseline = self._weights @ (self._starts[at] - self._offsets[at].sum(axis=1))
        return Explanation(
            explained_class=self.model.schema.classes[target],
            score=float(ends[at]),
            baseline=float(baseline),
            method=self.method,
            background_rows=self._summary.background_rows,
            attributions=attributions,
            standard_errors=errors,
        )

    def _shares(self, row: Rows, at: int, end: float) -> Floats:
        """(B, K) what the row's columns change against each of the B background rows."""
        target = self._game.targets[at]
        if self.method == "additive":
            order = np.arange(len(self.columns))
            return self._game.steps(row, self._others, order, [target])
        inner = self._game.of_walks(row, self._others, self._walks, [target])
        shares: Floats = self._walks.shares(self._starts[at : at + 1], inner, np.array([end]))[0]
        return shares

    def _standard_errors(self, estimates: Floats, mean: Floats) -> Floats:
        """(K,) of the weighted mean of B estimates; 0 for the one that is exact."""
        if self.method == "additive":
            return np.zeros(len(mean))
        share = (self._weights**2).sum()  # 1 / B where the weights are equal
        errors: Floats = np.sqrt(self._weights @ (estimates - mean) ** 2 * share / (1 - share))
        return errors


def importance(explainer: Explainer, rows: Rows) -> dict[str, float]:
    """Global feature importance: mean absolute Shapley value of each column over `rows`, in log-odds, largest first."""
    if len(rows) == 0:
        raise ValueError("expected at least one row to take the importance over, got none")
    mean = np.mean([np.abs(explanation.attributions) for explanation in explainer.explain(rows)], axis=0)
    return {explainer.columns[j]: float(mean[j]) for j in np.argsort(-mean, kind="stable")}
