"""The decision threshold: exact cuts of small tables, and what each objective, weight and cost makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.evaluation import threshold
from ml.evaluation.calibration import calibrate, crossed
from ml.evaluation.threshold import Objective, choose_threshold, decide, resolve

COSTS = ((0.0, 1.0), (3.0, 0.0))


def table(p: list[float], positive: list[int], times: int = 1) -> tuple[Any, Any]:
    return np.repeat(np.array(p), times), np.repeat(np.array(positive, dtype=bool), times)


def rare(n: int = 400, seed: int = 0, share: float = 0.15) -> tuple[Any, Any]:
    """Calibrated probabilities of a rare class, as a matrix, and codes."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(1, 1 / share - 1, n), 0.01, 0.99)
    return np.stack([1 - p, p], axis=1), (rng.random(n) < p).astype(np.int64)


@pytest.mark.parametrize(
    ("objective", "y", "costs", "expected"),
    [
        ("auto", [0, 1], None, "accuracy"),
        ("auto", [0] * 3 + [1] * 2, None, "accuracy"),
        ("auto", [0] * 61 + [1] * 39, None, "f1"),
        ("auto", [0] * 39 + [1] * 61, None, "f1"),
        ("auto", [0, 0, 0, 1, 2], None, "accuracy"),
        ("auto", [0, 0, 0, 1], COSTS, "cost"),
        ("cost", [0, 0, 0, 1], COSTS, "cost"),
        ("f1", [0, 1], COSTS, "f1"),
        ("balanced_accuracy", [0, 1], None, "balanced_accuracy"),
    ],
)
def test_what_auto_stands_for(objective: Objective, y: list[int], costs: Any, expected: str) -> None:
    """F1 where a class of two has less than two fifths of the rows; costs go before; what is named is kept."""
    assert resolve(objective, np.array(y, dtype=np.int64), costs) == expected


def test_costs_must_be_there_and_fit() -> None:
    """One row a true class, one cost an answered class."""
    p, y = rare(60)
    for costs in (None, [[0, 1]], [[0, 1], [1]], [[0, 1, 2], [1, 0, 2]], [[0, 1], [1, 0], [1, 1]]):
        with pytest.raises(ValueError, match="costs"):
            decide(p, y, objective="cost", costs=costs)


@pytest.mark.parametrize(
    ("objective", "costs", "positive", "expected"),
    [
        ("accuracy", COSTS, 1, 0.5),
        ("cost", None, 1, 0.5),
        ("cost", COSTS, 1, 0.25),
        ("cost", COSTS, 0, 0.75),
        ("cost", ((1.0, 3.0), (6.0, 2.0)), 1, 1 / 3),
        ("cost", ((1.0, 3.0), (6.0, 2.0)), 0, 2 / 3),
        ("cost", ((0.0, 0.0), (0.0, 0.0)), 1, 0.5),
        ("cost", ((0.0, 0.3), (0.2, 0.0)), 1, 0.6),
        ("cost", ((0.0, 0.0), (1.0, 0.0)), 1, 1e-6),
        ("cost", ((0.0, 3.0), (1.0, 2.0)), 1, 1.0),
    ],
)  # fmt: skip
def test_the_cut_that_theory_gives(objective: Objective, costs: Any, positive: int, expected: float) -> None:
    """alarm / (alarm + miss), whichever class is the positive one; one half where nothing costs anything."""
    p = np.full(10, 0.5)  # too few rows to choose on
    found = choose_threshold(p, np.arange(10) < 5, objective=objective, costs=costs, positive=positive)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("n", "chosen"), [(19, False), (20, True)])
def test_twenty_rows_are_needed(n: int, chosen: bool) -> None:
    """Of both classes."""
    p, positive = np.full(n, 0.2), np.zeros(n, dtype=bool)
    p[-5:], positive[-5:] = 0.4, True
    assert (choose_threshold(p, positive, objective="f1") != 0.5) is chosen
    assert choose_threshold(p, np.ones(n, dtype=bool), objective="f1") == 0.5
    assert choose_threshold(p, np.zeros(n, dtype=bool), objective="f1") == 0.5


@pytest.mark.parametrize("objective", ["accuracy", "f1", "balanced_accuracy"])
def test_classes_that_are_apart_are_cut_in_between(objective: Objective) -> None:
    """Midway, in every resample."""
    p, positive = table([0.1, 0.2, 0.3, 0.35], [0, 0, 1, 1], 100)
    assert choose_threshold(p, positive, objective=objective) == pytest.approx(0.25)


