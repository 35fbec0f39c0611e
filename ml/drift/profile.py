"""A column of the reference as counts, so that comparing costs one pass over the current window.

A number column is kept as at most `MAX_EDGES` of its own values (its quantiles) and the counts at and
between them; a category column as the count of every level. Both are exact sufficient statistics for the
tests in `ml.drift.statistics` while the reference has no more distinct values than edges, and within
1 / MAX_EDGES of the exact Kolmogorov-Smirnov distance beyond.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MAX_EDGES = 1_000  # an error of .001 in a distance that is judged at .1
CHUNK_ROWS = 1 << 18  # of one pass: temporary arrays stay in the cache's reach, memory is bounded


class NumberProfile(msgspec.Struct, frozen=True):
    """`edges`: (m,) float64 increasing. `counts`: (2m + 1,) below, at, between, …, above. `missing`: rows."""

    edges: Any
    counts: Any
    missing: int

    @property
    def rows(self) -> int:
        """Rows, the missing ones included."""
        return int(self.counts.sum()) + self.missing


class CategoryProfile(msgspec.Struct, frozen=True):
    """`counts`: level → rows. `missing`: rows."""

    counts: dict[str, int]
    missing: int

    @property
    def rows(self) -> int:
        """Rows, the missing ones included."""
        return sum(self.counts.values()) + self.missing


def numbers(values: npt.NDArray[Any], edges: Floats | None = None) -> NumberProfile:
    """Count a number column.

    Parameters
    ----------
    values: (n,) float, NaN for missing.
    edges: those of the reference, for a current window; None makes them from the values' own quantiles.
    """
    if edges is None:
        edges = _quantiles(values[~np.isnan(values)])
    counts = np.zeros(2 * len(edges) + 1, dtype=np.int64)
    missing = 0
    for start in range(0, len(values), CHUNK_ROWS):
        chunk = np.asarray(values[start : start + CHUNK_ROWS], dtype=np.float64)
        finite = chunk[~np.isnan(chunk)]
        missing += len(chunk) - len(finite)
        if len(edges):
            counts += np.bincount(_codes(finite, edges), minlength=len(counts))
        else:
            counts[0] += len(finite)
    return NumberProfile(edges, counts, missing)


def categories(values: npt.NDArray[Any]) -> CategoryProfile:
    """Count a category column: (n,) object of str, "" for missing."""
    import pandas as pd

    found = {str(level): int(count) for level, count in pd.Series(values).value_counts(sort=False).items()}
    missing = found.pop("", 0)
    return CategoryProfile(found, missing)


def _quantiles(values: Floats) -> Floats:
    distinct = np.unique(values)
    if len(distinct) <= MAX_EDGES:
        return distinct.astype(np.float64)
    # "nearest" keeps the edges values of the column, so that ties at them are counted as ties.
    return np.unique(np.quantile(values, np.linspace(0, 1, MAX_EDGES), method="nearest")).astype(np.float64)


def _codes(values: Floats, edges: Floats) -> npt.NDArray[np.intp]:
    """2i for the gap below edge i, 2i + 1 for exactly edge i, 2m for above the last."""
    place = np.searchsorted(edges, values, side="left")
    at = edges[np.minimum(place, len(edges) - 1)] == values
    codes: npt.NDArray[np.intp] = 2 * place + at
    return codes
