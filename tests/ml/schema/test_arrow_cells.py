"""Cells become canonical values."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.schema import arrow_cells


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=30))
@settings(deadline=None)
def test_written_numbers_come_back_exactly(cells: list[float]) -> None:
    got, bad = arrow_cells.numbers(pa.array([repr(cell) for cell in cells]), markers=("",))
    assert not bad.any()
    np.testing.assert_array_equal(got, np.array(cells))


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30))
@settings(deadline=None)
def test_any_text_is_a_number_a_missing_value_or_bad(cells: list[str]) -> None:
    got, bad = arrow_cells.numbers(pa.array(cells), markers=("", "NA"))
    for cell, value, wrong in zip(cells, got, bad, strict=True):
        if wrong:
            assert math.isnan(value)
        elif not math.isnan(value):
            assert float(cell.strip()) == value


@pytest.mark.parametrize(
    ("cell", "options", "expected"),
    [
        ("+5", {}, 5.0),
        (" 5. ", {}, 5.0),
        (".5", {}, 0.5),
        ("1e400", {}, math.inf),
        ("-Infinity", {}, -math.inf),
        ("29,85", {"decimal": ","}, 29.85),
        ("1.029,85", {"decimal": ",", "thousands": "."}, 1029.85),
        ("1,029.85", {"thousands": ","}, 1029.85),
    ],
)
def test_forms_of_a_number(cell: str, options: dict[str, str], expected: float) -> None:
    got, bad = arrow_cells.numbers(pa.array([cell, "1"]), **options)
    assert (got[0], bad[0]) == (expected, False)


@pytest.mark.parametrize("cell", ["twelve", "1_000", "0x1f", "1,5", "--1", "1 2"])
def test_words_are_bad_and_missing(cell: str) -> None:
    got, bad = arrow_cells.numbers(pa.array([cell, "1"]))
    assert bad.tolist() == [True, False]
    assert math.isnan(got[0])


def test_float32_never_overflows_or_is_infinite() -> None:
    got = arrow_cells.to_float32(np.array([np.inf, -np.inf, np.nan, 1e308, -1e308, 0.1]))
    assert got.dtype == np.float32
    assert np.isnan(got[:3]).all()
    assert np.isfinite(got[3:]).all()
    assert got[5] == np.float32(0.1)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([1.0, np.nan, 2.5]), ["1", "", "2.5"]),
        (pd.Series([True, False, None], dtype=object), ["True", "False", ""]),
        (pd.Series([1, 2, 3]), ["1", "2", "3"]),
        (pd.Series([" a ", "NA", None]), ["a", "", ""]),
        (pd.Series(["a", 1, 2.5], dtype=object), ["a", "1", "2.5"]),
        (pd.Series(["x", None, "y"], dtype="category"), ["x", "", "y"]),
        (pd.Series([None, None], dtype=object), ["", ""]),
    ],
    ids=["floats", "booleans", "integers", "text", "mixed", "categorical", "nothing"],
)
def test_texts_of_any_column(column: pd.Series, expected: list[str]) -> None:
    assert arrow_cells.texts(column, markers=("", "NA")).to_pylist() == expected


@given(st.lists(st.sampled_from(["1", " 2", "NA", "", "word", "1e400", "+3", "4,5", None]), min_size=1, max_size=9))
@settings(deadline=None, max_examples=30)
def test_many_equal_cells_are_read_as_one_by_one(cells: list[str | None]) -> None:
    """Columns with few different texts take a shorter way."""
    many = pa.array(cells * 1_500, pa.large_string())
    got, bad = arrow_cells.numbers(many, markers=("", "NA"), decimal=",")
    one, one_bad = arrow_cells.numbers(pa.array(cells, pa.string()), markers=("", "NA"), decimal=",")
    np.testing.assert_array_equal(got, np.tile(one, 1_500))
    np.testing.assert_array_equal(bad, np.tile(one_bad, 1_500))


@pytest.mark.parametrize("odd", ["12,5", "", "NA", "nan", "1e400", "+5", "１２", None, " 7 "])
def test_a_long_column_is_read_as_a_short_one(odd: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some cells after others, whatever is in which of them."""
    column = pa.array([*map(str, range(40)), odd, "0.25", "4"])
    whole = arrow_cells.numbers(column, markers=("NA",))
    monkeypatch.setattr(arrow_cells, "_SLICE", 7)
    for mine, theirs in zip(arrow_cells.numbers(column, markers=("NA",)), whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_bytes_of_a_slice_are_its_own() -> None:
    """What is looked for in a thousand cells is not looked for in all of them."""
    column = pa.array(["x" * 50, "12", "3"])
    assert bytes(arrow_cells.content(column.slice(1))) == b"123"
    assert arrow_cells.byte_range(column.slice(1)) == (ord("1"), ord("3"))
