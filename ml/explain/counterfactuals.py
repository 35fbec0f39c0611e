"""Counterfactuals: the nearest single-column changes of a row that flip its label.

Every column is tried on its own, numbers within the range seen in training and categories among the known
levels, through the model that serves. A statement about the model, not about the world: changing the column
in life need not change the outcome.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.schema.cells import iso, shortest
from ml.schema.rows import Rows
from ml.schema.schema import Schema

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

GRID = 33  # values tried over a number's range; our choice
REFINEMENTS = 8  # bisections after that: 1/8000 of the range
MAX_LEVELS = 50  # that are tried of one category, the most frequent first; our choice


class Model(Protocol):
    """What is needed of a bundle."""

    @property
    def schema(self) -> Schema: ...

    def run(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]: ...

    def label(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]: ...


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """A counterfactual: one column's value that flips the label.

    `probability` is the new label's; `distance` a share of the range, 1 for another category or where the value was
    missing.
    """

    column: str
    old: float | str | None
    new: float | str
    label: str
    probability: float
    distance: float

    def __str__(self) -> str:
        old, new = (f"{v:.6g}" if isinstance(v, float) else v for v in (self.old, self.new))
        return f"{self.column}: {'missing' if old is None else old} → {new}: {self.label} ({self.probability:.2f})"


class _Grid(NamedTuple):
    """What is tried: `values[i]` in number column `at[i]`, `levels[i]` in category column `of[i]`."""

    at: Index
    values: Floats
    of: Index
    levels: npt.NDArray[Any]
    span: Floats  # (K,) of each number column
    whole: npt.NDArray[np.bool_]  # (K,)


def counterfactuals(model: Model, rows: Rows, *, limit: int = 5) -> list[list[Counterfactual]]:
    """Counterfactuals of each row: single-column changes that flip its label.

    Parameters
    ----------
    model
        The opened bundle.
    rows
        n canonical rows.
    limit
        Most of one row.

    Returns
    -------
    n lists, each nearest first; empty where no single column flips the label.
    """
    return [_of_row(model, rows.part(i, i + 1), limit) for i in range(len(rows))]


def _of_row(model: Model, row: Rows, limit: int) -> list[Counterfactual]:
    grid, now = _grid(model.schema), model.label(model.run(row.numbers, row.categories))[0]
    old = row.numbers[0].astype(np.float64)
    other = grid.values != old[grid.at]
    at, values = grid.at[other], grid.values[other]
    others = grid.levels != row.categories[0, grid.of]
    of, levels = grid.of[others], grid.levels[others]
    flipped = _labels(model, row, at, values, of, levels)[0] != now
    near, far = flipped[: len(at)], flipped[len(at) :]
    at, values = _nearest(at[near], values[near], _distance(grid, old, at[near], values[near]), limit)
    values = _refined(model, row, grid, at, values, now)
    of, first = np.unique(of[far], return_index=True)
    levels = levels[far][first]
    labels, probabilities = _labels(model, row, at, values, of, levels)
    distances = [*_distance(grid, old, at, values).tolist(), *[1.0] * len(of)]
    names = [*(model.schema.numbers[j] for j in at), *(model.schema.categories[j] for j in of)]
    olds = [
        *(None if np.isnan(old[j]) else shortest(float(old[j])) for j in at),
        *(row.categories[0, j] or None for j in of),
    ]
    news = [*map(shortest, values.tolist()), *levels.tolist()]
    for place, name in enumerate(names):
        if name in model.schema.dates:
            olds[place], news[place] = (None if day is None else iso(day) for day in (olds[place], news[place]))
    flips = [
        Counterfactual(column=name, old=was, new=new, label=label, probability=float(probability), distance=distance)
        for name, was, new, label, probability, distance in zip(
            names, olds, news, labels, probabilities, distances, strict=True
        )
    ]
    return sorted(flips, key=lambda flip: (flip.distance, -flip.probability))[:limit]


@lru_cache(maxsize=8)
def _grid(schema: Schema) -> _Grid:
    columns = [column for column in schema.columns if column.kind != "category"]
    at, values, span = [], [], np.ones(len(columns))
    for j, column in enumerate(columns):
        if column.minimum is None or column.maximum is None or column.maximum <= column.minimum:
            continue
        span[j] = column.maximum - column.minimum
        tried = np.unique(_rounded(np.linspace(column.minimum, column.maximum, GRID), np.array(column.integer)))
        at += [j] * len(tried)
        values += tried.tolist()
    texts = [column for column in schema.columns if column.kind == "category"]
    levels = [(j, level) for j, column in enumerate(texts) for level in column.categories[:MAX_LEVELS]]
    return _Grid(
        np.array(at, np.int64),
        np.array(values, np.float64),
        np.array([j for j, _ in levels], np.int64),
        np.array([level for _, level in levels], object),
        span,
        np.array([column.integer for column in columns], bool),
    )


def _rounded(values: Floats, whole: npt.NDArray[np.bool_]) -> Floats:
    """Whole numbers where the column has only such, and what float32 can hold."""
    return np.where(whole, np.round(values), values.astype(np.float32).astype(np.float64))


def _distance(grid: _Grid, old: Floats, at: Index, values: Floats) -> Floats:
    """As a share of the column's range; 1 where there was no value."""
    distance: Floats = np.abs(values - old[at]) / grid.span[at]
    return np.where(np.isnan(distance), 1.0, distance)


