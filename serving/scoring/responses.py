"""Response encoding: scored rows as the JSON that `POST /predict` and `/predict/file` answer with."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ml.bundle.reader import Bundle
from ml.decision import of_metrics
from ml.schema.rows import Rows
from serving.scoring.score import Scored

WARNINGS_HEADER = "X-Warnings"
DECISION_HEADER = "X-Decision"
WARNINGS_BYTES = 4_000  # of the header X-Warnings: half of the 8 kB that proxies take for a line


class Answer(msgspec.Struct, gc=False):
    """The answer for one row. `probabilities` has a probability for each class; `positive_probability` is there only
    where there is a positive label, `warnings` only where there are any, `action` and `propensity` only where the
    settings have a policy."""

    prediction_id: str
    label: str
    probability: float
    probabilities: Any
    positive_probability: float | msgspec.UnsetType = msgspec.UNSET
    warnings: list[dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    action: str | msgspec.UnsetType = msgspec.UNSET
    propensity: float | msgspec.UnsetType | None = msgspec.UNSET


class Body(msgspec.Struct):
    """The whole answer."""

    model_version: str
    predictions: Sequence[Answer]


_encoder = msgspec.json.Encoder()


def body(scored: Scored) -> bytes:
    """The JSON body that `POST /predict` returns."""
    return _encoder.encode(Body(scored.version, predictions(scored)))


def predictions(scored: Scored) -> list[Answer]:
    """The `predictions` list of an answer, one a row."""
    columns = scored.probabilities.T.tolist()
    by_class = map(maker(scored.schema.classes), *columns)
    place = scored.positive
    positive = () if place is None else (columns[place],)
    answers = list(map(Answer, scored.ids, scored.labels, scored.chosen.tolist(), by_class, *positive))
    if scored.rows.warnings:
        for answer, warnings in zip(answers, scored.rows.warnings, strict=True):
            if warnings:
                answer.warnings = [warning.to_dict() for warning in warnings]
    if scored.actions:
        for answer, action in zip(answers, scored.actions, strict=True):
            if action is not None:
                answer.action, answer.propensity = action.name, action.propensity
    return answers


def kinds(rows: Rows) -> Iterator[tuple[str, str]]:
    """Column and code of each unusual value, to be counted."""
    return ((warning.column, warning.code) for warnings in rows.warnings for warning in warnings)


def counted(counts: Counter[tuple[str, str]]) -> list[dict[str, str]]:
    """How many values of each column were unusual, and how: as it is said of a whole answer."""
    return [
        {"column": column, "code": code, "message": f"{count} rows: {code.replace('_', ' ')}"}
        for (column, code), count in counts.items()
    ]


def warnings_header(warnings: Sequence[dict[str, str]]) -> dict[str, str]:
    """The header X-Warnings with the first ten, or fewer where names of columns are long; none where there are none."""
    listed = list(warnings[:10])
    while len(text := json.dumps(listed)) > WARNINGS_BYTES:  # ASCII, as a header must be
        listed.pop()
    return {WARNINGS_HEADER: text} if listed else {}


def decision_header(bundle: Bundle) -> dict[str, str]:
    """The header X-Decision: how a label is made of probabilities, a JSON string (headers are ASCII)."""
    told = of_metrics(bundle.decision, bundle.schema, bundle.metrics)
    return {DECISION_HEADER: json.dumps(" ".join(map(str, told)))}


@functools.lru_cache(maxsize=16)
def maker(names: tuple[str, ...]) -> Callable[..., Any]:
    """What makes of one row's values, one for each name, what is written as {name: value}.

    >>> msgspec.json.encode(list(map(maker(("no", "yes")), [0.25, 0.5], [0.75, 0.5])))
    b'[{"no":0.25,"yes":0.75},{"no":0.5,"yes":0.5}]'
    >>> msgspec.json.decode(msgspec.json.encode(maker(('say "no"', "yes"))(0.25, 0.75)))
    {'say "no"': 0.25, 'yes': 0.75}
    """
    fields = [f"f{i}" for i in range(len(names))]
    try:  # structs are made and encoded in a third of the time of dicts
        return msgspec.defstruct("Named", fields, rename=dict(zip(fields, names, strict=True)), gc=False)
    except ValueError:  # msgspec takes no quote, backslash or control character in a name
        return lambda *values: dict(zip(names, values, strict=True))
