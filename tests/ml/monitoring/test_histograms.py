"""A drifted column before and after, in few bins, whatever is in it."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml.charts import Histogram
from ml.drift.reference import Baseline
from ml.drift.verdict import PREDICTION, Finding
from ml.monitoring import histograms
from ml.schema.schema import Column, Schema

N = 400


def test_a_date_is_drawn_as_what_was_compared() -> None:
    """The days to another date, or the days of the week: not the date, which always moves on."""
    days = np.arange(9_000.0, 9_700.0)
    for names, drawn in ((("a",), "levels"), (("a", "b"), "edges")):
        frame = pd.DataFrame({"a": days, "b": days + 30})[list(names)]
        schema = Schema(
            target="y",
            classes=("0", "1"),
            positive_label="1",
            columns=tuple(Column(name=name, kind="date") for name in names),
        )
        kept = Baseline("1", schema, frame, None, None, np.full((len(frame), 2), 0.5))
        found = Finding(column="a", kind="date", method="", drifted=True)
        (one,) = histograms.of_findings(kept, frame + 700, np.full((len(frame), 2), 0.5), [found])
        assert one.before == one.now
        assert getattr(one, drawn)
        assert one.weekdays == (drawn == "levels")


def _of(before: npt.ArrayLike, now: npt.ArrayLike, kind: str = "number") -> Histogram | None:
    schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=(Column(name="x", kind=kind),))  # type: ignore[arg-type]
    dtype = np.float64 if kind == "number" else object
    frames = [pd.DataFrame({"x": np.asarray(values, dtype=dtype)}) for values in (before, now)]
    p = np.full((len(frames[0]), 2), 0.5)
    kept = Baseline("1", schema, frames[0], None, None, p)
    finding = Finding(column="x", kind=kind, method="", effect=0.5, drifted=True)
    return next(iter(histograms.of_findings(kept, frames[1], np.full((len(frames[1]), 2), 0.5), [finding])), None)


def test_every_row_is_counted_once_and_far_values_take_no_room() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=N), np.append(rng.normal(2, 1, N - 2), [1e9, np.nan])
    found = _of(before, now)
    assert found is not None
    assert (len(found.before), len(found.edges)) == (histograms.BINS, histograms.BINS + 1)
    assert (sum(found.before), sum(found.now), found.missing) == (N, N - 1, (0, 1))
    assert found.edges[-1] < 10
    assert np.argmax(found.now) > np.argmax(found.before)


def test_whole_numbers_in_a_small_range_have_a_bin_each() -> None:
    found = _of(np.arange(N) % 5, np.arange(N) % 3)
    assert found is not None
    assert found.edges == (-0.5, 0.5, 1.5, 2.5, 3.5, 4.5)
    assert found.before == (80,) * 5
    assert found.now == (134, 133, 133, 0, 0)


def test_rare_levels_are_counted_together() -> None:
    before = [f"level {i % 40}" for i in range(N)]
    now = ["new"] * (N - 1) + [""]
    found = _of(before, now, "category")
    assert found is not None
    assert found.levels[0] == "new"
    assert (len(found.levels), found.others) == (histograms.LEVELS, 41 - histograms.LEVELS)
    assert (sum(found.before), sum(found.now), found.missing) == (N, N - 1, (0, 1))


@pytest.mark.parametrize(
    "now",
    [
        np.full(N, np.nan),
        np.linspace(-1, 1, N) * 1e308,
        np.full(N, np.inf),
        np.full(N, 5e-324),
        np.full(N, 3.0),
        1e16 + np.arange(N),
    ],
    ids=["missing", "huge", "infinite", "tiny", "constant", "close together"],
)
def test_a_strange_column_stops_nothing(now: npt.NDArray[np.float64]) -> None:
    for before in (np.linspace(0, 1, N), np.zeros(N), now):
        found = _of(before, now)
        assert found is None or sum(found.now) == N


def test_only_what_moved_is_kept_and_the_record_is_bounded() -> None:
    """Of 100 drifted columns with long names, the most of them that a record keeps are the farthest."""
    names = [f"a_long_name_of_a_column_{i:03d}" for i in range(100)]
    columns = tuple(Column(name=name, kind="number") for name in names)
    schema = Schema(target="y", classes=("0", "1"), positive_label="1", columns=columns)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 100)), columns=names)
    p = np.linspace(0.5, 1, N)
    both = np.column_stack([1 - p, p])
    kept = Baseline("1", schema, frame, None, None, both)
    findings = [
        Finding(column=n, kind="number", method="", effect=i / 100, drifted=i != 99) for i, n in enumerate(names)
    ]
    findings.append(Finding(column=PREDICTION, kind=PREDICTION, method="", effect=1.0, drifted=True))
    found = histograms.of_findings(kept, frame, both, findings)
    assert [one.column for one in found] == [PREDICTION, *names[98:87:-1]]
    assert [one.of_predictions for one in found] == [True] + [False] * (histograms.COLUMNS - 1)
    assert len(msgspec.json.encode(found)) < 12_000
