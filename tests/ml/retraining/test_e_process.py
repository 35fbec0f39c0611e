"""The evidence against a champion: right about chance at any number of looks, and quick to see what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.drift.verdict import Rehearsal
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.retraining import e_process

ALL, SLIDING, OTHER = "all (logistic)", "sliding (logistic)", "sliding (hist_gradient_boosting)"


def after(*checks: dict[str, float], rows: int = 10, served: float = 0.5) -> dict[str, Rehearsal]:
    """Sums after checks in which each model gains so much on every row."""
    found: dict[str, Rehearsal] = {}
    for k, gains in enumerate(checks, 1):
        losses = {name: np.full(rows, served - gain) for name, gain in gains.items()}
        found = e_process.add(found, k, np.full(rows, served), losses)
    return found


def bet(checks: int, *increments: float) -> float:
    """The wealth of a bet by its definition: begun at check k with 1/(k(k+1)) of the money, the rest kept."""
    began = sum(math.exp(sum(increments[k - 1 :])) / (k * (k + 1)) for k in range(1, checks + 1))
    return began + 1 / (checks + 1)


def test_it_is_the_mean_over_beginnings_and_models() -> None:
    found = after({ALL: 0.1}, {ALL: -0.2}, {ALL: 0.3})
    wealth = bet(3, 1.0, -2.0, 3.0)
    assert e_process.evidence(found, 3, 1) == pytest.approx(math.log((wealth + 2) / 3))
    assert e_process.evidence(found, 3, 2) == pytest.approx(math.log((wealth + 5) / 6))
    assert e_process.evidence({}, 0, 2) == 0.0


def test_a_model_that_is_missing_from_a_check_keeps_its_money() -> None:
    """First seen late, or gone for a while: a factor of 1."""
    found = after({ALL: 0.1}, {ALL: 0.1, SLIDING: 0.2}, {ALL: 0.1})
    assert (found[SLIDING].rows, found[SLIDING].gain) == (10, pytest.approx(2.0))
    wealth = bet(3, 1.0, 1.0, 1.0) + bet(3, 0.0, 2.0, 0.0)
    assert e_process.evidence(found, 3, 1) == pytest.approx(math.log((wealth + 1) / 3))


def test_sums_are_kept_by_row_and_against_all_rows_of_the_same_family() -> None:
    served, whole, newest = np.full(4, 1.0), np.array([0.5, 0.5, 1.0, 1.0]), np.array([0.25, 0.5, 1.0, 2.0])
    found = e_process.add({}, 1, served, {ALL: whole, SLIDING: newest, OTHER: newest})
    sums = found[SLIDING]
    assert (sums.rows, sums.gain, sums.over_all_rows) == (4, pytest.approx(0.25), 4)
    assert (sums.over_all, sums.over_all_squares) == (pytest.approx(-0.75), pytest.approx(1.0625))
    assert (found[OTHER].over_all_rows, found[OTHER].over_all, found[ALL].over_all) == (0, 0.0, 0.0)
    again = e_process.add(found, 2, served, {ALL: whole, SLIDING: newest})[SLIDING]
    assert (again.rows, again.over_all, again.over_all_rows) == (8, pytest.approx(-1.5), 8)
    assert (again.gain, again.over_all_squares) == (pytest.approx(0.5), pytest.approx(2.125))


def test_years_of_a_better_champion_do_not_hide_that_it_is_no_longer() -> None:
    """A sum from the promotion on would have 50 checks of loss to make up for."""
    found = after(*[{ALL: -0.5}] * 50, {ALL: 2.0})
    assert found[ALL].gain < -200
    assert e_process.evidence(found, 51, 1) == pytest.approx(20 - math.log(51 * 52) - math.log(3), abs=0.01)


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.9999, 0.999999])
@pytest.mark.parametrize("bold", [0.0, 1e-9, 0.3, 1.0])
def test_one_row_never_gains_on_average_where_the_champion_is_right(truth: float, bold: float) -> None:
    """Floored alone it would: the rehearsal's probabilities have to sum to one."""
    p, q = np.array([truth, 1 - truth]), np.clip([bold, 1 - bold], DRIFT_FLOOR, 1)
    factor = np.exp(log_losses_of_label(p, DRIFT_FLOOR) - log_losses_of_label(q / q.sum(), 0.0))
    assert (p * factor).sum() <= 1 + 1e-12


