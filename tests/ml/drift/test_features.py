"""Dates are compared by what they mean: the days between two of them, or the day of the week of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.drift.features import ORDERED, UNORDERED, examine
from ml.drift.reference import Baseline
from ml.drift.verdict import Finding
from ml.schema.schema import Column, Schema
from ml.settings import Drift

DRIFT = Drift()


def draw(
    n: int, seed: int, *, start: float, between: float = 100.0, names: tuple[str, ...] = ("a", "b")
) -> pd.DataFrame:
    """A month of whole days from `start` on, and a second date `between` days later on the mean."""
    rng = np.random.default_rng(seed)
    first = np.floor(start + rng.uniform(0, 28, n))
    return pd.DataFrame({"a": first, "b": np.floor(first + rng.exponential(between, n))})[list(names)]


def findings(now: pd.DataFrame, before: pd.DataFrame) -> dict[str, Finding]:
    schema = Schema(
        target="y",
        classes=("0", "1"),
        positive_label="1",
        columns=tuple(Column(name=name, kind="date") for name in before.columns),
    )
    baseline = Baseline("1", schema, before, None, None, None)
    return {finding.column: finding for finding in examine(baseline, now, {}, DRIFT, answers=None)}


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_date_that_moves_on_with_its_rows_has_not_drifted(names: tuple[str, ...]) -> None:
    """No value of the window was there before."""
    before, now = (draw(3_000, seed, start=start, names=names) for seed, start in ((0, 9_000.0), (1, 9_700.0)))
    found = findings(now, before)
    assert not any(finding.drifted or finding.broken for finding in found.values())
    assert found["a"].method == (ORDERED if len(names) == 2 else UNORDERED)


def test_other_days_between_two_dates_are_drift() -> None:
    before, now = draw(3_000, 0, start=9_000.0), draw(3_000, 1, start=9_700.0, between=30.0)
    found = findings(now, before)
    assert all(finding.drifted for finding in found.values())
    assert "the days to another date changed" in str(found["a"].reasons[0])


def test_other_weekdays_of_the_only_date_are_drift() -> None:
    before, now = (draw(3_000, seed, start=start, names=("a",)) for seed, start in ((0, 9_000.0), (1, 9_700.0)))
    found = findings(now - now % 7, before)["a"]
    assert found.drifted
    assert "the weekdays changed" in str(found.reasons[0])


def test_dates_that_are_missing_are_told() -> None:
    before, now = draw(3_000, 0, start=9_000.0), draw(3_000, 1, start=9_700.0)
    now.loc[::5, "a"] = np.nan
    found = findings(now, before)["a"]
    assert found.missing_current == pytest.approx(0.2)
    assert found.drifted or found.broken
