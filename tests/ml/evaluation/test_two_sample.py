"""The tests behind a verdict agree with SciPy, and counting in chunks loses nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from ml.drift import profile
from ml.evaluation import two_sample
from ml.evaluation.bounds import bound, wilson


def counted(reference: Any, current: Any) -> two_sample.Test:
    kept = profile.numbers(reference)
    return two_sample.kolmogorov_smirnov(kept.counts, profile.numbers(current, kept.edges).counts)


@pytest.mark.parametrize("decimals", [None, 1, 0], ids=["continuous", "ties", "many ties"])
def test_kolmogorov_smirnov_distance_is_exact_from_counts(decimals: int | None) -> None:
    """The profile of a small reference gives the same distance as the samples themselves."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 900), rng.normal(0.3, 1.2, 700)
    if decimals is not None:
        a, b = a.round(decimals), b.round(decimals)
    found, expected = counted(a, b), stats.ks_2samp(a, b, method="asymp")
    assert found.effect == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, rel=0.3)


def test_distance_of_a_large_reference_is_within_a_thousandth() -> None:
    """Beyond `MAX_EDGES` distinct values quantiles stand for them."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 60_000), rng.normal(0.2, 1, 50_000)
    assert counted(a, b).effect == pytest.approx(stats.ks_2samp(a, b).statistic, abs=2 / profile.MAX_EDGES)


def test_counting_in_chunks_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks bound memory; the counts are those of one pass, missing values apart."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=1_000)
    values[::7] = np.nan
    whole = profile.numbers(values)
    monkeypatch.setattr(profile, "CHUNK_ROWS", 64)
    parts = profile.numbers(values, whole.edges)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.missing == whole.missing == 143
    assert parts.rows == 1_000


@pytest.mark.parametrize(
    "values", [[], [np.nan, np.nan], [3.0], [3.0, 3.0]], ids=["empty", "missing", "one", "constant"]
)
def test_strange_references_are_counted(values: list[float]) -> None:
    """No reference is too strange to be compared with."""
    found = counted(np.array(values), np.array([1.0, 3.0, np.nan]))
    assert 0 <= found.effect <= 1
    assert 0 <= found.p <= 1


@pytest.mark.parametrize("decimals", [None, 0], ids=["no ties", "many ties"])
def test_rank_sum_agrees_with_scipy(decimals: int | None) -> None:
    """From counts, ties included."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=300), rng.normal(0.15, 1, size=250)
    if decimals is not None:
        a, b = a.round(decimals), b.round(decimals)
    edges = np.unique(np.concatenate([a, b]))  # every value a cell of its own
    counts = [profile.numbers(x, edges).counts for x in (a, b)]
    expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic").pvalue
    assert two_sample.rank_sum(*counts) == pytest.approx(expected, rel=1e-6)


def test_ordered_test_sees_a_moved_mean_and_a_changed_spread() -> None:
    """Each where the other of its two tests is weak, and neither where nothing changed (chance aside)."""
    rng = np.random.default_rng(3)
    hits = {"mean": 0, "spread": 0, "none": 0}
    for _ in range(100):
        reference = profile.numbers(rng.normal(size=1_000))
        for name, values in (
            ("mean", rng.normal(0.25, 1, 1_000)),
            ("spread", rng.normal(0, 1.6, 1_000)),
            ("none", rng.normal(size=1_000)),
        ):
            found = two_sample.ordered(reference.counts, profile.numbers(values, reference.edges).counts)
            hits[name] += found.p < 0.0005
    assert hits["mean"] >= 91  # 96 are expected at this level
    assert hits["spread"] >= 95
    assert hits["none"] <= 1


