"""When one value in every row is a stuck feed, and when it is chance or the calendar."""

from __future__ import annotations

import numpy as np
import pytest

from ml.drift import features, stuck_feed
from ml.drift.reference import Baseline, canonical
from ml.settings import Drift
from tests.ml import worlds

DRIFT = Drift()
NONE = np.zeros(0)


@pytest.mark.parametrize(
    ("n", "before", "stuck"),
    [
        (1, np.arange(1000.0), False),
        (2, np.arange(1000.0), False),
        (4, np.arange(1000.0), True),
        (500, np.array([7.0, 8.0]), True),
        (20, np.array([7.0, 8.0, 9.0]), False),
        (500, np.full(900, 3.0), False),
        (500, np.array([3.0, 7.5] * 500), False),
        (0, np.arange(10.0), False),
    ],
    ids=["one cell", "two", "four", "two known values", "three known values", "constant before", "common", "none"],
)
def test_so_many_alike_must_be_no_chance(n: int, before: stuck_feed.Floats, stuck: bool) -> None:
    found = stuck_feed.usual_share(np.full(n, 7.5), before, DRIFT, columns=20)
    assert (found is not None) == stuck


def test_unchanged_windows_of_a_sparse_column_are_never_stuck() -> None:
    """A number that one row in 150 has: a hundred windows of two hundred rows, most with no or one filled cell."""
    rng = np.random.default_rng(0)

    def sparse(n: int) -> stuck_feed.Floats:
        return np.where(rng.random(n) < 1 / 150, rng.integers(10, 480, n) / 10, np.nan)

    frame, y, p = worlds.draw(400, 1)
    kept = Baseline("1", worlds.SCHEMA, frame.assign(x3=sparse(400)), y, worlds.decide(p), np.column_stack([1 - p, p]))
    for seed in range(100):
        frame, _, p = worlds.draw(200, 1_000 + seed)
        clean, problems = canonical(frame.assign(x3=sparse(200)), worlds.SCHEMA)
        answers = np.column_stack([1 - p, p]), worlds.decide(p)
        assert not any(one.broken for one in features.examine(kept, clean, problems, DRIFT, answers=answers))


@pytest.mark.parametrize(
    ("value", "before", "earlier", "moves"),
    [
        (2025.0, np.repeat(np.arange(2021.0, 2026), 80), NONE, True),
        (2026.0, np.repeat(np.arange(2021.0, 2026), 80), NONE, True),
        (9999.0, np.repeat(np.arange(2021.0, 2026), 80), NONE, False),
        (13.0, np.tile(np.arange(24.0), 20), NONE, True),
        (7.0, np.repeat([0.0, 1, 2, 3, 7], [100, 100, 100, 90, 10]), NONE, False),
        (7.5, np.tile(np.arange(24.0), 20), NONE, False),
        (43.0, np.tile(np.arange(18.0, 90), 20), NONE, False),
        (13.0, np.tile(np.arange(24.0), 20), np.repeat(np.arange(9.0, 13), 50), True),
        (13.0, np.tile(np.arange(24.0), 20), np.tile(np.arange(24.0), 8), False),
        (0.25, np.linspace(0, 1, 999), np.repeat(np.linspace(0, 1, 20), 60), True),
    ],
    ids=["a year", "the next year", "a word for no value", "an hour", "rare", "no whole number", "an age",
         "an hour by its past", "a level by its past", "a rate by its past"],
)  # fmt: skip
def test_a_value_that_moves_with_time(
    value: float, before: stuck_feed.Floats, earlier: stuck_feed.Floats, moves: bool
) -> None:
    assert stuck_feed.moves_with_time(value, before, earlier) == moves