def test_a_cost_moves_the_cut_where_the_rows_say_so_clearly() -> None:
    """Calibrated or not: a miss is three times as dear as an alarm."""
    p, positive = table([0.3, 0.4, 0.6], [0, 1, 1], 200)
    assert choose_threshold(p, positive, objective="cost", costs=COSTS) == pytest.approx(0.35)
    assert choose_threshold(1 - p, ~positive, objective="cost", costs=COSTS, positive=0) == pytest.approx(0.65)
    p, positive = np.repeat([0.2, 0.6], 200), np.arange(400) % 5 < 2
    positive[200:] = True  # two fifths of those at 0.2: cheaper to take all, though accuracy would not
    assert choose_threshold(p, positive, objective="cost", costs=COSTS) == 1e-6


BEST = [
    # probabilities, their positives and negatives in hundreds, objective, the cut that is best
    ([0.2, 0.4, 0.6, 0.8], [0, 1, 4, 3], [9, 6, 1, 0], "f1", 0.5),
    ([0.2, 0.4, 0.6, 0.8], [1, 2, 1, 5], [9, 2, 9, 0], "balanced_accuracy", 0.7),
    ([0.2, 0.4, 0.6, 0.8], [0, 1, 2, 5], [12, 0, 3, 0], "balanced_accuracy", 0.3),
]


@pytest.mark.parametrize(("p", "ones", "zeros", "objective", "cut"), BEST)
def test_the_best_cut_of_a_table(
    p: list[float], ones: list[int], zeros: list[int], objective: Objective, cut: float
) -> None:
    """Found by counting; the two best cuts are far apart, so that resamples agree."""
    probabilities = np.concatenate([np.repeat(p, np.array(ones) * 100), np.repeat(p, np.array(zeros) * 100)])
    positive = np.arange(len(probabilities)) < sum(ones) * 100
    assert choose_threshold(probabilities, positive, objective=objective) == pytest.approx(cut)
    assert cut == pytest.approx(_best(probabilities, positive, objective, [0.0, 0.3, 0.5, 0.7, 1.0]))


def _best(p: Any, positive: Any, objective: str, cuts: list[float]) -> float:
    def value(cut: float) -> float:
        said = p >= cut
        tp, fp, fn = (said & positive).sum(), (said & ~positive).sum(), (~said & positive).sum()
        tn = (~said & ~positive).sum()
        if objective == "f1":
            return float(2 * tp / (2 * tp + fp + fn))
        return float(tp / (tp + fn) + tn / (tn + fp))

    return max(cuts, key=value)


@pytest.mark.parametrize("objective", ["accuracy", "f1", "balanced_accuracy", "cost"])
@pytest.mark.parametrize("positive", [1, 0])
def test_the_value_at_each_cut(objective: Objective, positive: int) -> None:
    """Counted by hand: four positive and four negative rows of weight 1, cuts that rows reach up to 1, 2, 3 of."""
    is_positive = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    group = np.array([1, 3, 3, 3, 1, 2, 3, 3])
    costs = COSTS if positive == 1 else ((0.0, 3.0), (1.0, 0.0))
    found = threshold._values(np.ones(8), is_positive, group, 4, objective, costs, positive)
    expected = {
        "accuracy": [4, 3 + 1, 3 + 2, 4],
        "f1": [8 / 12, 6 / 10, 6 / 9, 0],
        "balanced_accuracy": [1, 1, 3 / 4 + 2 / 4, 1],
        "cost": [-4, -(3 + 3), -(2 + 3), -12],
    }[objective]
    np.testing.assert_allclose(found, expected)
    small = threshold._values(np.full(8, 1e-3), is_positive, group, 4, objective, costs, positive)
    scale = 1e-3 if objective in ("accuracy", "cost") else 1.0
    np.testing.assert_allclose(small, np.multiply(expected, scale), err_msg="however small the weights")


def test_what_right_answers_cost_counts_too() -> None:
    """All four cells of the table, weighted."""
    is_positive = np.array([1, 1, 0, 0], dtype=bool)
    w, group = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1, 2, 1, 2])
    costs = ((10.0, 100.0), (1_000.0, 10_000.0))
    found = threshold._values(w, is_positive, group, 3, "cost", costs, 1)
    expected = [
        -(3 * 10_000 + 12 * 100), -(2 * 10_000 + 1 * 1_000 + 8 * 100 + 4 * 10), -(3 * 1_000 + 12 * 10),
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected)
    turned = threshold._values(w, ~is_positive, group, 3, "cost", costs, 0)
    np.testing.assert_allclose(
        turned, [-(12 * 10 + 3 * 1_000), -(8 * 10 + 4 * 100 + 2 * 1_000 + 1 * 10_000), -(12 * 100 + 3 * 10_000)]
    )
    without = threshold._values(w, is_positive, group, 3, "cost", None, 1)
    np.testing.assert_allclose(without, [3, 2 + 4, 12])