def test_chi_square_agrees_with_scipy() -> None:
    """Two samples, not one against an exact reference."""
    a, b = {"x": 120, "y": 60, "z": 20}, {"x": 80, "y": 90, "z": 30}
    found = two_sample.chi_square(a, b)
    expected = stats.chi2_contingency([list(a.values()), list(b.values())], correction=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.effect == pytest.approx(0.2)


def test_chi_square_pools_rare_levels() -> None:
    """500 levels that occur once or twice are noise, not drift."""
    rng = np.random.default_rng(3)
    a, b = (profile.categories(rng.integers(0, 500, 400).astype(str).astype(object)).counts for _ in range(2))
    assert two_sample.chi_square(a, b).p > 0.01


def test_two_sample_tests_keep_their_level() -> None:
    """At p < .05, about 5 of 100 unchanged columns; the one-sample form gives about half."""
    rng = np.random.default_rng(4)
    levels = np.array(list("abcd"), dtype=object)
    hits = 0
    for _ in range(400):
        a, b = (profile.categories(rng.choice(levels, 300, p=[0.4, 0.3, 0.2, 0.1])).counts for _ in range(2))
        hits += two_sample.chi_square(a, b).p < 0.05
    assert 0.02 < hits / 400 < 0.085


@pytest.mark.parametrize("counts", [(2, 500, 9, 500), (100, 500, 140, 500)], ids=["few", "many"])
def test_proportions_find_a_changed_share(counts: tuple[int, int, int, int]) -> None:
    """Fisher's exact test where counts are small, z otherwise: close to Fisher in both."""
    a, n, b, m = counts
    exact = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert two_sample.proportions(a, n, b, m).p == pytest.approx(exact, rel=0.35)


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    """Over random p-values, some of them small."""
    rng = np.random.default_rng(5)
    p = np.concatenate([rng.random(40), rng.random(10) * 1e-3])
    np.testing.assert_array_equal(two_sample.significant(p, 0.05), stats.false_discovery_control(p) <= 0.05)
    assert not len(two_sample.significant([], 0.05))


def test_drop_bound_keeps_its_confidence() -> None:
    """A true drop of nothing is bounded above nothing in about 1 of 100 samples, at accuracies near 1 too."""
    rng = np.random.default_rng(6)
    above = [
        two_sample.drop_lower_bound(
            (rng.random(300) < 0.97).astype(float), (rng.random(200) < 0.97).astype(float), 0.99, shares=True
        )
        > 0
        for _ in range(2_000)
    ]
    assert np.mean(above) < 0.02


def test_a_significant_effect_of_exactly_the_material_size_counts() -> None:
    """Half of such estimates lie below it; a clearly smaller effect does not count, however significant."""
    assert two_sample.may_be_material(two_sample.Test(0.09, 0.02, 1e-6), 0.1)
    assert not two_sample.may_be_material(two_sample.Test(0.02, 0.001, 1e-9), 0.1)


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (8, 10), (470, 500), (500, 500)])
def test_wilson_interval_agrees_with_scipy(hits: int, n: int) -> None:
    """At the ends, where the plain interval is none, too."""
    expected = stats.binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert wilson(hits, n, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_weighted_bound_is_the_plain_one_where_rows_count_alike() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=60), rng.normal(size=90)
    plain = two_sample.drop_lower_bound(before, now, 0.95)
    assert two_sample.drop_lower_bound(before, now, 0.95, weight=np.full(90, 7.0)) == pytest.approx(plain)
    shares = [(x > 0).astype(float) for x in (before, now)]
    plain = two_sample.drop_lower_bound(*shares, 0.95, shares=True)
    assert two_sample.drop_lower_bound(*shares, 0.95, shares=True, weight=np.full(90, 7.0)) == pytest.approx(plain)
    assert two_sample.drop_lower_bound(before, now, 0.95, weight=np.zeros(90)) == -np.inf


def test_weighted_bounds_hold_for_all_rows_though_only_some_were_seen() -> None:
    """One row in thirty of the third that is worse; the plain bound of the rows that were seen never holds."""
    rng = np.random.default_rng(0)
    true, held, plain = 0.7 * 0.1 - 0.3 * 0.5, 0, 0
    for _ in range(300):
        x = rng.random(1_500)
        chance = np.where(x < 0.7, 1.0, 1 / 30)
        seen = rng.random(1_500) < chance
        d = (rng.normal(size=1_500) + np.where(x < 0.7, 0.1, -0.5))[seen]
        asked = {"confidence": 0.95, "n_bootstrap": 300, "seed": 0}
        held += (found := bound(d, weight=1 / chance[seen], **asked)).lower <= true <= found.upper
        plain += (found := bound(d, **asked)).lower <= true <= found.upper
    assert held / 300 == pytest.approx(0.9, abs=0.06)
    assert plain < 15


def test_rows_of_no_weight_are_as_if_they_were_not_there() -> None:
    d = np.random.default_rng(0).normal(size=50)
    weight = np.where(np.arange(50) < 30, 2.0, 0.0)
    weight[0] = 5.0
    whole = bound(d, confidence=0.9, n_bootstrap=200, seed=0, weight=weight)
    assert whole == bound(d[:30], confidence=0.9, n_bootstrap=200, seed=0, weight=weight[:30])
    assert bound(d, confidence=0.9, n_bootstrap=200, seed=0, weight=np.eye(50)[0]).lower == -np.inf
