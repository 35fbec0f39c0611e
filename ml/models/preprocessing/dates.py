"""What a model is given of dates beside their days: season, weekday, and the days between each two of them.

Days alone move on for ever, so that a model would extrapolate; what a date means comes again. The season is two
triangle waves over a year, a quarter apart: unlike a sine they are the same float32 in NumPy and in ONNX Runtime, so
that no tree's threshold falls between them.
"""

from __future__ import annotations

import itertools

import numpy as np

from ml.models.onnx.graph import Graph
from ml.models.preprocessing.encoded import F32
from ml.schema.cells import WEEKDAYS

YEAR = np.float32(1 / 365.2425)


def names(dates: tuple[str, ...]) -> list[str]:
    """Names of the derived columns of these date columns, in their order.

    >>> names(("a", "b"))[:2], names(("a", "b"))[-1]
    (['a is near January', 'b is near January'], 'days from a to b')
    """
    own = [f"{date} is {what}" for what in ("near January", "near October") for date in dates]
    own += [f"{date} is a {day}" for day in WEEKDAYS for date in dates]
    return own + [f"days from {one} to {other}" for one, other in itertools.combinations(dates, 2)]


def derive(days: F32) -> F32:
    """(n, D) days since 2000-01-01 to the (n, W) columns of `names`; NaN stays NaN.

    >>> derive(np.array([[2.0, 9.0]], np.float32))[0, [2 * 2 + 2 * 2, -1]].tolist()
    [1.0, 7.0]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # at the end of float32's range
        return _derived(days)


def _derived(days: F32) -> F32:
    season = days * YEAR
    season = season - np.floor(season)
    later = season + np.float32(0.25)
    later = later - np.floor(later)
    whole = np.floor(days)
    weekday = whole - np.float32(7) * np.floor(whole / np.float32(7))
    parts = [np.abs(wave * np.float32(2) - np.float32(1)) for wave in (season, later)]
    parts += [np.where(np.isnan(days), days, (weekday == np.float32(j)).astype(np.float32)) for j in range(7)]
    pairs = [days[:, [j]] - days[:, [i]] for i, j in itertools.combinations(range(days.shape[1]), 2)]
    return np.concatenate([*parts, *pairs], axis=1)


def emit(graph: Graph, days: str, n: int) -> str:
    """`derive` as ONNX ops, in its order.

    Parameters
    ----------
    days
        Name of the (N, D) value.
    n
        D.
    """

    def number(value: float) -> str:
        return graph.float32(value)

    def fraction(value: str) -> str:
        return graph.op("Sub", value, graph.op("Floor", value))

    season = fraction(graph.op("Mul", days, number(float(YEAR))))
    later = fraction(graph.op("Add", season, number(0.25)))
    whole = graph.op("Floor", days)
    weeks = graph.op("Floor", graph.op("Div", whole, number(7)))
    weekday = graph.op("Sub", whole, graph.op("Mul", number(7), weeks))
    parts = [graph.op("Abs", graph.op("Sub", graph.op("Mul", wave, number(2)), number(1))) for wave in (season, later)]
    missing = graph.op("IsNaN", days)
    for j in range(7):
        is_day = graph.op("Cast", graph.op("Equal", weekday, number(j)), to=1)
        parts.append(graph.op("Where", missing, days, is_day))
    for i, j in itertools.combinations(range(n), 2):
        one, other = (graph.op("Gather", days, graph.int64(place), axis=1) for place in (i, j))
        parts.append(graph.op("Sub", other, one))
    return graph.concat(parts)
