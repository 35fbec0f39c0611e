"""Confidence bounds: of a mean by the studentised bootstrap, of a share by Wilson's interval.

**Source** Efron and Tibshirani 1993, ch. 12: the studentised bootstrap stays honest on skewed values, such as the
differences that log-loss gives. Above 5,000 rows the normal bound, to which it has converged by then.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

NORMAL_ROWS = 5_000  # of more, a mean is taken as normal: Student's t is the same then to three digits
SMALL = 1e-12  # a smaller spread is rounding, not doubt


class Bound(msgspec.Struct, frozen=True):
    """A mean with its one-sided lower and upper confidence bounds; JSON has null for one that is not known."""

    mean: float
    lower: float
    upper: float
    rows: int


def bound(
    d: npt.NDArray[np.float64],
    *,
    confidence: float,
    n_bootstrap: int,
    seed: int,
    tests: int = 1,
    weight: npt.NDArray[np.float64] | None = None,
) -> Bound:
    """One-sided confidence bounds of the mean of `d`, from each side.

    Parameters
    ----------
    d
        (n,) values, such as one row's gain each.
    confidence
        Of each side.
    n_bootstrap
        Resamples; too few for the tail that is asked for give Student's t.
    tests
        How many bounds are asked for together: Bonferroni's correction.
    weight
        (n,) of each value: the mean is the weighted one, and rows count by their effective sample size. None: all
        alike.

    Returns
    -------
    Of fewer than two values nothing is known: the bounds are infinite.

    >>> bound(np.array([1.0, 1.0, 1.0]), confidence=0.95, n_bootstrap=500, seed=0)
    Bound(mean=1.0, lower=1.0, upper=1.0, rows=3)
    """
    if weight is not None and len(d) and not (weight == weight[0]).all():
        return _weighted(d, weight, (1 - confidence) / tests, n_bootstrap, seed)
    n, mean = len(d), float(d.mean()) if len(d) else 0.0
    spread = float(d.std(ddof=1)) if n > 1 else np.inf
    error = spread / np.sqrt(max(n, 1))
    alpha = (1 - confidence) / tests
    if n < 2:
        return Bound(mean, -np.inf, np.inf, n)
    if spread < SMALL:
        return Bound(mean, mean, mean, n)
    low_t, high_t = _t_quantiles(d, alpha, n_bootstrap, seed)
    return Bound(mean, float(mean - high_t * error), float(mean - low_t * error), n)


def _t_quantiles(d: npt.NDArray[np.float64], alpha: float, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """The alpha and 1 - alpha quantiles of the mean's t statistic over resamples of `d`."""
    from scipy.stats import norm, t

    n = len(d)
    plain = float(norm.ppf(1 - alpha)) if n > NORMAL_ROWS else float(t.ppf(1 - alpha, n - 1))
    if n > NORMAL_ROWS or alpha * n_bootstrap < 5:  # too few resamples for so far a tail
        return -plain, plain
    rng = np.random.default_rng(seed)
    statistics = []
    for _ in range(max(1, -(-n_bootstrap * n // 4_000_000))):  # at most 32 MB at a time
        size = min(n_bootstrap, max(1, 4_000_000 // n))
        sample = d[rng.integers(0, n, (size, n))]
        error = sample.std(axis=1, ddof=1) / np.sqrt(n)
        usable = error > SMALL
        statistics.append((sample.mean(axis=1) - d.mean())[usable] / error[usable])
    low, high = np.quantile(np.concatenate(statistics), [alpha, 1 - alpha])
    # Never bolder than Student's t: on a handful of rows the resamples themselves are too alike.
    return min(float(low), -plain), max(float(high), plain)


def _weighted(
    d: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], alpha: float, n_bootstrap: int, seed: int
) -> Bound:
    """The same of a self-normalised mean, Σwd / Σw, whose error is that of its linearisation (Hájek)."""
    from scipy.stats import t

    d, weight = d[weight > 0], weight[weight > 0]
    n = len(d)
    mean, error, effective = _weighted_mean(d[None], weight[None])
    if n < 2 or effective[0] <= 1:
        return Bound(float(mean[0]) if n else 0.0, -np.inf, np.inf, n)
    if error[0] < SMALL:
        return Bound(float(mean[0]), float(mean[0]), float(mean[0]), n)
    plain = float(t.ppf(1 - alpha, effective[0] - 1))
    low, high = -plain, plain
    if effective[0] <= NORMAL_ROWS and alpha * n_bootstrap >= 5:
        rng, statistics = np.random.default_rng(seed), []
        for _ in range(max(1, -(-n_bootstrap * n // 2_000_000))):  # at most 32 MB at a time
            drawn = rng.integers(0, n, (min(n_bootstrap, max(1, 2_000_000 // n)), n))
            means, errors, _n = _weighted_mean(d[drawn], weight[drawn])
            usable = errors > SMALL
            statistics.append((means - mean)[usable] / errors[usable])
        quantiles = np.quantile(np.concatenate(statistics), [alpha, 1 - alpha])
        low, high = min(float(quantiles[0]), low), max(float(quantiles[1]), high)
    return Bound(float(mean[0]), float(mean[0] - high * error[0]), float(mean[0] - low * error[0]), n)


def _weighted_mean(d: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Means, standard errors and effective sample sizes, (samples,) each, of (samples, n) values and weights."""
    total = np.maximum(weight.sum(axis=1), SMALL)
    squares = (weight**2).sum(axis=1)
    mean = (weight * d).sum(axis=1) / total
    effective = total**2 / np.maximum(squares, SMALL)
    variance = (weight**2 * (d - mean[:, None]) ** 2).sum(axis=1) / total**2
    return mean, np.sqrt(variance * effective / np.maximum(effective - 1, SMALL)), effective


def wilson(hits: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share, two-sided.

    SciPy's `binomtest(hits, n).proportion_ci(method="wilson")` written out, for the process that ships the service's
    prediction log: importing `scipy.stats` would cost it 73 MB and 0.7 CPU seconds.

    Parameters
    ----------
    hits
        Successes among the `n`.

    Returns
    -------
    Lower and upper bound in [0, 1]; 0 and 1 where there are no rows.

    **Source** Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(x, 3) for x in wilson(8, 10)]
    [0.49, 0.943]
    """
    if not n:
        return 0.0, 1.0
    share, z = hits / n, NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
