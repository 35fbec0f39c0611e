"""`/`: predict one row by a form that is built from the schema; `/label`: its true label."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from flask import g, redirect, render_template, request, url_for
from flask_babel import get_locale, gettext
from werkzeug.wrappers import Response

from ml import charts
from ml.decision import of_metrics, positive_code
from ml.explain.counterfactuals import Counterfactual
from ml.messages import Message, message
from ml.schema.cells import days, iso, number, shortest
from ml.schema.rows import Rows
from ml.schema.schema import Column, Schema
from ml.schema.validation_errors import RowsError, ValidationError, shown
from serving import problems
from serving.api import explain, feedback, guard
from serving.model.store import Served
from serving.pages import pages
from serving.pages.i18n import formats, translation
from serving.prediction_log.writer import LogUnavailable
from serving.problems import Problem
from serving.scoring import score
from serving.scoring.score import Scored
from serving.service import current_service

_READERS_ORDER = {"vi": "day-first"}
# Marks of decimals and between thousands, wherever people are from.
_ELSEWHERE = ((".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
SHOWN_FEATURES = 10  # of an explanation
MOST_FIELDS, FIRST_FIELDS = 24, 12  # columns up to which a form shows all, and what it shows of more
SURE = 2  # standard errors that a contribution must have to be drawn as more than noise; about 95%


class Field(msgspec.Struct, kw_only=True):
    """One input of the form. `key` is the position, never the column's name, which may be anything; `label` is the
    name without what all columns share."""

    key: str
    id: str
    name: str
    label: str = ""
    value: str
    hint: str
    number: bool
    kind: str = "text"  # of an <input>
    options: list[tuple[str, str]] = []
    wrong: bool = False


@pages.route("/", methods=["GET", "POST"])
@guard.opens("predict")
def predict() -> str | tuple[str, int]:
    """The form; after a POST the answer above it, or the problem with the fields marked."""
    service = current_service()
    served = service.store.current()
    if served is None:
        return render_template("predict.html")
    schema = served.bundle.schema
    texts = _texts(schema)
    context: dict[str, Any] = {"max_size": formats.size(service.settings.serving.max_body_bytes)}
    wrong: set[str] = set()
    status = 200
    if request.method == "POST":
        try:
            rows, scored = _scored(served, texts)
            scored = service.record(served, scored)
            context["answer"] = _answer(served, rows, scored, texts)
        except (Problem, RowsError) as error:
            context["problem"] = problems.of(error)
            wrong = {error.column for error in context["problem"].errors if error.column}
            status, g.problem = context["problem"].status, context["problem"].code
    if request.args.get("thanks"):
        context["thanks"] = _thanks()
    return render_template("predict.html", **_fields(served, texts, wrong), **context), status


def _thanks() -> str:
    return gettext("Thank you: the true label was kept. It counts in the next drift check.")


@pages.post("/label")
@guard.opens("feedback")
def label() -> Response | tuple[str, int]:
    """Keep the true label of one prediction; its answer stays, where the same version serves and the key may see it."""
    service = current_service()
    item = {name: request.form.get(name, "") for name in ("prediction_id", "label")}
    try:
        served = service.served()
        pairs = feedback.checked([item], served.bundle.schema.classes, [])
        service.log.append_feedback(pairs)
    except LogUnavailable as error:
        return failure(Problem(503, message("requests.label_not_written", error=error.explanation)))
    except (Problem, RowsError) as error:
        return failure(problems.of(error))
    if request.form.get("version") != served.version or not guard.permits(service, "predict", request.headers.get):
        return redirect(url_for("pages.predict", thanks=1), code=303)
    return _answered_before(served, **item)


def _answered_before(served: Served, prediction_id: str, label: str) -> tuple[str, int]:
    """The answer whose label was sent, made again of the same row and not logged again."""
    schema = served.bundle.schema
    texts = _texts(schema)
    try:
        rows, scored = _scored(served, texts)
    except (Problem, RowsError) as error:  # of a row that the form did not send
        return failure(problems.of(error))
    answer = _answer(served, rows, scored, texts) | {"prediction_id": prediction_id, "true_label": label}
    size = formats.size(current_service().settings.serving.max_body_bytes)
    return render_template(
        "predict.html", **_fields(served, texts), max_size=size, answer=answer, thanks=_thanks()
    ), 200


def failure(problem: Problem) -> tuple[str, int]:
    """The form with a problem above it."""
    g.problem = problem.code
    return render_template("predict.html", problem=problem, **form()), problem.status


def form() -> dict[str, Any]:
    """What the form shows before anything was sent."""
    served = current_service().store.current()
    texts = [_example(column) for column in served.bundle.schema.columns] if served else []
    return {
        "max_size": formats.size(current_service().settings.serving.max_body_bytes),
        **(_fields(served, texts) if served else {}),
    }


def _fields(served: Served, texts: list[str], wrong: Collection[str] = ()) -> dict[str, Any]:
    """The inputs: of many columns those that matter most and those that are wrong, and the others one click away."""
    columns, importance = served.bundle.schema.columns, served.bundle.metrics.get("importance") or {}
    fields = [_field(i, column, texts[i], column.name in wrong) for i, column in enumerate(columns)]
    short = formats.short_names([column.name for column in columns])
    fields = [msgspec.structs.replace(field, label=short[field.name]) for field in fields]
    shared = formats.shared_start([column.name for column in columns])
    if len(fields) <= MOST_FIELDS:
        return {"fields": fields, "more": [], "shared": shared}
    ranked = sorted(fields, key=lambda field: (not field.wrong, -importance.get(field.name, 0.0)))
    first = {field.key for field in ranked[:FIRST_FIELDS] if not field.wrong} | {f.key for f in fields if f.wrong}
    return {
        "fields": [field for field in ranked if field.key in first],
        "more": [field for field in fields if field.key not in first],
        "by_importance": bool(importance),
        "shared": shared,
    }


def _texts(schema: Schema) -> list[str]:
    """What stands in each field: what was sent, nothing, or the example."""
    if request.method == "POST":
        return [request.form.get(f"c{i}", "") for i in range(len(schema.columns))]
    if "empty" in request.args:
        return ["" for _ in schema.columns]
    return [_example(column) for column in schema.columns]


def _example(column: Column) -> str:
    """A usual value, with the signs of the reader's language."""
    return "" if column.example is None else _shown(column.example)


