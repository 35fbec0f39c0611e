"""The points behind the curves of a model: ROC, precision and recall, calibration. Kept in the bundle for the pages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.charts.model_quality import Curve
from ml.decision import Floats, positive_code
from ml.schema.schema import Schema

MAX_CLASSES = 10  # our choice: more curves in one picture cannot be told apart
POINTS = 100  # of one curve: more cannot be seen at the size of a page
BINS = 10  # of the calibration, of equal width


def curves(p: Floats, y: npt.NDArray[np.int64], schema: Schema) -> list[Curve]:
    """One entry for the positive class, or for each class against the rest, the commonest first.

    Of more than `MAX_CLASSES` the commonest are kept, and of the others those that are recognised least.

    Parameters
    ----------
    p: (n_rows, n_classes) calibrated probabilities. y: (n_rows,) class codes.

    Returns
    -------
    Empty where no class has rows of both kinds.
    """
    codes = [positive_code(schema)] if len(schema.classes) == 2 else list(np.argsort(-np.bincount(y), kind="stable"))
    both = [code for code in codes if 0 < (y == code).sum() < len(y)]
    if len(both) > MAX_CLASSES:
        common, others = both[: MAX_CLASSES // 2], both[MAX_CLASSES // 2 :]
        found, all_rows = (np.bincount(some, minlength=p.shape[1]) for some in (y[p.argmax(axis=1) == y], y))
        recall = found / np.maximum(all_rows, 1)
        both = common + sorted(others, key=lambda code: recall[code])[: MAX_CLASSES - len(common)]
    return [_of_class(schema.classes[code], np.asarray(p[:, code], dtype=np.float64), y == code) for code in both]


def _of_class(label: str, score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> Curve:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # ties are one step
    hits = truth[order].cumsum()[ends]
    alarms = ends + 1 - hits
    tpr, fpr = np.append(0, hits / truth.sum()), np.append(0, alarms / (~truth).sum())
    return Curve(
        label=label,
        share=float(truth.mean()),
        area=float(np.trapezoid(tpr, fpr)),
        roc=_thinned(fpr, tpr),
        precision_recall=_thinned(tpr[1:], hits / (ends + 1)),
        calibration=_calibration(score, truth),
    )


def _thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """At most POINTS points, even along the curve rather than along one axis: steep parts keep theirs."""
    if len(x) > POINTS:
        way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        at = np.searchsorted(way, np.linspace(0, way[-1], POINTS))
        chosen = np.unique(np.clip(at, 0, len(x) - 1))
        x, y = x[chosen], y[chosen]
    return [(round(float(a), 5), round(float(b), 5)) for a, b in zip(x, y, strict=True)]


def _calibration(score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    bins = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    expected, came = np.bincount(bins, score, BINS), np.bincount(bins, truth, BINS)
    return [
        (round(float(expected[i] / counts[i]), 5), round(float(came[i] / counts[i]), 5), int(counts[i]))
        for i in np.flatnonzero(counts)
    ]
