"""Drift by column, and each drifted column before and after: the champion's reference and the window."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from flask_babel import gettext

from ml import charts
from ml.charts import Histogram
from serving.pages.i18n import formats
from serving.status.reader import SCORES, CheckEntry

SHOWN_COLUMNS = 20  # of a check's chart
FIRST_HISTOGRAMS = 6  # the others are one click away


def of(checks: tuple[CheckEntry, ...]) -> dict[str, Any] | None:
    """The newest comparison: a bar a column, and the histograms of what drifted."""
    newest = next((check for check in checks if check.columns), None)
    if newest is None:
        return None
    ordered = sorted(newest.columns.items(), key=lambda pair: -pair[1])
    return {
        "svg": charts.bars(
            ordered[:SHOWN_COLUMNS],
            title=gettext("Drift by column"),
            labels=formats.short_names([name for name, _ in ordered]) | _own(),
            maximum=1.0,
            mark=0.1,
            localise=formats.localised,
        ),
        "when": formats.when(newest.time),
        "n": formats.number(newest.rows, 0),
        "unseen": max(0, len(ordered) - SHOWN_COLUMNS),
        "rows": [(_own().get(name, name), formats.number(value, fixed=True)) for name, value in ordered],
        "histograms": [_panel(one) for one in newest.histograms],
        "first": FIRST_HISTOGRAMS,
        "sides": _sides(),
    }


def _own() -> dict[str, str]:
    """What the model's own scores are called: in the effects of a check they have that name, and no column has it."""
    return {SCORES: gettext("probability of the answer")}


def _sides() -> tuple[str, str]:
    return gettext("reference"), gettext("window")


def _panel(one: Histogram) -> dict[str, Any]:
    """A histogram of shares, and the counts behind it."""
    sides = one.before, one.now
    totals = [sum(side) + missing for side, missing in zip(sides, one.missing, strict=True)]
    before, now = ([n / max(total, 1) for n in side] for side, total in zip(sides, totals, strict=True))
    name = _own()[SCORES] if one.of_predictions else one.column
    names = _bins(one)
    if one.edges:
        svg = charts.histogram(one.edges, before, now, _sides(), title=name, localise=formats.localised)
    else:
        svg = charts.paired_bars(names, before, now, _sides(), title=name, localise=formats.localised)
    rows = [[text, *map(str, counts)] for text, *counts in zip(names, *sides, strict=False)]
    if any(one.missing):
        rows.append([gettext("(missing)"), *map(str, one.missing)])
    rows_before, rows_now = (formats.number(total, 0) for total in totals)
    return {
        "name": name,
        "svg": svg,
        "head": [gettext("Value"), *_sides()],
        "rows": rows,
        "note": gettext("%(before)s rows of the reference, %(now)s of the window", before=rows_before, now=rows_now),
    }


def _bins(one: Histogram) -> list[str]:
    if one.edges:
        ends = [formats.number(edge, 4) for edge in one.edges]
        return [f"{low} – {high}" for low, high in pairwise(ends)]
    levels = [formats.weekday(level) for level in one.levels] if one.weekdays else one.levels
    return [*levels, *([gettext("%(n)s others", n=one.others)] if one.others else [])]
