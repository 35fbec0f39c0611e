"""Generated streams of known drift, for `bench/streams.py`: what the rule was not made on.

| name | what changes |
|---|---|
| `sea` | the threshold of the SEA concepts, abruptly, three times (Street and Kim 2001), 10% of labels flipped |
| `hyperplane` | the direction of a separating hyperplane, a little with every row (Hulten et al. 2001), 5% flipped |
| `gradual` | one concept gives way to another over a third of the stream, row by row at random |
| `recurring` | two concepts take turns, abruptly, four times |
| `covariate` | the inputs wander; what they mean does not |
| `still` | nothing |
| `seasonal` | the direction of the boundary turns and comes back, twice, a little with every row |
| `rare` | one label in twenty is "yes"; in the middle the reason for it is another |
| `lender` | who would not pay back, slowly; a label comes for those alone who were lent to (`bench/lender.py`) |
| `hard` | nothing but the noise: every third stretch one label in four is wrong, and no model could do better |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 24_000
Made = tuple[Any, Any]  # inputs (n, columns), truth (n,) bool


def write(name: str, folder: Path, *, rows: int = ROWS, seed: int = 0) -> Path:
    """A generated stream as a CSV in time order with its JSON beside it; returns the CSV."""
    x, y = WORLDS[name](rows, np.random.default_rng(seed))
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).round(4)
    frame["y"] = np.where(y, "yes", "no")
    file = folder / f"{name}.csv"
    frame.to_csv(file, index=False)
    file.with_suffix(".json").write_text(json.dumps({"target": "y", "positive_label": "yes"}), encoding="utf-8")
    return file


def sea(n: int, rng: np.random.Generator) -> Made:
    x = rng.uniform(0, 10, (n, 3))
    threshold = np.repeat([8.0, 9.0, 7.0, 9.5], -(-n // 4))[:n]
    return x, _flip(x[:, 0] + x[:, 1] <= threshold, 0.1, rng)


def hyperplane(n: int, rng: np.random.Generator) -> Made:
    x = rng.uniform(0, 1, (n, 8))
    direction = rng.choice([-1.0, 1.0], 8) * 2.0 / n
    weights = rng.uniform(0, 1, 8) + direction * np.arange(n)[:, None]
    return x, _flip((weights * (x - 0.5)).sum(axis=1) >= 0, 0.05, rng)


def gradual(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    new = rng.random(n) < np.clip(np.arange(n) / n * 3 - 1, 0, 1)
    return x, _flip(np.where(new, _second(x), _first(x)) > 0, 0.08, rng)


def recurring(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    new = (np.arange(n) * 5 // n) % 2 == 1
    return x, _flip(np.where(new, _second(x), _first(x)) > 0, 0.08, rng)


def covariate(n: int, rng: np.random.Generator) -> Made:
    centre = np.column_stack([np.sin(np.arange(n) / n * 2 * np.pi * f) * 2 for f in (0.5, 1, 1.5, 0, 0, 0)])
    x = rng.normal(size=(n, 6)) + centre
    return x, _flip(x[:, 0] ** 2 - x[:, 1] * x[:, 2] + x[:, 3] > 1, 0.05, rng)


def still(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    return x, _flip(_first(x) > 0, 0.1, rng)


def seasonal(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    turn = np.sin(np.arange(n) / n * 4 * np.pi)
    return x, _flip(x[:, 0] * (1 - abs(turn)) + x[:, 1] * turn + 0.3 * x[:, 2] > 0, 0.08, rng)


def rare(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    reason = np.where(np.arange(n) < n // 2, x[:, 0] + 0.5 * x[:, 1], x[:, 2] + 0.5 * x[:, 1])
    return x, rng.random(n) < 1 / (1 + np.exp(4.3 - 1.6 * reason))


def hard(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 6))
    noise = np.where((np.arange(n) * 9 // n) % 3 == 1, 0.25, 0.08)
    return x, (_first(x) > 0) ^ (rng.random(n) < noise)


def lender(n: int, rng: np.random.Generator) -> Made:
    x = rng.normal(size=(n, 8))
    turn = np.arange(n) / n * np.pi / 2
    risk = x[:, 0] * np.cos(turn) + x[:, 1] * np.sin(turn) + 0.6 * x[:, 2] - 0.5 * x[:, 3] * x[:, 4]
    return x, rng.random(n) < 1 / (1 + np.exp(2.2 - 2.5 * risk))


def _first(x: Any) -> Any:
    return x[:, 0] + 0.8 * x[:, 1] - 0.5 * x[:, 2] * x[:, 3]


def _second(x: Any) -> Any:
    return 0.8 * x[:, 0] - x[:, 1] + 0.7 * x[:, 4]


def _flip(y: Any, share: float, rng: np.random.Generator) -> Any:
    return y ^ (rng.random(len(y)) < share)


WORLDS: dict[str, Callable[[int, np.random.Generator], Made]] = {
    "sea": sea,
    "hyperplane": hyperplane,
    "gradual": gradual,
    "recurring": recurring,
    "covariate": covariate,
    "still": still,
    "seasonal": seasonal,
    "rare": rare,
    "hard": hard,
    "lender": lender,
}
