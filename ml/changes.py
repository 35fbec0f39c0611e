"""What would change the answer: the nearest single-column changes of a row that flip its label.

Every column is tried on its own, numbers within the range seen in training and categories among the known
levels, through the model that serves. A statement about the model, not about the world: changing the column
in life need not change the outcome.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.rows import Rows
from ml.schema import Column, Schema

GRID = 33  # values tried over a number's range; our choice
REFINEMENTS = 8  # bisections after that: 1/8000 of the range
MAX_LEVELS = 50


class Model(Protocol):
    """What is needed of a bundle."""

    @property
    def schema(self) -> Schema: ...

    def run(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]: ...

    def label(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]: ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One column's value that flips the label. `probability` is the new label's; `distance` a share of the range,
    1 for another category or where the value was missing."""

    column: str
    old: float | str | None
    new: float | str
    label: str
    probability: float
    distance: float

    def __str__(self) -> str:
        old, new = (f"{v:.6g}" if isinstance(v, float) else v for v in (self.old, self.new))
        return f"{self.column}: {'missing' if old is None else old} → {new}: {self.label} ({self.probability:.2f})"


class _Trial(NamedTuple):
    column: Column
    at: int  # index among the numbers, or among the categories
    old: float | str | None
    new: float | str
    distance: float


def changes(model: Model, rows: Rows, *, limit: int = 5) -> list[list[Change]]:
    """For each row, up to `limit` single-column changes that flip its label, nearest first; may be none."""
    return [_of_row(model, rows.part(i, i + 1), limit) for i in range(len(rows))]


def _of_row(model: Model, row: Rows, limit: int) -> list[Change]:
    now = model.label(model.run(row.numbers, row.categories))[0]
    trials = [*_number_trials(model.schema, row), *_category_trials(model.schema, row)]
    nearest: dict[str, _Trial] = {}
    labels, _ = _try(model, row, trials)
    for trial, label in zip(trials, labels, strict=True):
        best = nearest.get(trial.column.name)
        if label != now and (best is None or trial.distance < best.distance):
            nearest[trial.column.name] = trial
    refined = _refined(model, row, list(nearest.values()), now)
    labels, probabilities = _try(model, row, refined)
    classes = model.schema.classes
    found = [
        Change(
            column=trial.column.name,
            old=trial.old,
            new=trial.new,
            label=label,
            probability=float(p[classes.index(label)]),
            distance=trial.distance,
        )
        for trial, label, p in zip(refined, labels, probabilities, strict=True)
    ]
    return sorted(found, key=lambda change: (change.distance, -change.probability))[:limit]


def _number_trials(schema: Schema, row: Rows) -> list[_Trial]:
    trials = []
    columns = [column for column in schema.columns if column.kind == "number"]
    for j, column in enumerate(columns):
        if column.minimum is None or column.maximum is None or column.maximum <= column.minimum:
            continue
        old = float(row.numbers[0, j])
        for value in np.linspace(column.minimum, column.maximum, GRID).tolist():
            trials.append(_number_trial(column, j, old, value))
    return [trial for trial in trials if trial.new != trial.old]


def _number_trial(column: Column, at: int, old: float, value: float) -> _Trial:
    assert column.minimum is not None
    assert column.maximum is not None
    new = float(round(value)) if column.integer else float(np.float32(value))
    if np.isnan(old):
        return _Trial(column, at, None, new, 1.0)
    return _Trial(column, at, old, new, abs(new - old) / (column.maximum - column.minimum))


def _category_trials(schema: Schema, row: Rows) -> list[_Trial]:
    columns = [column for column in schema.columns if column.kind == "category"]
    return [
        _Trial(column, j, row.categories[0, j] or None, level, 1.0)
        for j, column in enumerate(columns)
        for level in column.categories[:MAX_LEVELS]
        if level != row.categories[0, j]
    ]


def _refined(model: Model, row: Rows, trials: list[_Trial], now: str) -> list[_Trial]:
    """Number trials moved towards the row's own value as far as the label stays flipped."""
    flipping = list(trials)
    staying = {i: _short_of(trial) for i, trial in enumerate(trials) if isinstance(trial.old, float)}
    for _ in range(REFINEMENTS):
        middle = {
            i: _number_trial(
                flipping[i].column, flipping[i].at, _number(flipping[i].old), (value + _number(flipping[i].new)) / 2
            )
            for i, value in staying.items()
        }
        labels, _ = _try(model, row, list(middle.values()))
        for (i, trial), label in zip(middle.items(), labels, strict=True):
            if label != now:
                flipping[i] = trial
            else:
                staying[i] = _number(trial.new)
    return flipping


def _short_of(trial: _Trial) -> float:
    """The grid value next to the nearest flipping one, on the row's side: it does not flip."""
    old, new = _number(trial.old), _number(trial.new)
    assert trial.column.minimum is not None
    assert trial.column.maximum is not None
    step = (trial.column.maximum - trial.column.minimum) / (GRID - 1)
    return max(old, new - step) if old < new else min(old, new + step)


def _try(model: Model, row: Rows, trials: list[_Trial]) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Labels and (n, C) probabilities of the row with each trial's value in place."""
    if not trials:
        return [], np.empty((0, len(model.schema.classes)), np.float32)
    numbers = np.repeat(row.numbers, len(trials), axis=0)
    categories = np.repeat(row.categories, len(trials), axis=0)
    for i, trial in enumerate(trials):
        (numbers if trial.column.kind == "number" else categories)[i, trial.at] = trial.new
    probabilities = model.run(numbers, categories)
    return model.label(probabilities).tolist(), probabilities


def _number(value: float | str | None) -> float:
    assert isinstance(value, float)
    return value
