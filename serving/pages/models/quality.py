"""Charts of how good a version is on its test rows: ROC, precision and recall, calibration, confusion."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from flask_babel import gettext

from ml.charts import Chart, model_quality
from ml.charts.model_quality import Curve
from serving.pages.i18n import formats
from serving.status.version_files import VersionFiles

STEPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the tables

Section = dict[str, Any]  # what the template's macro `chart` shows


def of(files: VersionFiles) -> list[Section]:
    """Every chart that the version has the numbers for."""
    known = [curve for curve in files.json("curves.json") or [] if curve.get("roc")]
    curves = msgspec.convert(known, list[Curve])
    drawn = [_roc(curves), _precision_recall(curves), _calibration(curves)] if curves else []
    return [section for section in (*drawn, _confusion(files), _importance(files)) if section]


def _roc(curves: list[Curve]) -> Section:
    names = [gettext("%(label)s (area %(area)s)", label=c.label, area=formats.number(c.area)) for c in curves]
    chart = model_quality.roc(
        curves, names, title=gettext("ROC curve"), x_label=gettext("False positive rate"),
        y_label=gettext("True positive rate"), localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("roc", chart),
        "note": gettext("The nearer to the upper left corner the better; the dashed line is chance."),
        "head": [gettext("False positive rate"), *(c.label for c in curves)],
        "rows": _steps([c.roc for c in curves]),
    }


def _precision_recall(curves: list[Curve]) -> Section:
    names = [gettext("%(label)s (chance %(share)s)", label=c.label, share=formats.percent(c.share)) for c in curves]
    chart = model_quality.precision_recall(
        curves, names, title=gettext("Precision and recall"), x_label=gettext("Recall"), y_label=gettext("Precision"),
        localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("precision_recall", chart),
        "note": gettext("How many of those found are right, against how many of all are found."),
        "head": [gettext("Recall"), *(c.label for c in curves)],
        "rows": _steps([c.precision_recall for c in curves])[4:],
    }


def _calibration(curves: list[Curve]) -> Section:
    chart = model_quality.calibration(
        curves, title=gettext("Calibration: promised and observed"), x_label=gettext("Probability said"),
        y_label=gettext("Share that came"), localise=formats.localised,
    )  # fmt: skip
    return {
        **_drawn("calibration", chart),
        "note": gettext("On the dashed line a probability keeps its promise; a larger dot stands for more rows."),
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
    chart = model_quality.confusion(
        counts, names, title=gettext("Confusion matrix"), x_label=gettext("Predicted"), y_label=gettext("True"),
        localise=formats.localised,
    )  # fmt: skip
    if not chart:
        return None
    return {
        **_drawn("confusion", chart),
        "note": gettext(
            "Test rows by true and predicted class; the stronger the colour, the larger its share of the row."
        ),
        "head": [gettext("True"), *names, gettext("Precision"), gettext("Recall"), gettext("F1")],
        "rows": [
            [name, *(formats.number(count, 0) for count in row), *_of_class(files, name)]
            for name, row in zip(names, counts, strict=True)
        ],
    }


def _of_class(files: VersionFiles, name: str) -> list[str]:
    figures = files.metrics.get("per_class", {}).get(name, {})
    return [formats.measured(figures[key]) if figures.get(key) else "–" for key in ("precision", "recall", "f1")]


def _importance(files: VersionFiles) -> Section | None:
    contributions = files.metrics.get("importance") or {}
    if not contributions:
        return None
    chart = model_quality.importance(contributions, title=gettext("What it goes by"), localise=formats.localised)
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
