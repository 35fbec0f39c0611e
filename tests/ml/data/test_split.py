"""Splits: deterministic, disjoint, by class, by time, by id."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data import split
from ml.errors import DataError
from ml.messages import message
from ml.schema.findings import Report
from ml.settings import Data


@given(st.integers(30, 400), st.integers(2, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_stratified_parts_have_every_class_in_its_share(n: int, classes: int, seed: int) -> None:
    y = np.arange(n) % classes
    data = Data(seed=seed)
    parts, method = split.assign(y, data, Report())
    assert method == "stratified"
    assert np.array_equal(parts, split.assign(y, data, Report())[0])
    for part, share in ((split.TRAIN, 0.6), (split.VALIDATION, 0.2), (split.TEST, 0.2)):
        counts = np.bincount(y[parts == part], minlength=classes)
        np.testing.assert_allclose(counts, share * np.bincount(y), atol=1.5)


def test_another_seed_gives_another_split() -> None:
    y = np.arange(200) % 2
    one, other = (split.assign(y, Data(seed=seed), Report())[0] for seed in (1, 2))
    assert not np.array_equal(one, other)


@given(st.lists(st.integers(0, 60), min_size=120, max_size=120), st.booleans())
@settings(deadline=None, max_examples=25)
def test_rows_of_one_id_share_a_part(ids: list[int], timed: bool) -> None:
    y = np.arange(120) % 2
    names = np.array([f"c{i}" for i in ids], dtype=object)
    names[:61] = [f"c{i}" for i in range(61)]
    time = np.arange(120.0) if timed else None
    parts, method = split.assign(y, Data(), Report(), ids=names, time=time)
    assert method == ("time" if timed else "group")
    for name in set(names):
        assert len(set(parts[names == name])) == 1


def test_time_puts_the_newest_rows_into_test_and_never_cuts_a_moment() -> None:
    time = np.repeat(np.arange(50.0), 4)[::-1].copy()
    parts, method = split.assign(np.arange(200) % 2, Data(), Report(), time=time)
    assert method == "time"
    assert time[parts == split.TRAIN].max() < time[parts == split.VALIDATION].min()
    assert time[parts == split.VALIDATION].max() < time[parts == split.TEST].min()
    assert np.bincount(parts).tolist() == [120, 40, 40]


def test_repeats_and_contradictions_are_reported() -> None:
    report = Report()
    ids = [f"c{i}" for i in range(90)] + [f"c{i}" for i in range(10)]
    y = np.array([i % 2 for i in range(90)] + [(i + 1) % 2 for i in range(10)])
    split.assign(y, Data(), report, ids=ids)
    assert [f.message for f in report.warnings] == [
        message("findings.repeated_ids", n=10),
        message("findings.opposite_labels", n=10),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(test_share=0.0), "test_share"),
        (Data(test_share=0.6, validation_share=0.5), "leave something"),
        (Data(split="time"), "data.time_column"),
        (Data(split="group"), "data.id_columns"),
        (Data(test_share=0.001), "cannot be split"),
    ],
    ids=str,
)
def test_impossible_splits_say_what_to_change(data: Data, words: str) -> None:
    with pytest.raises(DataError, match=words):
        split.assign(np.arange(100) % 2, data, Report())


def test_a_class_that_only_came_lately_is_refused() -> None:
    y = (np.arange(100) > 90).astype(int)
    with pytest.raises(DataError, match="train part of a split by time has 1 of 2 classes"):
        split.assign(y, Data(), Report(), time=np.arange(100.0))
