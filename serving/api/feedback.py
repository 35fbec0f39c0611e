"""`POST /feedback`: the true labels, when they become known, by prediction id; `POST /actions`: what followed.

One (`{"prediction_id": …, "label": …}`), many (`{"feedback": [{…}, …]}` or the bare list) or a CSV with the
columns `prediction_id` and `label`; or a page's result file with its column `true_label` filled in, of which rows
without one are passed over. All are written or none. The latest label of a prediction counts; a repeated
one changes nothing. The prediction itself may still be on its way to the database, so an id is not looked up here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from flask import Blueprint, Response, request

from ml.data.sources import csv_diagnosis, csv_header
from ml.errors import DataError
from ml.exploration import policy
from ml.exploration.policy import Action
from ml.messages import message
from ml.schema.cells import label_names, same_label
from ml.schema.findings import Report
from ml.schema.validation_errors import MAX_ERRORS, RowsError, ValidationError, kind_of, shown
from ml.settings.sections import MAX_ACTION_CHARS
from serving.api import guard, operations, schemas
from serving.api.operations import JSON
from serving.prediction_log.writer import LogUnavailable
from serving.problems import Problem
from serving.scoring.json_rows import ID_KEY, MAX_ID_CHARS, as_id, strict_json
from serving.service import current_service, read_body

MAX_LABELS = 100_000  # of one request; our choice
MAX_COLUMNS = 2_000  # of a result file
NAMED = 10  # classes in a sentence
TRUTH = "true_label"  # the column of a result file that a person fills in

bp = Blueprint("feedback", __name__)


@bp.post("/feedback")
@guard.opens("feedback")
@operations.describe(
    "Send true labels by prediction id: one, many, or as CSV. Repeated ones change nothing; the latest counts.",
    {JSON: schemas.Accepted},
    operations.BODY,
    {JSON: {"$ref": operations.REF.format(name="Labels")}, operations.CSV: operations.TEXT},
    tag="feedback",
)
def add() -> Response:
    """Write the labels of one request to the log; the answer says how many."""
    service = current_service()
    body = read_body()
    kind = request.mimetype
    if kind == "text/csv":
        items, lines, column = _from_csv(body)
    elif kind == "application/json":
        content = strict_json(body, service.settings.serving.max_json_values)
        items, lines, column = _items(content, "feedback", "label"), [], "label"
    else:
        raise Problem(
            415, message("requests.content_type", expected="application/json or text/csv", got=shown(kind) or "none")
        )
    pairs = checked(items, service.served().bundle.schema.classes, lines, column=column)
    _written(pairs, service.log.append_feedback)
    return Response(msgspec.json.encode({"accepted": len(pairs)}), mimetype="application/json")


@bp.post("/actions")
@guard.opens("feedback")
@operations.describe(
    "Send the actions that followed predictions, with how likely each was: one or many. The latest of one counts.",
    {JSON: schemas.Accepted},
    operations.BODY,
    {JSON: {"$ref": operations.REF.format(name="Actions")}},
    tag="feedback",
)
def add_actions() -> Response:
    """Write what followed to the log; the answer says how many."""
    service = current_service()
    if request.mimetype != JSON:
        raise Problem(415, message("requests.content_type", expected=JSON, got=shown(request.mimetype) or "none"))
    items = _items(strict_json(read_body(), service.settings.serving.max_json_values), "actions", "action")
    pairs = checked_actions(items, service.settings.explore.labelled)
    _written(pairs, service.log.append_actions)
    return Response(msgspec.json.encode({"accepted": len(pairs)}), mimetype=JSON)


def checked_actions(items: list[Any], labelled: tuple[str, ...]) -> list[tuple[str, Action]]:
    """Pairs of prediction id and action.

    Parameters
    ----------
    items
        What should be objects `{"prediction_id": …, "action": …, "propensity": …}`; the last may be left out.
    labelled
        The actions after which a label can come; none: every one.

    Raises
    ------
    Problem
        Too many.
    RowsError
        An id or action that is no such text, a propensity that is no probability above 0, or another key.
    """
    if len(items) > MAX_LABELS:
        raise Problem(413, message("requests.too_many_actions", limit=MAX_LABELS, got=len(items)))
    pairs: list[tuple[str, Action]] = []
    errors: list[ValidationError] = []
    for i, item in enumerate(items):
        item_errors = list(_action_errors(item, i))
        errors += item_errors
        if not item_errors:
            chance = item.get("propensity")
            action = policy.told(item["action"], None if chance is None else float(chance), labelled)
            pairs.append((as_id(item[ID_KEY]), action))
        if len(errors) > MAX_ERRORS:
            break
    if errors:
        raise RowsError(errors)
    return pairs


def _action_errors(item: Any, row: int) -> Iterator[ValidationError]:
    if not isinstance(item, dict):
        yield ValidationError(row, None, f'{{"{ID_KEY}": …, "action": …, "propensity": …}}', kind_of(item))
        return
    texts = ((ID_KEY, as_id(item.get(ID_KEY)), MAX_ID_CHARS), ("action", item.get("action"), MAX_ACTION_CHARS))
    for name, value, limit in texts:
        if not (isinstance(value, str) and 0 < len(value) <= limit and value.isprintable()):
            yield ValidationError(row, name, message("rows.printable", limit=limit), f"'{shown(value)}'")
    chance = item.get("propensity")
    if chance is not None and (isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 < chance <= 1):
        yield ValidationError(row, "propensity", message("rows.propensity"), f"'{shown(chance)}'")
    for name in sorted(item.keys() - {ID_KEY, "action", "propensity"}):
        names = [ID_KEY, "action", "propensity"]
        yield ValidationError(row, name, message("rows.only_keys", names=names), message("rows.another_key"))


def _written(pairs: list[Any], append: Callable[[list[Any]], object]) -> None:
    """Write to the log, if there is anything.

    Raises
    ------
    Problem
        503
    """
    try:
        if pairs:
            append(pairs)
    except LogUnavailable as error:
        why = message("requests.labels_not_written", error=error.explanation)
        raise Problem(503, why, headers={"Retry-After": "1"}) from error


def checked(
    items: list[Any], classes: tuple[str, ...], lines: list[int], *, column: str = "label"
) -> list[tuple[str, str]]:
    """Pairs of prediction id and label.

    Parameters
    ----------
    items
        What should be objects `{"prediction_id": …, "label": …}`.
    classes
        Of the served model; none: no model serves, and every label that is text will do.
    lines
        Of each item in the file it came from; empty: it came as JSON, and places are told by row.
    column
        What the sender calls the labels, for messages.

    Raises
    ------
    Problem
        Too many.
    RowsError
        An id that is neither text nor a whole number, a label that is none of `classes`, or another key.
    """
    if len(items) > MAX_LABELS:
        raise Problem(413, message("requests.too_many_labels", limit=MAX_LABELS, got=len(items)))
    names = label_names(classes)
    pairs: list[tuple[str, str]] = []
    errors: list[ValidationError] = []
    for i, item in enumerate(items):
        line = lines[i] if lines else None
        item_errors = list(_errors(item, names, None if lines else i, line, column))
        errors += item_errors
        if not item_errors:
            pairs.append((as_id(item[ID_KEY]), names[same_label(item["label"])]))
        if len(errors) > MAX_ERRORS:
            break
    if errors:
        raise RowsError(errors)
    return pairs


def _errors(
    item: Any, names: dict[str, str], row: int | None, line: int | None, column: str
) -> Iterator[ValidationError]:
    if not isinstance(item, dict):
        yield ValidationError(row, None, f'{{"{ID_KEY}": …, "label": …}}', kind_of(item), line)
        return
    key, label = as_id(item.get(ID_KEY)), item.get("label")
    if not (isinstance(key, str) and 0 < len(key) <= MAX_ID_CHARS and key.isprintable()):
        yield ValidationError(row, ID_KEY, message("rows.printable", limit=MAX_ID_CHARS), f"'{shown(key)}'", line)
    if same_label(label) not in names:
        known = list(map(repr, dict.fromkeys(names.values())))
        classes = ", ".join(known[:NAMED]) + (f", … ({len(known)})" if len(known) > NAMED else "")
        yield ValidationError(row, column, message("rows.one_of", values=classes), f"'{shown(label)}'", line)
    for name in sorted(item.keys() - {ID_KEY, "label"}):
        yield ValidationError(
            row, name, message("rows.only_keys", names=[ID_KEY, "label"]), message("rows.another_key"), line
        )


def _items(content: Any, wrapper: str, key: str) -> list[Any]:
    """One object, a list of them, or that list under `wrapper`; `key` is what each has beside its id."""
    match content:
        case list():
            return content
        case dict() if content.keys() == {wrapper} and isinstance(content[wrapper], list):
            items: list[Any] = content[wrapper]
            return items
        case dict() if ID_KEY in content:
            return [content]
    forms = {"expected": f'{{"{ID_KEY}": …, "{key}": …}}', "wrapped": f'{{"{wrapper}": [that list]}}'}
    raise Problem(422, message("requests.feedback_form", **forms))


def _from_csv(body: bytes) -> tuple[list[Any], list[int], str]:
    """Items, the line each one begins on, and the column that holds the labels."""
    if (lines := body.count(b"\n") + body.count(b"\r")) > 3 * MAX_LABELS:  # before any is made; empty lines have room
        raise Problem(413, message("requests.too_many_label_lines", limit=MAX_LABELS, got=lines))
    try:
        content = body.decode("utf-8-sig").encode()
        if not content.strip():
            raise Problem(422, message("requests.feedback_no_columns", columns=[ID_KEY, "label"]))
        head = csv_header.read_head(content, None, delimiter="", max_columns=MAX_COLUMNS, report=Report())
        is_result = {ID_KEY, TRUTH} <= set(head.names)
        if not is_result and sorted(head.names) != sorted((ID_KEY, "label")):
            known = {"line": head.lines, "columns": [ID_KEY, "label"], "got": shown(", ".join(head.names))}
            raise Problem(422, message("requests.feedback_columns", **known))
        dialect = csv_diagnosis.Dialect(None, head.delimiter, head.names, len(content))
        diagnosis = csv_diagnosis.read_block(content[head.size :], dialect, first_line=head.lines + 1, final=True)
    except (UnicodeDecodeError, csv_diagnosis.QuotesError) as error:
        raise Problem(400, message("requests.no_utf8_csv", error=shown(error))) from error
    except DataError as error:
        raise Problem(422, error.explanation) from error
    if len(diagnosis.rows) > MAX_LABELS:
        raise Problem(413, message("requests.too_many_labels", limit=MAX_LABELS, got=len(diagnosis.rows)))
    items = [dict(zip(head.names, row, strict=True)) for row in diagnosis.rows]
    if not is_result:
        return items, diagnosis.lines, "label"
    filled = [(one, line) for one, line in zip(items, diagnosis.lines, strict=True) if one[TRUTH].strip()]
    found = [{ID_KEY: one[ID_KEY], "label": one[TRUTH].strip()} for one, _ in filled]
    return found, [line for _, line in filled], TRUTH
