"""How good a version is on its test rows: ROC, precision and recall, calibration, confusion, importance.

All text is the caller's: a page gives it in the reader's language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ml.charts.categories import bars, matrix
from ml.charts.chart import Chart, Localise
from ml.charts.line_chart import Series, line_chart

MAX_CURVES = 6  # as many colours as can be told apart; our choice
MAX_BARS = 15  # columns that one picture can show
MIN_ROWS = 5  # in a bin of the calibration: what fewer say is noise; our choice
CURVE_HEIGHT = 400  # pixels
SHARE = (0.0, 1.0)  # of both axes


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The points of one class against the rest, as `curves.json` of a bundle has them (`ml.evaluation.curves`).

    `share` is the class's share of the rows, `area` that under the ROC curve; `roc` is (false positive rate, true
    positive rate) from (0, 0) to (1, 1), `precision_recall` (recall, precision), `calibration` (mean probability,
    share that came, rows) of each bin that has rows.
    """

    label: str
    share: float
    area: float
    roc: list[tuple[float, float]]
    precision_recall: list[tuple[float, float]]
    calibration: list[tuple[float, float, int]]


def roc(
    curves: Sequence[Curve], names: Sequence[str], *, title: str, x_label: str, y_label: str, localise: Localise = str
) -> Chart:
    """True against false positive rate, a curve a class; the diagonal is chance.

    Parameters
    ----------
    curves, names
        One a class, in one order; those beyond MAX_CURVES are left out.
    """
    series = _series(curves, names, "roc")
    return _shares(series, title=title, x_label=x_label, y_label=y_label, diagonal=True, localise=localise)


def precision_recall(
    curves: Sequence[Curve], names: Sequence[str], *, title: str, x_label: str, y_label: str, localise: Localise = str
) -> Chart:
    """Precision against recall, a curve a class; `curves` and `names` as in `roc`."""
    series = _series(curves, names, "precision_recall")
    return _shares(series, title=title, x_label=x_label, y_label=y_label, localise=localise)


def calibration(curves: Sequence[Curve], *, title: str, x_label: str, y_label: str, localise: Localise = str) -> Chart:
    """Mean probability against the share that came, in bins; the area of a dot grows with its rows.

    Parameters
    ----------
    curves
        One a class; those beyond MAX_CURVES are left out, and so are bins of fewer than MIN_ROWS rows.
    """
    total = max((sum(rows for *_, rows in curve.calibration) for curve in curves), default=1)
    series = []
    for curve in curves[:MAX_CURVES]:
        bins = [entry for entry in curve.calibration if entry[2] >= MIN_ROWS]
        points = tuple((mean, came) for mean, came, _ in bins)
        sizes = tuple(3 + 9 * math.sqrt(rows / total) for *_, rows in bins)
        series.append(Series(name=curve.label, points=points, dots=True, sizes=sizes))
    return _shares(series, title=title, x_label=x_label, y_label=y_label, diagonal=True, localise=localise)


def confusion(
    counts: Sequence[Sequence[float]],
    classes: Sequence[str],
    *,
    title: str,
    x_label: str,
    y_label: str,
    localise: Localise = str,
) -> Chart:
    """Rows by true class (down) and answered class (across); nothing where the sizes do not agree.

    Parameters
    ----------
    counts
        (classes, classes) rows, in the order of `classes`.
    """
    if not counts or len(counts) != len(classes):
        return Chart(title=title)
    return matrix(counts, classes, title=title, x_label=x_label, y_label=y_label, localise=localise)


def importance(
    contributions: Mapping[str, float],
    *,
    title: str,
    labels: Mapping[str, str] | None = None,
    localise: Localise = str,
) -> Chart:
    """Mean absolute contribution by column, the largest first.

    Parameters
    ----------
    contributions
        Column → mean absolute contribution; the MAX_BARS largest are drawn.
    labels
        Column → what stands at its bar, where that is shorter.
    """
    ordered = sorted(contributions.items(), key=lambda pair: -pair[1])
    return bars(ordered[:MAX_BARS], title=title, labels=labels, localise=localise)


def _series(curves: Sequence[Curve], names: Sequence[str], points: Literal["roc", "precision_recall"]) -> list[Series]:
    return [
        Series(name=name, points=tuple(curve.roc if points == "roc" else curve.precision_recall))
        for curve, name in zip(curves[:MAX_CURVES], names, strict=False)
    ]


def _shares(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    localise: Localise,
    diagonal: bool = False,
) -> Chart:
    return line_chart(
        series, title=title, x_label=x_label, y_label=y_label, diagonal=diagonal, x_range=SHARE, y_range=SHARE,
        height=CURVE_HEIGHT, localise=localise,
    )  # fmt: skip
