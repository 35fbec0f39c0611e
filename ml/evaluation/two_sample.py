"""Two-sample tests with effect sizes, and the correction for many columns.

Both windows are samples here. (Evidently's own chi-square takes the reference as exact, which gives a
false alarm for half of the unchanged columns: measured, see docs/drift.md.)

The two tests of ordered columns work on counts over cells, which SciPy's do not take: of a million rows on each
side in 1,000 cells, Kolmogorov-Smirnov takes 0.02 ms here and 400 ms in SciPy on the values, rank-sum 0.06 ms and
85 ms. The others are SciPy's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

MIN_EXPECTED = 5.0  # rows expected in a level of either window, below which levels are pooled (Cochran 1954)


class Test(NamedTuple):
    """`effect` in [0, 1] and its standard error, and the `p` of "nothing changed"."""

    effect: float
    error: float
    p: float


def kolmogorov_smirnov(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Test:
    """Two-sample Kolmogorov-Smirnov on counts over the same ordered cells.

    Parameters
    ----------
    reference, current
        (n_cells,) counts of each side in the same cells, in their order.

    Returns
    -------
    Effect: D, the largest distance between the two distribution functions. The p is asymptotic and with
    ties on the safe side.

    **Source** Kolmogorov 1933, Smirnov 1948.

    >>> round(kolmogorov_smirnov(np.array([50, 50]), np.array([20, 80])).effect, 3)
    0.3
    """
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        return Test(0.0, 1.0, 1.0)
    distance = float(np.abs(np.cumsum(reference) / n - np.cumsum(current) / m).max())
    return Test(distance, share_error(n, m), float(special.kolmogorov(np.sqrt(n * m / (n + m)) * distance)))


def rank_sum(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> float:
    """p of the two-sample rank-sum test on counts over the same ordered cells; ties take their mean rank.

    Normal, corrected for ties. **Source** Wilcoxon 1945; Mann and Whitney 1947.
    """
    n, m = float(reference.sum()), float(current.sum())
    total = reference + current
    rank = np.cumsum(total) - (total - 1) / 2
    tied = float((total.astype(np.float64) ** 3 - total).sum()) / max((n + m) * (n + m - 1), 1.0)
    variance = n * m / 12 * (n + m + 1 - tied)
    if not n or not m or variance <= 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(float((current * rank).sum()) - m * (n + m + 1) / 2) / np.sqrt(variance)))


def ordered(reference: npt.NDArray[Any], current: npt.NDArray[Any]) -> Test:
    """Any change of an ordered column: the smaller p of Kolmogorov-Smirnov and rank-sum, paid for by doubling it.

    The first sees every change, the second a moved mean with far fewer rows: a quarter of a standard deviation in
    one of 20 columns at 1,000 rows is missed by the first alone in 1 window of 13 (bench/drift_rule.py). The effect is
    the Kolmogorov-Smirnov distance.
    """
    test = kolmogorov_smirnov(reference, current)
    return test._replace(p=min(1.0, 2 * min(test.p, rank_sum(reference, current))))


def chi_square(reference: Mapping[str, int], current: Mapping[str, int]) -> Test:
    """Two-sample chi-square test (homogeneity) over levels, the rare ones pooled by their count in both windows.

    Parameters
    ----------
    reference, current
        Level → rows.

    Returns
    -------
    Effect: total variation distance of the pooled distributions, half the sum of |p - q|.

    >>> chi_square({"a": 120, "b": 80}, {"a": 80, "b": 120}).p < 1e-4
    True
    """
    names = list(dict.fromkeys([*reference, *current]))
    table = np.array([[source.get(name, 0) for name in names] for source in (reference, current)], dtype=np.float64)
    n, m = table.sum(axis=1).tolist() if names else (0.0, 0.0)
    if not n or not m:
        return Test(0.0, 1.0, 1.0)
    expected = table.sum(axis=0) * min(n, m) / (n + m)
    rare = expected < MIN_EXPECTED
    if rare.sum() > 1:
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    shares = table / table.sum(axis=1, keepdims=True)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if table.shape[1] < 2:
        return Test(effect, share_error(n, m), 1.0)
    return Test(effect, share_error(n, m), float(stats.chi2_contingency(table, correction=False).pvalue))


def proportions(hits_a: int, n_a: int, hits_b: int, n_b: int) -> Test:
    """Two-sample test of proportions: Fisher's exact test where a count is small, else the pooled z test.

    Parameters
    ----------
    hits_a, n_a, hits_b, n_b
        Rows of each side that have the property, and all of them.

    Returns
    -------
    Effect: |share a - share b|.
    """
    if not n_a or not n_b:
        return Test(0.0, 1.0, 1.0)
    a, b, pooled = hits_a / n_a, hits_b / n_b, (hits_a + hits_b) / (n_a + n_b)
    if pooled in (0.0, 1.0):
        return Test(0.0, 0.0, 1.0)
    error = float(np.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b))
    if min(pooled, 1 - pooled) * min(n_a, n_b) < 4 * MIN_EXPECTED:  # the tail of z is not to be trusted below
        p = float(stats.fisher_exact([[hits_a, n_a - hits_a], [hits_b, n_b - hits_b]]).pvalue)
    else:
        z = abs(a - b) / np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
        p = float(2 * stats.norm.sf(z))
    return Test(abs(a - b), error, p)


def significant(p_values: Sequence[float], q: float) -> npt.NDArray[np.bool_]:
    """Benjamini-Hochberg: which of many tests stand when at most a share `q` of the findings may be false.

    Where nothing changed, any finding at all has probability q at most. **Source** Benjamini and Hochberg 1995.
    """
    return np.asarray(stats.false_discovery_control(np.asarray(p_values, dtype=np.float64)) <= q, dtype=bool)


def may_be_material(test: Test, material: float) -> bool:
    """Whether the effect cannot be told from a material one: its one-sided 95% upper bound reaches `material`.

    Asked only of significant effects. Comparing the estimate itself would miss half of the effects that
    are exactly material; with many rows both are the same. **Source** our choice, measured by bench/drift_rule.py.
    """
    return test.effect + 1.645 * test.error >= material


def share_error(n: float, m: float) -> float:
    """Standard error of a difference of two shares at its largest (both a half)."""
    return float(np.sqrt(0.25 / n + 0.25 / m))


def drop_lower_bound(
    reference: npt.NDArray[Any],
    current: npt.NDArray[Any],
    confidence: float,
    *,
    shares: bool = False,
    weight: npt.NDArray[np.float64] | None = None,
) -> float:
    """One-sided lower confidence bound of mean(reference) - mean(current), by Welch's t.

    Written out: SciPy's `ttest_ind` gives the same bound, and warns of every sample whose values are all equal.

    Parameters
    ----------
    reference, current
        (n,) and (m,) per-row scores.
    confidence
        Of the one side.
    shares
        Rows are 0 or 1: one success and one failure are added to each side (Agresti and Caffo 2000), which keeps the
        bound honest where the share is near 1 or rows are few.
    weight
        (m,) of the current rows: their mean is the weighted one, and they count by their effective sample size. None:
        all alike.

    Returns
    -------
    The bound; -inf where a side has fewer than two rows.
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (reference, current))
    w = np.ones(len(b)) if weight is None else np.asarray(weight, dtype=np.float64)
    if shares:
        each = (w**2).sum() / max(w.sum(), 1e-12)  # what one row of the effective sample weighs
        a, b, w = np.concatenate([a, [0.0, 1.0]]), np.concatenate([b, [0.0, 1.0]]), np.concatenate([w, [each, each]])
    a_mean, va, n = _mean_variance(a, np.ones(len(a)))
    b_mean, vb, m = _mean_variance(b, w)
    if min(n, m) < 2:
        return float("-inf")
    if va + vb == 0:
        return a_mean - b_mean
    freedom = (va + vb) ** 2 / (va**2 / (n - 1) + vb**2 / (m - 1))
    return float(a_mean - b_mean - stats.t.ppf(confidence, freedom) * np.sqrt(va + vb))


def _mean_variance(x: npt.NDArray[np.float64], w: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """A weighted mean, its variance, and the effective sample size."""
    if not w.any():
        return 0.0, 0.0, 0.0
    n = float(w.sum() ** 2 / (w**2).sum())
    mean = float(w @ x / w.sum())
    linear = float((w**2) @ (x - mean) ** 2 / w.sum() ** 2)
    return mean, linear * n / (n - 1) if n > 1 else 0.0, n
