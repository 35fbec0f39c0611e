"""A column of the reference as counts, so that comparing costs one pass over the current window.

A number column is kept as at most `MAX_EDGES` of its own values (its quantiles) and the counts at and
between them; a category column as the count of every level. Both are exact sufficient statistics for the
tests in `ml.evaluation.two_sample` while the reference has no more distinct values than edges, and within
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
    finite = values[~np.isnan(values)]
    missing = len(values) - len(finite)
    if edges is None:
        ordered = np.sort(np.asarray(finite, dtype=np.float64))
        edges = _quantiles(ordered)
        return NumberProfile(edges, _counts(ordered, edges), missing)
    counts = np.zeros(2 * len(edges) + 1, dtype=np.int64)
    for start in range(0, len(finite), CHUNK_ROWS):
        counts += _counts(np.sort(np.asarray(finite[start : start + CHUNK_ROWS], dtype=np.float64)), edges)
    return NumberProfile(edges, counts, missing)


def categories(values: npt.NDArray[Any]) -> CategoryProfile:
    """Count a category column: (n,) object of str, "" for missing."""
    import pandas as pd

    statistics = {
        str(level): int(count) for level, count in pd.Series(values, dtype=object).value_counts(sort=False).items()
    }
    missing = statistics.pop("", 0)
    return CategoryProfile(statistics, missing)


def _quantiles(ordered: Floats) -> Floats:
    """At most `MAX_EDGES` of the values themselves, so that ties at an edge are counted as ties."""
    distinct = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
    if len(distinct) <= MAX_EDGES:
        return distinct
    return np.unique(ordered[np.rint(np.linspace(0, len(ordered) - 1, MAX_EDGES)).astype(np.intp)])


def _counts(ordered: Floats, edges: Floats) -> Counts:
    """Rows below, at, between, …, above the edges. Sorting the rows is cheaper than placing each between edges."""
    places = np.empty(2 * len(edges) + 2, dtype=np.int64)
    places[0], places[-1] = 0, len(ordered)
    places[1:-1:2] = np.searchsorted(ordered, edges, side="left")
    places[2:-1:2] = np.searchsorted(ordered, edges, side="right")
    return np.diff(places)
