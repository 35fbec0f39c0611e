"""Bootstrap of everything at once: one matrix of resampling weights, every metric a product with it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

# Above this many rows the resamples are drawn on a random subset, with weights that sum to all rows (a bag
# of little bootstraps with one bag), so the cost stops growing. Kleiner et al. 2014.
MAX_ROWS = 10_000
CONFIDENCE = 0.95  # of the intervals that are shown; customary


class Resamples:
    """Bootstrap weights over (a subset of) n rows.

    Parameters
    ----------
    weight
        (n,) sample weights.
    max_rows
        Of more rows so many are drawn once, without replacement, and resampled.

    Attributes
    ----------
    rows
        (m,) row numbers that are resampled; all rows up to `MAX_ROWS`.
    weights
        (n_bootstrap, m) float32: how often each row is drawn, times its sample weight.
    """

    def __init__(self, weight: Array, n_bootstrap: int, seed: int, *, max_rows: int = MAX_ROWS) -> None:
        n = len(weight)
        rng = np.random.default_rng(seed)
        self.rows = np.arange(n) if n <= max_rows else np.sort(rng.choice(n, max_rows, replace=False))
        m = len(self.rows)
        if m == n:
            draws = rng.integers(0, n, (n_bootstrap, n)) + np.arange(n_bootstrap)[:, None] * n
            counts = np.bincount(draws.ravel(), minlength=n_bootstrap * n).reshape(n_bootstrap, n)
        else:
            counts = rng.poisson(n / m, (n_bootstrap, m))
        self.weights = counts.astype(np.float32) * weight[self.rows].astype(np.float32)


class Interval(msgspec.Struct, frozen=True):
    """A metric with its bootstrap interval; None where the metric, or the interval, does not exist."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def interval(value: float, base: float, replicates: Array, low: float, high: float) -> Interval:
    """A metric's percentile interval (bootstrap, 95%).

    Parameters
    ----------
    value
        The metric on all rows.
    base
        The metric on the resampled rows themselves: the replicates' distance from it is the sampling error, which is
        laid around `value` (the two are the same unless rows were subsampled).
    replicates
        (n_bootstrap,) the metric on each resample; those that are not finite are left out.
    low, high
        The range that the metric can have.

    **Source** Efron and Tibshirani 1993, ch. 13.
    """
    if not np.isfinite(value):
        return Interval()
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < 2:
        return Interval(float(np.clip(value, low, high)))
    tail = (1 - CONFIDENCE) / 2 * 100
    lower, upper = np.percentile(finite, [tail, 100 - tail]) - base + value
    ends = min(lower, value), value, max(upper, value)  # an estimate without bias may leave the range
    below, at, above = (float(end) for end in np.clip(ends, low, high))
    return Interval(at, below, above)
