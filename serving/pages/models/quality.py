"""Charts of how good a version is on its test rows: ROC, precision and recall, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from flask_babel import gettext

from ml.charts import Chart, model_quality
from ml.charts.categories import MOST_COUNTS
from ml.charts.model_quality import MAX_CURVES, Curve
from serving.pages.i18n import formats
from serving.status.version_files import VersionFiles

STEPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the tables

Section = dict[str, Any]  # what the template's macro `chart` shows


def of(files: VersionFiles) -> list[Section]:
    """Every chart that the version has the numbers for."""
    known = [curve for curve in files.json("curves.json") or [] if curve.get("roc")]
    curves = msgspec.convert(known, list[Curve])
    shown = _telling(curves)
    drawn = [_roc(shown, curves), _precision_recall(shown, curves), _calibration(shown, curves)] if curves else []
    return [section for section in (*drawn, _confusion(files), _importance(files)) if section]


def classes(files: VersionFiles) -> list[list[str]]:
    """Name, test rows, recall, precision and F1 of each class, those recognised least first; of two classes nothing."""
    counts, names = files.metrics.get("confusion") or [], files.classes
    if len(names) < 3 or len(counts) != len(names):
        return []
    order = sorted(range(len(names)), key=lambda i: _recall(counts, i))
    precision = {i: counts[i][i] / max(sum(row[i] for row in counts), 1) for i in order}
    recall = {i: _recall(counts, i) for i in order}
    f1 = {i: 2 * precision[i] * recall[i] / max(precision[i] + recall[i], 1e-12) for i in order}
    return [
        [
            names[i],
            formats.number(sum(counts[i]), 0),
            *(formats.percent(figures[i]) for figures in (recall, precision)),
            formats.number(f1[i], fixed=True),
        ]
        for i in order
    ]


def _recall(counts: list[list[float]], i: int) -> float:
    return counts[i][i] / max(sum(counts[i]), 1)


def _telling(curves: list[Curve]) -> list[Curve]:
    """As many as can be told apart: the commonest classes, and of the others those with the smallest area."""
    if len(curves) <= MAX_CURVES:
        return curves
    ordered = sorted(curves, key=lambda curve: -curve.share)
    common, others = ordered[: MAX_CURVES // 2], ordered[MAX_CURVES // 2 :]
    return common + sorted(others, key=lambda curve: curve.area)[: MAX_CURVES - len(common)]


def _left_out(shown: list[Curve], curves: list[Curve]) -> str:
    if len(shown) == len(curves):
        return ""
    few = formats.number(len(shown) // 2, 0)
    return " " + gettext(
        "Drawn are the %(n)s commonest classes and the %(n)s with the smallest area under their ROC curve.", n=few
    )


def _roc(shown: list[Curve], curves: list[Curve]) -> Section:
    names = [gettext("%(label)s (area %(area)s)", label=c.label, area=formats.number(c.area)) for c in shown]
    chart = model_quality.roc(
        shown, names, title=gettext("ROC curve"), x_label=gettext("False positive rate"),
        y_label=gettext("True positive rate"), localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("roc", chart),
        "note": gettext("The nearer to the upper left corner the better; the dashed line is chance.")
        + _left_out(shown, curves),
        "head": [gettext("False positive rate"), *(c.label for c in curves)],
        "rows": _steps([c.roc for c in curves]),
    }


def _precision_recall(shown: list[Curve], curves: list[Curve]) -> Section:
    names = [gettext("%(label)s (chance %(share)s)", label=c.label, share=formats.percent(c.share)) for c in shown]
    chart = model_quality.precision_recall(
        shown, names, title=gettext("Precision and recall"), x_label=gettext("Recall"), y_label=gettext("Precision"),
        localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("precision_recall", chart),
        "note": gettext("How many of those found are right, against how many of all are found.")
        + _left_out(shown, curves),
        "head": [gettext("Recall"), *(c.label for c in curves)],
        "rows": _steps([c.precision_recall for c in curves])[4:],
    }


def _calibration(shown: list[Curve], curves: list[Curve]) -> Section:
    chart = model_quality.calibration(
        shown, title=gettext("Calibration: promised and observed"), x_label=gettext("Probability said"),
        y_label=gettext("Share that came"), localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("calibration", chart),
        "note": gettext("On the dashed line a probability keeps its promise; a larger dot stands for more rows.")
        + _left_out(shown, curves),
        "head": [gettext("Class"), gettext("Probability said"), gettext("Share that came"), gettext("Rows")],
        "rows": [
            [c.label, formats.percent(said), formats.percent(came), formats.number(rows, 0)]
            for c in curves
            for said, came, rows in c.calibration
        ],
    }


def _drawn(key: str, chart: Chart) -> Section:
    return {"key": key, "title": chart.title, "svg": chart, "series": [entry.text for entry in chart.legend]}


def _steps(curves: list[list[tuple[float, float]]]) -> list[list[str]]:
    """The curves' heights at round places, one column a curve."""
    columns = [np.interp(STEPS, *np.transpose(points)) for points in curves]
    return [[formats.percent(x), *(formats.percent(column[i]) for column in columns)] for i, x in enumerate(STEPS)]