def _nearest(at: Index, values: Floats, distance: Floats, limit: int) -> tuple[Index, Floats]:
    """Each column's nearest value; only those that can be among the `limit` nearest when they are refined."""
    order = np.argsort(distance, kind="stable")
    _, first = np.unique(at[order], return_index=True)
    best = order[np.sort(first)]  # by distance
    farthest = distance[best[:limit]].max(initial=0.0) + 1 / (GRID - 1)
    best = best[distance[best] <= farthest]
    return at[best], values[best]


def _refined(model: Model, row: Rows, grid: _Grid, at: Index, values: Floats, now: str) -> Floats:
    """The values moved towards the row's own as far as the label stays flipped."""
    old = row.numbers[0, at].astype(np.float64)
    moving = np.flatnonzero(~np.isnan(old))
    if not len(moving):
        return values
    columns, flipping, old = at[moving], values[moving], old[moving]
    step = grid.span[columns] / (GRID - 1)
    # The grid value next to the nearest flipping one, on the row's side: it does not flip.
    staying = np.where(old < flipping, np.maximum(old, flipping - step), np.minimum(old, flipping + step))
    none = np.empty(0, np.int64), np.empty(0, object)
    for _ in range(REFINEMENTS):
        middle = _rounded((staying + flipping) / 2, grid.whole[columns])
        flips = _labels(model, row, columns, middle, *none)[0] != now
        flipping, staying = np.where(flips, middle, flipping), np.where(flips, staying, middle)
    short = _short(old, flipping, grid.span[columns], grid.whole[columns])
    flips = _labels(model, row, columns, short, *none)[0] != now
    refined = values.copy()
    refined[moving] = np.where(flips & (np.abs(short - old) <= np.abs(values[moving] - old)), short, flipping)
    return refined


def _short(old: Floats, values: Floats, span: Floats, whole: npt.NDArray[np.bool_]) -> Floats:
    """The values with no more digits than the search has found out, rounded away from the row's own."""
    resolution = span / ((GRID - 1) * 2**REFINEMENTS)
    unit = np.where(whole, 1.0, 10.0 ** -np.clip(np.ceil(-np.log10(resolution)), -15, 15))
    short = np.where(values > old, np.ceil(values / unit), np.floor(values / unit)) * unit
    return np.array([float(f"{v:.12g}") for v in short])


def _labels(
    model: Model, row: Rows, at: Index, values: Floats, of: Index, levels: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Labels of the row with each value in place, then with each level, and the labels' probabilities."""
    n = len(at) + len(of)
    if n == 0:
        return np.empty(0, object), np.empty(0, np.float32)
    numbers, categories = np.repeat(row.numbers, n, axis=0), np.repeat(row.categories, n, axis=0)
    numbers[np.arange(len(at)), at] = values
    categories[np.arange(len(at), n), of] = levels
    probabilities = model.run(numbers, categories)
    labels = np.asarray(model.label(probabilities))
    classes = {name: code for code, name in enumerate(model.schema.classes)}
    return labels, probabilities[np.arange(n), [classes[label] for label in labels.tolist()]]
