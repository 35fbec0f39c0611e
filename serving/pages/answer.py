"""The answer to one row: the label with its probability, what pushed it there, what would change it."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext

from ml import charts
from ml.decision import of_metrics, positive_code
from ml.explain.counterfactuals import Counterfactual
from ml.schema.rows import Rows
from ml.schema.schema import Schema
from serving.api import explain
from serving.model.store import Served
from serving.pages.fields import day_of, shown_value
from serving.pages.i18n import formats, translation
from serving.problems import Problem
from serving.scoring.score import Scored

SHOWN_FEATURES = 10  # of an explanation
SURE = 2  # standard errors that a contribution must have to be drawn as more than noise; about 95%


def answer_of(served: Served, rows: Rows, scored: Scored, texts: list[str]) -> dict[str, Any]:
    """What the page shows of the first row's answer.

    Parameters
    ----------
    rows, scored
        The row and what the model says of it.
    texts
        As the form sent them, a column each: sent again with the true label.
    """
    schema = served.bundle.schema
    probability = float(scored.chosen[0])
    ranked = sorted(zip(schema.classes, scored.probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
    return {
        "label": scored.labels[0],
        "confidence": formats.confidence(probability, len(schema.classes)),
        **(_positive(served, scored) if len(schema.classes) == 2 else {}),
        "told": [translation.translated(text) for text in of_metrics(served.bundle.decision, schema, _metrics(served))],
        "sent": [(f"c{i}", text) for i, text in enumerate(texts)],
        "probabilities": ranked,
        "others": [(other, formats.percent(share)) for other, share in ranked[5:]],
        "flags": [f"{warning.column}: {translation.translated(warning.message)}" for warning in rows.warnings_of(0)],
        "prediction_id": scored.ids[0],
        "action": scored.actions[0].name if scored.actions and scored.actions[0] else "",
        **_explanation(served, rows, schema),
    }


def _metrics(served: Served) -> dict[str, Any]:
    """Without precision and recall, which say nothing of one row."""
    return {"no_skill": served.bundle.metrics.get("no_skill", {})}


def _positive(served: Served, scored: Scored) -> dict[str, Any]:
    """Of two classes: the positive label's probability, as one bar with the threshold and the base rate on it."""
    schema, code = scored.schema, positive_code(scored.schema)
    share, threshold = float(scored.probabilities[0, code]), served.bundle.decision.threshold
    base_rate = served.bundle.metrics.get("no_skill", {}).get("precision")
    marks = []
    if threshold is not None:
        marks.append(("threshold", threshold, gettext("threshold %(share)s", share=formats.percent(threshold))))
    if base_rate is not None:
        marks.append(("usual", base_rate, gettext("usual: %(share)s", share=formats.percent(base_rate))))
    said = gettext("Probability of “%(label)s”: %(share)s", label=schema.classes[code], share=formats.percent(share))
    return {"confidence": said, "bar": charts.share_bar(share, marks, title=said)}


def _explanation(served: Served, rows: Rows, schema: Schema) -> dict[str, Any]:
    try:
        explanation = explain.of_row(served, rows)
    except Problem:  # a version without background rows answers all the same
        return {}
    values = dict(zip([c.name for c in schema.columns], _shown_values(rows, schema), strict=True))
    unsure = [
        abs(value) < SURE * error for value, error in zip(explanation.contributions, explanation.errors, strict=True)
    ]
    points = [_points(share) for share in explanation.probability_shares]
    odds = [formats.localised(f"{value:+.4f}") for value in explanation.contributions]
    names, most = explanation.columns, SHOWN_FEATURES
    short = formats.short_names([column.name for column in schema.columns])
    drawn = [(f"{name} = {values[name]}", value) for name, value in zip(names, explanation.contributions, strict=True)]
    return {
        "toward": explanation.toward,
        "chart": charts.signed_bars(
            drawn[:most],
            title=gettext("Why"),
            labels={f"{name} = {values[name]}": f"{short[name]} = {values[name]}" for name in names[:most]},
            numbers=points,
            asides=odds,
            unsure=unsure,
            localise=formats.localised,
        ),
        "contributions": [
            (name, values[name], *figures, formats.number(error, 3))
            for name, *figures, error in zip(names, points, odds, explanation.errors, strict=True)
        ],
        "unsure": any(unsure[:most]),
        "error": gettext(
            "Estimated by sampling; standard error at most %(error)s.",
            error=formats.number(max(explanation.errors, default=0.0), 4),
        )
        if any(explanation.errors)
        else "",
        "changes": [
            (change.column, _change(change, short[change.column], change.column in schema.dates))
            for change in explanation.changes
        ],
    }


def _points(share: float) -> str:
    """A share of a probability as percentage points."""
    return gettext("%(points)s pp", points=formats.localised(f"{100 * share:+.1f}"))


def _shown_values(rows: Rows, schema: Schema) -> list[str]:
    numbers = dict(zip(schema.numbers, rows.numbers[0].tolist(), strict=True))
    texts = dict(zip(schema.categories, rows.categories[0].tolist(), strict=True))
    values = [texts[c.name] if c.kind == "category" else numbers[c.name] for c in schema.columns]
    values = [
        formats.day(float(value)) if column.kind == "date" and value == value else value
        for value, column in zip(values, schema.columns, strict=True)
    ]
    return [gettext("(missing)") if value == "" or value != value else shown_value(value) for value in values]


def _change(change: Counterfactual, name: str, is_date: bool) -> str:
    new: Any = day_of(change.new) if is_date else change.new
    old: Any = day_of(change.old) if is_date else change.old
    old = gettext("(missing)") if old is None else shown_value(old)
    return gettext(
        "%(column)s: %(new)s instead of %(old)s would give “%(label)s” (%(probability)s)",
        column=name,
        new=shown_value(new),
        old=old,
        label=change.label,
        probability=formats.percent(change.probability),
    )