def _confusion(files: VersionFiles) -> Section | None:
    counts, names = files.metrics.get("confusion") or [], files.classes
    fewer, named = _reduced(counts, names)
    chart = model_quality.confusion(
        fewer, named, title=gettext("Confusion matrix"), x_label=gettext("Predicted"), y_label=gettext("True"),
        localise=formats.localised,
    )  # fmt: skip
    if not chart:
        return None
    note = gettext("Test rows by true and predicted class; the stronger the colour, the larger its share of the row.")
    if len(named) < len(names):
        note += " " + gettext(
            "Drawn are the commonest classes and those recognised least; the other %(n)s are counted together.",
            n=len(names) - len(named) + 1,
        )
    return {
        **_drawn("confusion", chart),
        "note": note,
        "head": [gettext("True"), *names, gettext("Precision"), gettext("Recall"), gettext("F1")],
        "rows": [
            [name, *(formats.number(count, 0) for count in row), *_of_class(files, name)]
            for name, row in zip(names, counts, strict=True)
        ],
    }


def _reduced(counts: list[list[float]], names: Sequence[str]) -> tuple[list[list[float]], list[str]]:
    """A matrix that has room for its counts, its names without what they share: of more classes than `MOST_COUNTS` the
    commonest, those recognised least, and the others as one."""
    short = formats.short_names(names)
    if len(names) <= MOST_COUNTS or len(counts) != len(names):
        return counts, [short[name] for name in names]
    ordered = sorted(range(len(names)), key=lambda i: -sum(counts[i]))
    common, others = ordered[: MOST_COUNTS // 2], ordered[MOST_COUNTS // 2 :]
    kept = sorted(common + sorted(others, key=lambda i: _recall(counts, i))[: MOST_COUNTS - len(common) - 1])
    rest = [i for i in range(len(names)) if i not in kept]
    groups = [*([i] for i in kept), rest]
    fewer = [[sum(counts[i][j] for i in rows for j in columns) for columns in groups] for rows in groups]
    return fewer, [*(short[names[i]] for i in kept), gettext("others")]


def _of_class(files: VersionFiles, name: str) -> list[str]:
    figures = files.metrics.get("per_class", {}).get(name, {})
    return [formats.measured(figures[key]) if figures.get(key) else "–" for key in ("precision", "recall", "f1")]


def _importance(files: VersionFiles) -> Section | None:
    contributions = files.metrics.get("importance") or {}
    if not contributions:
        return None
    chart = model_quality.importance(
        contributions, title=gettext("What it goes by"), labels=formats.short_names(list(contributions)),
        localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("importance", chart),
        "note": gettext(
            "How far each column moves the score on average, in log-odds: what the model uses, not a cause."
        ),
        "head": [gettext("Column"), gettext("Mean contribution")],
        "rows": [
            [name, formats.number(value, 4)] for name, value in sorted(contributions.items(), key=lambda pair: -pair[1])
        ],
    }