def test_chance_is_taken_for_evidence_in_one_case_of_a_hundred_however_often_one_looks() -> None:
    """A true champion, four rehearsals that are wrong in their own ways, 40 looks, 1,000 times."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(1_000):
        found: dict[str, Rehearsal] = {}
        most = 0.0
        for k in range(1, 41):
            p = rng.uniform(0.05, 0.95, 50)
            y = rng.random(50) < p
            losses = {}
            for name in (ALL, SLIDING, OTHER, "all (hist_gradient_boosting)"):
                q = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + rng.normal(0, 0.2, 50))))
                losses[name] = -np.log(np.where(y, q, 1 - q))
            found = e_process.add(found, k, -np.log(np.where(y, p, 1 - p)), losses)
            most = max(most, e_process.evidence(found, k, 2))
        alarms += most > 4.6
    assert alarms <= 10


def test_the_best_is_what_the_evidence_is_for() -> None:
    """Since whichever check: a sum that was lost long ago does not count."""
    assert e_process.best({}) == ""
    assert e_process.best(after({ALL: 0.1, SLIDING: 0.2})) == SLIDING
    assert e_process.best(after({ALL: 0.2, SLIDING: 0.1})) == ALL
    assert e_process.best(after({ALL: 0.1, SLIDING: -9.0}, {ALL: 0.1, SLIDING: 2.0})) == SLIDING


def noisy(gain: float, n: int, spread: float = 0.1) -> dict[str, Rehearsal]:
    """One check in which the newest rows gain so much on all rows, with noise of this deviation on each."""
    noise = np.tile([spread, -spread], n // 2)
    losses = {ALL: np.full(n, 0.5), SLIDING: 0.5 - gain + noise}
    return e_process.add({}, 1, np.full(n, 0.6), losses)


@pytest.mark.parametrize(("gain", "window"), [(0.026, "sliding"), (0.024, "all"), (-0.1, "all")])
def test_a_window_is_better_by_standard_errors_over_all_checks(gain: float, window: str) -> None:
    """100 rows with a deviation of 0.1: an error of 0.01."""
    assert e_process.window_by_sums(noisy(gain, 100), 2.5) == window


def test_a_window_is_chosen_within_the_family_that_gains_most() -> None:
    """A poor family may be better on new rows than on all, and worse than the other on all."""
    served = np.full(100, 0.6)
    noise = np.tile([0.1, -0.1], 50)
    best = "all (hist_gradient_boosting)"
    found = e_process.add({}, 1, served, {ALL: served + 0.3, SLIDING: served + 0.1 + noise, best: served - 0.1})
    assert e_process.window_by_sums(found, 2.5) == "all"
    assert e_process.window_by_sums({}, 2.5) == "all"
    found = e_process.add({}, 1, served, {ALL: served + 0.3, SLIDING: served - 0.2 + noise, best: served - 0.1})
    assert e_process.window_by_sums(found, 2.5) == "sliding"


@pytest.mark.parametrize(
    ("rows", "over", "squares", "errors", "window"),
    [
        (100, 25.0, 106.25, 2.5, "all"),
        (100, 25.0, 106.24, 2.5, "sliding"),
        (1, 1.0, 1.0, 1.0, "all"),
        (0, 0.0, 0.0, 0.5, "all"),
    ],
    ids=["at the bound", "a hair above", "one row", "no row"],
)
def test_the_bound_must_be_passed(rows: int, over: float, squares: float, errors: float, window: str) -> None:
    """A sum of 25 has an error of 10, as the variance is about the mean."""
    sums = Rehearsal(gain=1.0, over_all=over, over_all_squares=squares, over_all_rows=rows)
    assert e_process.window_by_sums({SLIDING: sums}, errors) == window


def test_a_weighted_bet_stays_fair() -> None:
    """A champion whose probabilities are true, labels that one answer lets come, rows of any weight up to 1."""
    rng = np.random.default_rng(0)
    highest = []
    for _ in range(400):
        found: dict[str, Rehearsal] = {}
        most = -math.inf
        for k in range(1, 16):
            p = rng.uniform(0.1, 0.9, 60)
            weight = np.where(p > 0.5, 1.0, 0.05)
            y = rng.random(60) < p
            q = 1 / (1 + np.exp(-np.log(p / (1 - p)) - 0.6))
            served, other = (log_losses_of_label(np.where(y, r, 1 - r), DRIFT_FLOOR) for r in (p, q))
            found = e_process.add(found, k, served, {ALL: other}, weight)
            most = max(most, e_process.evidence(found, k, 1))
        highest.append(most)
    assert np.mean(np.array(highest) > math.log(20)) <= 0.05


def test_a_weighted_bet_is_on_the_gain_over_all_rows() -> None:
    """Worse on the many that are seen, better on the few that stand for more."""
    weight = np.array([0.05] * 90 + [1.0] * 10)
    gain = np.array([-0.1] * 90 + [0.5] * 10)
    found = e_process.add({}, 1, gain, {ALL: np.zeros(100)}, weight)
    assert found[ALL].gain == pytest.approx(-0.45 + 5.0)
    assert e_process.add({}, 1, gain, {ALL: np.zeros(100)})[ALL].gain == pytest.approx(-9 + 5)
