"""One-sided confidence bounds of a mean, by the studentised bootstrap.

Efron and Tibshirani 1993, ch. 12: it stays honest on skewed values, such as the differences that log-loss
gives. Above 5,000 rows the normal bound, to which it has converged by then.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

NORMAL_ROWS = 5_000
SMALL = 1e-12


class Bound(msgspec.Struct, frozen=True):
    """A mean with its one-sided lower and upper confidence bounds."""

    mean: float
    lower: float
    upper: float
    rows: int

    def plain(self) -> dict[str, float | None]:
        """JSON has no infinity: a bound that is not known is None."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value if np.isfinite(value) else None for name, value in values.items()}


def bound(d: npt.NDArray[np.float64], *, confidence: float, n_bootstrap: int, seed: int, tests: int = 1) -> Bound:
    """Bound the mean of `d`, (n,), from each side at `confidence` (Bonferroni over `tests`).

    Of fewer than two values nothing is known: the bounds are infinite.

    >>> bound(np.array([1.0, 1.0, 1.0]), confidence=0.95, n_bootstrap=500, seed=0)
    Bound(mean=1.0, lower=1.0, upper=1.0, rows=3)
    """
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
    found = []
    for _ in range(max(1, -(-n_bootstrap * n // 4_000_000))):  # at most 32 MB at a time
        size = min(n_bootstrap, max(1, 4_000_000 // n))
        sample = d[rng.integers(0, n, (size, n))]
        error = sample.std(axis=1, ddof=1) / np.sqrt(n)
        usable = error > SMALL
        found.append((sample.mean(axis=1) - d.mean())[usable] / error[usable])
    low, high = np.quantile(np.concatenate(found), [alpha, 1 - alpha])
    # Never bolder than Student's t: on a handful of rows the resamples themselves are too alike.
    return min(float(low), -plain), max(float(high), plain)
