"""One cell at a time and a column at a time: the same rules, whatever the text."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.schema import arrow_cells, cells

MARKS = [(".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'")]
written = st.one_of(
    st.text(st.sampled_from("0123456789.,' -+eE?\u00a0\u202f’٣５−"), max_size=12),
    st.builds("{:,}".format, st.integers(-(10**9), 10**9)),
    st.builds(str, st.floats()),
    st.text(max_size=6),
    st.sampled_from(["NA", " NA ", "-999", "-999.0", "TRUE", "false", "3.0", "3.", "", "inf", "1_000", "Cafe\u0301"]),
)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.none() | written, max_size=30), marks=st.sampled_from(MARKS))
def test_a_column_of_numbers_is_read_as_its_cells_are(texts: list[str | None], marks: tuple[str, str]) -> None:
    """Also where the column is a part of a longer one."""
    decimal, thousands = marks
    array = pa.array(["9,9", "x", *texts], pa.string()).slice(2)
    values, bad = arrow_cells.numbers(array, markers=("", "NA", "-999"), decimal=decimal, thousands=thousands)
    for text, value, word in zip(texts, values.tolist(), bad.tolist(), strict=True):
        expected = cells.number(text, frozenset({"", "NA", "-999"}), decimal, thousands)
        assert word == (expected is None)
        assert math.isnan(value) if expected is None or math.isnan(expected) else value == expected


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.none() | written, max_size=30))
def test_a_column_of_categories_is_read_as_its_cells_are(texts: list[str | None]) -> None:
    found = arrow_cells.texts(pa.array(texts, pa.string()), markers=("", "NA", "-999")).to_pylist()
    levels = [cells.level(text) for text in texts]
    assert found == ["" if level in ("NA", "-999") else level for level in levels]


@settings(max_examples=200, deadline=None)
@given(text=written)
def test_a_spelling_is_its_own_spelling(text: str) -> None:
    """What was logged, or comes back as a level, is not spelled anew."""
    assert cells.spelled(cells.spelled(text)) == cells.spelled(text)
    level = cells.level(text)
    assert cells.level(level) == level


@pytest.mark.parametrize(
    ("array", "level"),
    [
        (pa.array([1.1], pa.float32()), "1.1"),
        (pa.array([3.0]), "3"),
        (pa.array([3]), "3"),
        (pa.array([True]), "True"),
        (pa.array(["TRUE"], pa.string_view()), "True"),
        (pa.array(["3.0"]).dictionary_encode(), "3"),
        (pa.array([None], pa.float64()), ""),
        (pa.array([float("nan")]), ""),
        (pa.array([-999]), ""),
    ],
)
def test_a_typed_column_says_what_its_text_says(array: pa.Array, level: str) -> None:
    assert arrow_cells.texts(array, markers=("-999",)).to_pylist() == [level]


@pytest.mark.parametrize("value", [np.float32(1.1), np.float64(1.1), np.int64(3), np.bool_(True), np.str_("x")])
def test_numpy_scalars_are_what_they_say(value: object) -> None:
    assert cells.level(value) in ("1.1", "3", "True", "x")
