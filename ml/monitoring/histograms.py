"""Histograms of the columns that drifted, reference and window in the same bins: small enough for a check's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.charts import Histogram
from ml.drift import features, profile
from ml.drift.reference import Baseline
from ml.drift.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 12  # at most, those that moved most: about 300 bytes each in the record; our choice
BINS = 20  # of a number; our choice
LEVELS = 12  # of a category; the others are counted together
LONGEST = 80  # letters of a level's name
TAILS = (0.005, 0.995)  # quantiles of both sides that the inner edges span: one far value must not take all the room


def of_findings(
    baseline: Baseline, frame: pd.DataFrame, probabilities: npt.NDArray[np.float64], findings: Sequence[Finding]
) -> tuple[Histogram, ...]:
    """Of what drifted or broke, the largest effect first, at most `COLUMNS`.

    Parameters
    ----------
    frame: (n, columns) the window's inputs in canonical form.
    probabilities: (n, n_classes) of the window's answers.
    """
    moved = sorted((f for f in findings if f.drifted or f.broken), key=lambda f: -f.effect)
    found: list[Histogram | None] = []
    for finding in moved:
        if finding.kind == "date" and finding.column in frame and finding.column in baseline.frame:
            sides = features.of_date(finding.column, baseline, frame)
        elif finding.of_predictions:
            sides = baseline.probabilities.max(axis=1), probabilities.max(axis=1)
        elif finding.column in frame and finding.column in baseline.frame:
            sides = baseline.frame[finding.column].to_numpy(), frame[finding.column].to_numpy()
        else:
            continue
        as_levels = finding.kind == "category" or (finding.kind == "date" and sides[0].dtype == object)
        drawn = _categories if as_levels else _numbers
        found.append(drawn(finding, *sides))
    return tuple([one for one in found if one is not None][:COLUMNS])


def _numbers(finding: Finding, before: npt.NDArray[Any], now: npt.NDArray[Any]) -> Histogram | None:
    """None where there is nothing to draw, or numbers are too large or too close together for bins."""
    sides = [np.asarray(values, dtype=np.float64) for values in (before, now)]
    known = [values[np.isfinite(values)] for values in sides]
    if not all(map(len, known)):
        return None
    try:
        edges = _edges(np.concatenate(known))
    except ValueError:
        return None
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in known]
    return Histogram(
        column=finding.column,
        of_predictions=finding.of_predictions,
        edges=tuple(map(float, edges)),
        before=tuple(map(int, counts[0])),
        now=tuple(map(int, counts[1])),
        missing=(len(sides[0]) - len(known[0]), len(sides[1]) - len(known[1])),
    )


def _edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of whole numbers in a small range each has a bin of its own; raises ValueError where no bins can be made."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.quantile(values, TAILS)
        span = high - low
    if not np.isfinite(span):
        raise ValueError
    if np.all(values == np.round(values)) and span < BINS:
        return np.arange(low - 0.5, high + 1.5)
    return np.histogram_bin_edges(values, BINS, range=(low, high) if high > low else None)


def _categories(finding: Finding, before: npt.NDArray[Any], now: npt.NDArray[Any]) -> Histogram:
    sides = [profile.categories(values) for values in (before, now)]
    total: dict[str, int] = {}
    for side in sides:
        for level, count in side.counts.items():
            total[level] = total.get(level, 0) + count
    ranked = sorted(total, key=lambda level: (-total[level], level))
    shown, rest = ranked[:LEVELS], ranked[LEVELS:]
    counts = [[side.counts.get(level, 0) for level in shown] for side in sides]
    if rest:
        for side, row in zip(sides, counts, strict=True):
            row.append(sum(side.counts.get(level, 0) for level in rest))
    return Histogram(
        column=finding.column,
        weekdays=finding.kind == "date",
        levels=tuple(level[:LONGEST] for level in shown),
        others=len(rest),
        before=tuple(counts[0]),
        now=tuple(counts[1]),
        missing=(sides[0].missing, sides[1].missing),
    )
