"""Which family is tried next: by what trials have cost, until one is clearly behind."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hyperopt import hp

from ml import tuning
from ml.tuning.ask_and_tell import OVERHEAD, TRIES, TRIES_A_PARAMETER, Shares
from ml.tuning.space import Space
from ml.tuning.trial import Trial
from tests.ml.tuning.searching import FAST, Rows, settings

SPACE = Space({name: {f"{name}{i}": hp.uniform(f"{name}.{i}", 0, 1) for i in range(9)} for name in ("cheap", "dear")})
LEVEL = np.full(100, 0.5)


def played(n: int, cost: dict[str, float], losses: dict[str, np.ndarray], space: Space = SPACE) -> Counter:
    """How often each family is tried in a search of `n` trials whose results are known at once."""
    known: list[Trial] = []
    shares = Shares(space, lambda number: losses[known[number].family])
    for number in range(n):
        family = shares.next(known, [])
        loss = float(losses[family].mean())
        known.append(Trial(number=number, family=family, params={}, seed=0, loss=loss, cost=cost[family]))
    return Counter(trial.family for trial in known)


def test_families_share_the_time_and_not_the_count():
    """What costs five times as much is tried a fifth as often."""
    tried = played(30, {"cheap": 1 - OVERHEAD, "dear": 5 - OVERHEAD}, {"cheap": LEVEL, "dear": LEVEL})
    assert tried == {"cheap": 25, "dear": 5}


def test_a_family_that_is_clearly_behind_gets_no_more():
    """After its first tries; one that is a little behind, or not surely, goes on."""
    cost = {"cheap": 1.0, "dear": 1.0}
    assert played(20, cost, {"cheap": LEVEL + 0.1, "dear": LEVEL})["cheap"] == TRIES
    assert played(20, cost, {"cheap": LEVEL + 0.005, "dear": LEVEL})["cheap"] == 10
    unsure = LEVEL + 0.1 + np.random.default_rng(0).normal(0, 2, 100)
    unsure += LEVEL.mean() + 0.1 - unsure.mean()
    assert played(20, cost, {"cheap": unsure, "dear": LEVEL})["cheap"] == 10


def test_a_small_space_is_tried_no_more_than_it_is_worth():
    """As long as another family has tries left."""
    small = Space({"cheap": {"a": hp.uniform("cheap.a", 0, 1)}, "dear": {"b": hp.uniform("dear.b", 0, 1)}})
    cost, level = {"cheap": 0.0, "dear": 100.0}, {"cheap": LEVEL, "dear": LEVEL}
    assert played(2 * TRIES_A_PARAMETER, cost, level, small) == {"cheap": TRIES_A_PARAMETER, "dear": TRIES_A_PARAMETER}
    assert played(20, cost, level, small)["cheap"] == 20 - TRIES_A_PARAMETER


def test_a_family_whose_trials_all_fail_does_not_eat_the_search():
    """It costs nothing, and would be the cheapest for ever."""
    known = [Trial(number=0, family="dear", params={}, seed=0, loss=0.5, cost=9.0)]
    known += [Trial(number=n, family="cheap", params={}, seed=0, status="failed") for n in range(1, TRIES)]
    shares = Shares(SPACE, lambda number: LEVEL)
    assert shares.next(known, []) == "cheap"
    assert shares.next([*known, Trial(number=9, family="cheap", params={}, seed=0, status="failed")], []) == "dear"


def test_trials_under_way_count_as_their_family_costs():
    """Not as nothing, or one family would be asked for until its first result is in."""
    known = [Trial(number=n, family=f, params={}, seed=0, loss=0.5, cost=1.0) for n, f in enumerate(("cheap", "dear"))]
    shares = Shares(SPACE, lambda number: LEVEL)
    assert [shares.next(known, ["cheap"] * n) for n in (0, 1, 2)] == ["cheap", "dear", "dear"]
    assert shares.next([], ["cheap"]) == "dear"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_goes_by_counted_costs(tmp_path, workers):
    """Every trial has one, and they repeat whatever the clock said."""
    found = tuning.search(Rows(), settings(workers=workers), workdir=tmp_path, max_evals=7)
    again = tuning.search(Rows(), settings(workers=1), workdir=tmp_path / "again", max_evals=7)
    assert all(trial.cost > 0 for trial in found.trials)
    assert [(t.family, t.cost) for t in found.trials] == [(t.family, t.cost) for t in again.trials]
    assert {trial.family for trial in found.trials} == set(FAST)