def _plain(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{shortest(value):.9g}"


def _field(index: int, column: Column, text: str, wrong: bool) -> Field:
    field = Field(
        key=f"c{index}", id=f"field-{index}", name=column.name, value=text, wrong=wrong, hint="", number=False
    )
    if column.kind == "date":
        field.kind = "date" if column.integer else "datetime-local"
        field.value = _as_iso(text, column)
        field.hint = gettext("%(low)s to %(high)s", low=_day(column.minimum), high=_day(column.maximum))
    elif column.kind == "number":
        field.number = True
        field.hint = gettext(
            "%(low)s to %(high)s", low=formats.typed(column.minimum), high=formats.typed(column.maximum)
        )
    else:
        known = [(level, level) for level in column.categories]
        if text and text not in column.categories:
            known.insert(0, (text, text))
        field.options = [("", gettext("(missing)")), *known]
        field.hint = gettext("%(n)s known values", n=len(column.categories))
    return field


def _as_iso(text: str, column: Column) -> str:
    """A date as the browser's field has it; what is typed with the day first (or the tables' way) is read so."""
    order = (
        column.date_order
        if column.date_order in ("day-first", "month-first")
        else _READERS_ORDER.get(str(get_locale()))
    )
    found = days(text, order=order or "")
    return text if found is None or found != found else iso(found)


def _day_of(text: Any) -> Any:
    """A date in ISO 8601, for reading."""
    found = days(text)
    return text if found is None or found != found else formats.day(found)


def _day(found: float | None) -> str:
    """A date for reading, in the reader's language."""
    return "–" if found is None else formats.day(found)


def _record(schema: Schema, texts: list[str]) -> dict[str, Any]:
    """The form as a row of JSON values.

    Raises
    ------
    RowsError
        A number that may be read in two ways, or that is written as other languages do.
    """
    record: dict[str, Any] = {}
    errors = []
    for column, text in zip(schema.columns, texts, strict=True):
        if column.kind == "date":
            record[column.name] = _as_iso(text, column) or None
            continue
        if column.kind != "number":
            record[column.name] = text or None
            continue
        own = _own_texts(column)
        found: list[Any] = [own[text]] if text in own else _readings(text, schema)
        expected = _rewritten(text, found)
        if expected is not None:
            errors.append(ValidationError(0, column.name, expected, f"'{shown(text)}'"))
        record[column.name] = found[0] if found else text
    if errors:
        raise RowsError(errors)
    return record


def _rewritten(text: str, found: list[Any]) -> Message | None:
    """How to write a number that reads in two ways, or in none but with the marks of another language."""
    if len(found) > 1:
        return message("rows.one_reading", ways=[_shown(value) for value in found])
    ways = _finite(text, _ELSEWHERE) if not found else []
    return message("rows.written_here", ways=[formats.typed(value) for value in ways]) if ways else None


def _own_texts(column: Column) -> dict[str, Any]:
    """What the form itself prints of a column, and what it stands for: no mark in it is in doubt."""
    bounds = {formats.typed(bound): bound for bound in (column.minimum, column.maximum) if bound is not None}
    return bounds | {_example(column): column.example, _plain(column.example): column.example}


def _readings(text: str, schema: Schema) -> list[Any]:
    """The numbers that a text may stand for: as the form shows it, as the reader's language or the tables write it.

    None: the reader of rows says what is wrong with the text, with the column's name.
    """
    point, comma = (".", ""), (",", "")  # marks of decimals and between thousands
    if text.strip().lstrip("+-").startswith("0"):  # no mark between thousands stands behind a zero
        ways = [point, comma]
    elif formats.localised(".") == ",":
        ways = [point, comma, (",", ".")]
    else:
        ways = [point, (".", ","), comma]
    own = (schema.decimal, schema.thousands)
    return _finite(text, (own, *ways))


def _finite(text: str, ways: Iterable[tuple[str, str]]) -> list[Any]:
    """The numbers that a text is with these marks of decimals and between thousands."""
    read = [number(text, decimal=decimal, thousands=thousands) for decimal, thousands in ways]
    return list(dict.fromkeys(value for value in read if value is not None and math.isfinite(value)))


def _scored(served: Served, texts: list[str]) -> tuple[Rows, Scored]:
    rows = score.reader(served).records([_record(served.bundle.schema, texts)])
    return rows, score.score(served, rows)


def _answer(served: Served, rows: Rows, scored: Scored, texts: list[str]) -> dict[str, Any]:
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
    return [gettext("(missing)") if value == "" or value != value else _shown(value) for value in values]


def _shown(value: float | str) -> str:
    """A value for reading, and in a field of the form."""
    return value if isinstance(value, str) else formats.localised(_plain(value))


def _change(change: Counterfactual, name: str, is_date: bool) -> str:
    new: Any = _day_of(change.new) if is_date else change.new
    old: Any = _day_of(change.old) if is_date else change.old
    old = gettext("(missing)") if old is None else _shown(old)
    return gettext(
        "%(column)s: %(new)s instead of %(old)s would give “%(label)s” (%(probability)s)",
        column=name,
        new=_shown(new),
        old=old,
        label=change.label,
        probability=formats.percent(change.probability),
    )
