"""Label coverage: whether the rows that have a label are a sample of the answered ones.

Where an answer decides who gets a chance to have a label, they are not. Without logged propensities nothing can be
weighed (`ml.exploration.weights`); whether labels depend on the answer can be tested.

**Source** Landis, Heyman and Koch 1978: the generalised Cochran-Mantel-Haenszel test.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from ml.messages import Message, message

Array = npt.NDArray[np.float64]

BINS = 10  # of the score, equal shares of the rows
TIME_SLICES = 10  # in which labelled and unlabelled rows are compared: old rows have had more time for a label
LEAST_ROWS = 100  # with a label, and without one, for a test; our choice
MATERIAL = 0.1  # share of the labelled rows that lie elsewhere than the answered ones: total variation. As drift's


class ScoreBin(msgspec.Struct, frozen=True, kw_only=True):
    """Answered rows whose score lies between `low` and `high`, and how many of them have a label."""

    low: float
    high: float
    rows: int
    labelled: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Labels by score. `p` is of "whether a row has a label does not depend on its score"; None where it was not asked.

    `moved` is the share of the labelled rows that would have to lie elsewhere to be spread as the answered ones are;
    `depends` says that both are beyond chance and material, and `weighed` that propensities make up for it.
    """

    bins: tuple[ScoreBin, ...] = ()
    p: float | None = None
    moved: float = 0.0
    depends: bool = False
    weighed: bool = False

    @property
    def notes(self) -> list[Message]:
        """What every verdict over the labelled rows says then; nothing where they are a sample, or are weighed."""
        if not self.depends or self.weighed:
            return []
        shares = [b.labelled / b.rows for b in self.bins]
        return [message("exploration.no_sample", least=min(shares), most=max(shares))]


def coverage(
    score: Array, labelled: npt.NDArray[np.bool_], time: Array, *, confidence: float, weighed: bool = False
) -> Coverage:
    """Coverage by score, and whether it depends on it.

    Labelled and unlabelled rows are compared within slices of time, as the newest rows have no label yet.

    Parameters
    ----------
    score
        (n,) of the positive label, or of the answered one.
    labelled, time
        (n,) each; rows newer than the newest labelled one are left out.
    confidence
        With which a dependence is said, if it moves `MATERIAL` of the labelled rows as well.
    weighed
        Whether the labelled rows are weighed by propensities.
    """
    if not labelled.any():
        return Coverage(weighed=weighed)
    old = time <= time[labelled].max()
    score, labelled, time = score[old], labelled[old], time[old]
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1]))
    _, place = np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)
    bins = tuple(_bin(score[place == i], labelled[place == i]) for i in range(int(place.max()) + 1))
    n, have = len(score), int(labelled.sum())
    if min(have, n - have) < LEAST_ROWS or len(bins) < 2:
        return Coverage(bins=bins, weighed=weighed)
    ranks = np.argsort(np.argsort(time, kind="stable"), kind="stable")
    p, moved = _mantel_haenszel(place, labelled, ranks * TIME_SLICES // n)
    return Coverage(bins=bins, p=p, moved=moved, depends=p < 1 - confidence and moved >= MATERIAL, weighed=weighed)


def _bin(score: Array, labelled: npt.NDArray[np.bool_]) -> ScoreBin:
    return ScoreBin(low=float(score.min()), high=float(score.max()), rows=len(score), labelled=int(labelled.sum()))


def _mantel_haenszel(
    place: npt.NDArray[np.int64], labelled: npt.NDArray[np.bool_], slices: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """The p-value of "within each slice the bin says nothing of the label", and the total variation over all slices."""
    from scipy.stats import chi2

    k = int(place.max()) + 1
    excess, spread, expected = np.zeros(k), np.zeros((k, k)), np.zeros(k)
    for one in np.unique(slices):
        here = slices == one
        n, have = int(here.sum()), int(labelled[here].sum())
        if n < 2 or not 0 < have < n:
            continue
        total = np.bincount(place[here], minlength=k).astype(np.float64)
        excess += np.bincount(place[here & labelled], minlength=k) - total * have / n
        expected += total * have / n
        spread += have * (n - have) / (n - 1) * (np.diag(total) / n - np.outer(total, total) / n**2)
    freedom = int(np.linalg.matrix_rank(spread))
    if not freedom:
        return 1.0, 0.0
    statistic = float(excess @ np.linalg.pinv(spread) @ excess)
    return float(chi2.sf(statistic, freedom)), float(np.abs(excess).sum() / 2 / expected.sum())