@pytest.mark.parametrize("objective", ["f1", "balanced_accuracy"])
def test_a_resample_without_one_of_the_classes_has_values(objective: Objective) -> None:
    """Zero over almost nothing, not a division by zero."""
    w, group = np.array([0.0, 1.0]), np.array([1, 1])
    with np.errstate(all="raise"):
        one = threshold._values(w, np.array([True, False]), group, 2, objective, None, 1)
        other = threshold._values(w, np.array([False, True]), group, 2, objective, None, 1)
    np.testing.assert_allclose(one, {"f1": [0, 0], "balanced_accuracy": [0, 1]}[objective])
    np.testing.assert_allclose(other, {"f1": [1, 0], "balanced_accuracy": [1, 0]}[objective])


def test_cuts_lie_between_the_probabilities() -> None:
    """And at both ends; a row reaches the cuts at or below it."""
    edges, reached = threshold._edges(np.array([0.4, 0.2, 0.2, 0.8]))
    np.testing.assert_allclose(edges, [0.0, 0.3, 0.6, 1.0])
    assert reached.tolist() == [2, 1, 1, 3]
    _, reached = threshold._edges(np.array([0.0, 1.0]))
    assert reached.tolist() == [1, 3]


def test_a_cut_lies_between_neighbours_in_float32() -> None:
    """Whose mean float32 cannot hold."""
    pair = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], dtype=np.float32)
    p, positive = np.repeat(pair, 50), np.arange(100) >= 50
    assert float(pair[0]) < choose_threshold(p, positive, objective="f1") < float(pair[1])


@pytest.mark.parametrize(("n", "cuts"), [(511, 512), (512, 512), (600, 512)])
def test_there_are_at_most_512_cuts(n: int, cuts: int) -> None:
    """More are taken at the quantiles of the probabilities."""
    p = np.linspace(0.1, 0.9, n)
    edges, reached = threshold._edges(p)
    assert len(edges) == cuts
    assert (edges[0], edges[-1]) == ((0.0, 1.0) if n == 511 else (pytest.approx(0.1), pytest.approx(0.9)))
    assert (reached == (edges[None, :] <= p[:, None]).sum(axis=1)).all()
    same = np.concatenate([np.full(9_000, 0.1), p])
    assert len(threshold._edges(same)[0]) == len(np.unique(threshold._edges(same)[0]))


def test_weights_count_as_rows() -> None:
    """Of no weight is not there; twice the weight is two rows."""
    p, positive = table([0.2, 0.4, 0.6], [0, 1, 0], 100)
    assert choose_threshold(p, positive, objective="f1") == pytest.approx(0.3)
    weight = np.where(p == 0.4, 0.0, 1.0)
    both = np.append(p, np.full(100, 0.8)), np.append(positive, np.ones(100, dtype=bool))
    assert choose_threshold(*both, objective="f1", weight=np.append(weight, np.ones(100))) == pytest.approx(0.7)


def test_the_default_stays_unless_the_rows_speak_clearly() -> None:
    """By three standard errors of the paired costs: 20 of 400 rows gained do, 8 do not."""
    for gained, moved in ((8, False), (20, True)):
        p = np.concatenate([np.full(190, 0.1), np.full(gained, 0.45), np.full(210 - gained, 0.9)])
        positive = p > 0.4
        found = choose_threshold(p, positive, objective="accuracy")
        assert found == (pytest.approx(0.275) if moved else 0.5)
        assert choose_threshold(p, positive) == found, "accuracy is what is meant where nothing is said"
        assert choose_threshold(p, positive, objective="f1") == pytest.approx(0.275), "F1 has no default to keep"


CLEAR = [
    # the default cut gains nothing, the chosen one gains on `gained` of `n` rows: mean over its standard error
    (8, 1_000, False),
    (9, 1_000, True),
]


