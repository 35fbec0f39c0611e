"""Stuck feeds: a number column that says one value in every row, which it used to say in few.

A rule on all values needs enough of them, and a value that moves with time (a year, an hour) may fill a window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.settings import Drift

Floats = npt.NDArray[np.float64]

_LEVELS = 60  # so few whole numbers may be parts of a date: hours, days, weeks, minutes
_CONFIDENCE = 0.99  # of the bound on the value's usual share


def usual_share(values: Floats, before: Floats, drift: Drift, *, columns: int) -> float | None:
    """The reference's share of the one value that a window says, where that is a stuck feed; else None.

    It is one where the value is rare (`drift.stuck_share`) and so many alike are no chance: with the exact upper bound
    of its share u (Clopper and Pearson 1934), n rows say the same with a probability of at most u^(n - 1), which has to
    be below `drift.false_discovery_rate` shared among the columns.

    Parameters
    ----------
    values, before: (n,), (m,) what the window and the reference hold, without missing ones.
    columns: how many columns are looked at.
    """
    from scipy.special import betaincinv

    if not len(values) or values.min() != values.max() or len(np.unique(before)) < 2:
        return None
    seen = int(np.count_nonzero(before == values[0]))
    share = seen / len(before)
    bound = float(betaincinv(seen + 1, len(before) - seen, _CONFIDENCE)) if seen < len(before) else 1.0
    by_chance = bound ** (len(values) - 1)
    return share if share < drift.stuck_share and by_chance < drift.false_discovery_rate / max(1, columns) else None


def moves_with_time(value: float, before: Floats, earlier: Floats) -> bool:
    """Whether a column may well say one value for a while.

    `earlier` is what the service was sent just before the window, in order: there, neighbours in time are alike far
    more often than chance has it (half of the way to always). Where too little came before, the reference decides:
    whole numbers of which this one is as common as the others, or lies behind the last by no more than their range.

    Parameters
    ----------
    value
        The one that the window's rows all have.
    before
        (n,) values of the reference, in any order.
    earlier
        (m,) values just before the window, in the order of time.
    """
    levels, counts = np.unique(before, return_counts=True)
    if len(earlier) > len(levels) + 1:
        chance = float(((counts / len(before)) ** 2).sum())
        alike = float(np.mean(earlier[1:] == earlier[:-1]))
        return alike > (1 + chance) / 2
    if (before != np.rint(before)).any() or value != np.rint(value) or len(levels) > _LEVELS:
        return False
    if levels[-1] < value <= 2 * levels[-1] - levels[0]:
        return True
    return bool(2 * len(levels) * np.mean(before == value) >= 1)
