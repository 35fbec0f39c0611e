"""Charts of how good the served version is on its test rows: ROC, precision and recall, calibration, confusion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flask_babel import gettext

from serving.model.store import Served
from serving.pages.charts import grids, svg
from serving.pages.i18n import formats

SHOWN_CURVES = 6  # as many colours as can be told apart
HEIGHT = 400
STEPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the tables
SHARE = (0.0, 1.0)  # of both axes
MOST_BARS = 15
FEW_ROWS = 5  # in a bin: what fewer say is noise, and stands in the table alone

Chart = dict[str, Any]


def of(served: Served) -> list[Chart]:
    """Every chart that the bundle has the numbers for."""
    curves = [one for one in served.bundle.json("curves.json") or [] if one.get("roc")]
    drawn = [_roc(curves), _precision_recall(curves), _calibration(curves)] if curves else []
    return [chart for chart in (*drawn, _confusion(served), _importance(served)) if chart]


def _roc(curves: list[dict[str, Any]]) -> Chart:
    names = [gettext("%(label)s (area %(area)s)", label=c["label"], area=formats.number(c["area"])) for c in curves]
    return {
        "key": "roc",
        "title": gettext("ROC curve"),
        "note": gettext("The nearer to the upper left corner the better; the dashed line is chance."),
        "svg": _lines(curves, "roc", names, gettext("ROC curve"), gettext("False positive rate"),
                      gettext("True positive rate"), diagonal=True),
        "series": names[:SHOWN_CURVES],
        "head": [gettext("False positive rate"), *(c["label"] for c in curves)],
        "rows": _steps(curves, "roc"),
    }  # fmt: skip


def _precision_recall(curves: list[dict[str, Any]]) -> Chart:
    names = [
        gettext("%(label)s (chance %(share)s)", label=c["label"], share=formats.percent(c["share"])) for c in curves
    ]
    return {
        "key": "precision_recall",
        "title": gettext("Precision and recall"),
        "note": gettext("How many of those found are right, against how many of all are found."),
        "svg": _lines(curves, "precision_recall", names, gettext("Precision and recall"), gettext("Recall"),
                      gettext("Precision")),
        "series": names[:SHOWN_CURVES],
        "head": [gettext("Recall"), *(c["label"] for c in curves)],
        "rows": _steps(curves, "precision_recall")[4:],
    }  # fmt: skip


def _calibration(curves: list[dict[str, Any]]) -> Chart:
    total = max(sum(rows for *_, rows in c["calibration"]) for c in curves)
    series = [
        svg.Series(
            name=c["label"],
            points=tuple((said, came) for said, came, rows in c["calibration"] if rows >= FEW_ROWS),
            dots=True,
            sizes=tuple(3 + 9 * math.sqrt(rows / total) for *_, rows in c["calibration"] if rows >= FEW_ROWS),
        )
        for c in curves[:SHOWN_CURVES]
    ]
    title = gettext("Calibration: promised and observed")
    return {
        "key": "calibration",
        "title": title,
        "note": gettext("On the dashed line a probability keeps its promise; a larger dot stands for more rows."),
        "svg": svg.line_chart(series, title=title, x_label=gettext("Probability said"),
                                 y_label=gettext("Share that came"), diagonal=True, x_range=SHARE, y_range=SHARE,
                                 height=HEIGHT),
        "series": [one.name for one in series],
        "head": [gettext("Class"), gettext("Probability said"), gettext("Share that came"), gettext("Rows")],
        "rows": [
            [c["label"], formats.percent(said), formats.percent(came), formats.number(rows, 0)]
            for c in curves
            for said, came, rows in c["calibration"]
        ],
    }  # fmt: skip


def _lines(
    curves: list[dict[str, Any]], key: str, names: list[str], title: str, x: str, y: str, *, diagonal: bool = False
) -> Any:
    series = [
        svg.Series(name=name, points=tuple((a, b) for a, b in c[key]))
        for c, name in zip(curves[:SHOWN_CURVES], names, strict=False)
    ]
    return svg.line_chart(
        series, title=title, x_label=x, y_label=y, diagonal=diagonal, x_range=SHARE, y_range=SHARE, height=HEIGHT
    )


def _steps(curves: list[dict[str, Any]], key: str) -> list[list[str]]:
    """The curves' heights at round places, one column a curve."""
    columns = [np.interp(STEPS, *np.transpose(c[key])) for c in curves]
    return [[formats.percent(x), *(formats.percent(column[i]) for column in columns)] for i, x in enumerate(STEPS)]


def _confusion(served: Served) -> Chart | None:
    counts, names = served.bundle.metrics.get("confusion"), served.bundle.schema.classes
    if not counts or len(counts) != len(names):
        return None
    title = gettext("Confusion matrix")
    return {
        "key": "confusion",
        "title": title,
        "note": gettext(
            "Test rows by true and predicted class; the stronger the colour, the larger its share of the row."
        ),
        "svg": grids.matrix(counts, names, title=title, x_label=gettext("Predicted"), y_label=gettext("True")),
        "series": [],
        "head": [gettext("True"), *names, gettext("Precision"), gettext("Recall"), gettext("F1")],
        "rows": [
            [name, *(formats.number(count, 0) for count in row), *_of_class(served, name)]
            for name, row in zip(names, counts, strict=True)
        ],
    }


def _of_class(served: Served, name: str) -> list[str]:
    found = served.bundle.metrics.get("per_class", {}).get(name, {})
    return [formats.measured(found[key]) if found.get(key) else "–" for key in ("precision", "recall", "f1")]


def _importance(served: Served) -> Chart | None:
    found = sorted((served.bundle.metrics.get("importance") or {}).items(), key=lambda pair: -pair[1])
    if not found:
        return None
    title = gettext("What it goes by")
    return {
        "key": "importance",
        "title": title,
        "note": gettext(
            "How far each column moves the score on average, in log-odds: what the model uses, not a cause."
        ),
        "svg": svg.bars(found[:MOST_BARS], title=title),
        "series": [],
        "head": [gettext("Column"), gettext("Mean contribution")],
        "rows": [[name, formats.number(value, 4)] for name, value in found],
    }