@pytest.mark.parametrize(("gained", "n", "clear"), CLEAR)
def test_three_standard_errors(gained: int, n: int, clear: bool) -> None:
    """mean > 3 sd / sqrt(n), with the population's sd: gained / n against 3 sqrt(share (1 - share) / n)."""
    p = np.where(np.arange(n) < gained, 0.4, 0.9)
    positive = np.ones(n, dtype=bool)
    found = threshold._clearly_better(p, positive, np.ones(n), 0.3, 0.5, None, 1)
    assert found is clear
    assert threshold._clearly_better(1 - p, ~positive, np.ones(n), 0.7, 0.5, None, 1) is clear
    share = gained / n
    assert clear is bool(share > 3 * np.sqrt(share * (1 - share) / n))


def test_a_clear_gain_is_counted_in_costs_and_weights() -> None:
    """Of the class that is positive; a row at the cut is positive."""
    p, positive, one = np.array([0.4] * 50 + [0.9] * 50), np.array([True] * 100), np.ones(100)
    better = threshold._clearly_better
    assert better(p, positive, one, 0.4, 0.5, COSTS, 1) is True
    assert better(p, positive, one, 0.41, 0.5, COSTS, 1) is False
    assert better(p, positive, one, 0.3, 0.4, COSTS, 1) is False
    assert better(p, positive, one, 0.5, 0.4, COSTS, 1) is False
    assert better(p, ~positive, one, 0.5, 0.4, COSTS, 1) is True
    assert better(p, ~positive, one, 0.4, 0.5, COSTS, 1) is False
    assert better(p, positive, one, 0.4, 0.5, ((0.0, 1.0), (0.0, 0.0)), 1) is False
    assert better(p, positive, one, 0.4, 0.5, ((0.0, 1.0), (0.0, 0.0)), 0) is True
    assert better(p, positive, np.where(p < 0.5, 0.0, 1.0), 0.4, 0.5, COSTS, 1) is False
    mixed = np.where(np.arange(100) < 40, 0.45, 0.9)
    for gained, cuts in ((True, (0.4, 0.5)), (False, (0.5, 0.4))):  # 30 rows of 40 are gained, 10 lost, at equal costs
        truth = np.where(np.arange(100) < 10, not gained, np.where(np.arange(100) < 40, gained, True))
        assert better(mixed, truth.astype(bool), one, *cuts, None, 1) is True
    few = np.where(np.arange(100) < 5, 0.4, 0.9)
    assert better(few, positive, one, 0.4, 0.5, None, 1) is False
    assert better(few, positive, np.where(few < 0.5, 10.0, 1.0), 0.4, 0.5, None, 1) is False


def test_large_tables_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """To rows drawn without repetition, each with its own label and weight."""
    monkeypatch.setattr(threshold, "MAX_ROWS", 300)
    seen: list[tuple[Any, Any, Any]] = []
    whole = threshold._values
    monkeypatch.setattr(threshold, "_edges", lambda p, f=threshold._edges: (seen.append(p), f(p))[1])
    monkeypatch.setattr(threshold, "_values", lambda w, *a: (seen.append((w, *a)), whole(w, *a))[1])
    p = np.linspace(0.01, 0.99, 1_000)
    found = choose_threshold(p, p > 0.3, objective="f1", weight=np.where(p > 0.3, 2.0, 1.0), seed=3)
    drawn, first = seen[0], seen[1]
    assert (len(drawn), len(np.unique(drawn))) == (300, 300)
    w, positive, *_ = first
    assert (positive == (drawn > 0.3)).all()
    assert set(w[positive] % 2) == {0.0}
    assert found == pytest.approx(0.3, abs=0.01)
    seen.clear()
    choose_threshold(p[:300], p[:300] > 0.2, objective="f1")
    assert (seen[0] == p[:300]).all(), "as many as that are taken as they are"
    other = choose_threshold(p, p > 0.3, objective="f1", seed=4)
    assert other != choose_threshold(p, p > 0.3, objective="f1", seed=5)


def test_each_resample_draws_as_many_rows_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred times, with repetition, each its own draw; the answer is the mean of the best cuts."""
    weights: list[Any] = []
    whole = threshold._values
    monkeypatch.setattr(threshold, "_values", lambda w, *a: (weights.append(w), whole(w, *a))[1])
    p, y = rare(80)
    found = choose_threshold(p[:, 1], y == 1, objective="f1", seed=1)
    assert len(weights) == 200
    assert {float(w.sum()) for w in weights} == {80.0}
    assert {len(w) for w in weights} == {80}
    assert max(w.max() for w in weights) > 2
    assert len({tuple(w) for w in weights}) == 200
    assert found == choose_threshold(p[:, 1], y == 1, objective="f1", seed=1)
    assert found != choose_threshold(p[:, 1], y == 1, objective="f1", seed=2)
    assert min(sum(w[row] for w in weights[:200]) for row in range(80)) > 0
    said = choose_threshold(p[:, 1], y == 1, objective="f1", seed=0)
    assert choose_threshold(p[:, 1], y == 1, objective="f1") == said != found
    assert all(choose_threshold(p[:, 1], y == 1, objective="f1", seed=s) <= 1.0 for s in range(3))


def test_equally_good_cuts_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they differ by rounding."""
    p, positive = table([0.2, 0.4, 0.6, 0.8], [0, 0, 1, 1], 10)
    edges = np.array([0.0, 0.3, 0.5, 0.7, 1.0])
    for gap, expected in ((0.0, 0.4), (5e-13, 0.4), (1e-12, 0.4), (1e-11, 0.3)):
        monkeypatch.setattr(threshold, "_values", lambda *_, gap=gap: np.array([0, 1.0, 1.0 - gap, 0.5, 0.2]))
        assert choose_threshold(p, positive, objective="f1") == pytest.approx(expected)
    assert len(edges) == len(threshold._edges(p)[0])


def test_a_cut_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold of zero would be no decision."""
    p, positive = table([0.2, 0.4], [0, 1], 20)
    monkeypatch.setattr(threshold, "_values", lambda *_: np.array([1.0, 0.0, 0.0]))
    assert choose_threshold(p, positive, objective="f1") == 1e-6
    monkeypatch.setattr(threshold, "_values", lambda *_: np.array([0.0, 0.0, 1.0]))
    assert choose_threshold(p, positive, objective="f1") == 1.0


def test_a_decision_is_calibrated_and_cut_without_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calibration that is kept is of all rows; the cut is chosen on cross-fitted ones."""
    p, y = rare(400)
    skewed = p**2 / (p**2).sum(axis=1, keepdims=True)
    weight = np.linspace(0.5, 1.5, len(y))
    seeds: list[int] = []
    monkeypatch.setattr(threshold, "calibrate", lambda *a, **k: (seeds.append(k["seed"]), calibrate(*a, **k))[1])
    made = decide(skewed, y, weight=weight, seed=3)
    assert seeds == [3]
    calibration = calibrate(skewed, y, weight=weight, seed=3)
    assert calibration.kind != "none"
    assert (made.calibration, made.objective, made.costs) == (calibration, "f1", None)
    honest = crossed(skewed, y, calibration.kind, weight=weight, seed=3)
    assert made.threshold == choose_threshold(honest[:, 1], y == 1, objective="f1", weight=weight, seed=3)
    assert decide(skewed, y, weight=weight) == decide(skewed, y, weight=weight, seed=0)
    for other in (
        decide(skewed, y, seed=3), decide(skewed, y, weight=weight, seed=4), decide(skewed, y, weight=weight),
        decide(skewed, y, weight=weight, seed=3, positive=0),
    ):  # fmt: skip
        assert other.threshold != made.threshold


def test_a_decision_by_costs_keeps_them() -> None:
    """As floats; of the class that is positive."""
    p, y = rare(400)
    made = decide(p, y, costs=[[0, 1], [3, 0]], positive=1)
    assert (made.objective, made.costs) == ("cost", COSTS)
    assert {type(cost) for row in made.costs for cost in row} == {float}
    assert made.threshold == pytest.approx(0.25)
    turned = decide(p[:, ::-1], 1 - y, costs=[[0, 3], [1, 0]], positive=0)
    assert turned.threshold == pytest.approx(0.25)
    assert decide(p, y, costs=[[0, 1], [3, 0]], objective="f1").costs is None


@pytest.mark.parametrize(
    ("objective", "costs", "kept"),
    [("auto", None, "accuracy"), ("f1", None, "accuracy"), ("balanced_accuracy", None, "accuracy"),
     ("accuracy", None, "accuracy"), ("cost", np.ones((3, 3)) - np.eye(3), "cost")],
)  # fmt: skip
def test_many_classes_have_no_threshold(objective: Objective, costs: Any, kept: str) -> None:
    """The most probable class is answered, or the cheapest."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 60)
    made = decide(p, rng.integers(0, 3, 60), objective=objective, costs=None if costs is None else costs.tolist())
    assert (made.threshold, made.objective) == (None, kept)
    assert (made.costs is None) is (costs is None)
