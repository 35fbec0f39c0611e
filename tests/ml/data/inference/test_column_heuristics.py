"""What the values of a column and its name say that it is."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from ml.data.inference import column_heuristics
from ml.data.inference.column_heuristics import is_row_number, may_be_row_number
from tests.ml.data.sources.frames import findings, frame

GAPS = np.arange(200) * 3 + np.arange(200) % 2  # all different, not one after the other


@pytest.mark.parametrize("name", ["EmployeeNumber", "account_no", "Serial", "staff.Nr", "mã"])
def test_numbers_with_gaps_that_are_named_so_are_told(name: str) -> None:
    """Nothing proves that they name rows, so they stay, and a person is told what to set."""
    assert not is_row_number(name, GAPS.astype(float))
    [told] = findings(frame(**{name: GAPS}))
    assert (told.level, told.column) == ("warning", name)
    assert f"add '{name}' to data.id_columns" in str(told.message)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Salary", GAPS),  # an amount
        ("casino", GAPS),  # ends with two letters of a name
        ("EmployeeNumber", GAPS // 6),  # some come twice
        ("EmployeeNumber", GAPS + 0.5),
        ("EmployeeNumber", GAPS[:20]),  # too few to say
    ],
)
def test_others_are_not(name: str, values: np.ndarray) -> None:
    assert not may_be_row_number(name, values.astype(float))


MANY = np.arange(200) * 7 % 61


@pytest.mark.parametrize(
    "cells",
    [[f"{n} {'kg' if n % 2 else 'g'}" for n in MANY], [f"13:{n}" for n in MANY], [f"{n}_000" for n in MANY]],
    ids=["units", "times", "marks"],
)
def test_numbers_with_several_units_are_told(cells: list[str]) -> None:
    """They lose their order as a category; nothing else would say so."""
    [told] = findings(frame(x=cells))
    assert (told.level, told.column) == ("warning", "x")
    assert "numbers with a unit, or times: a category" in str(told.message)
    assert 'data.kinds = {"x" = "category"}' in str(told.message)


@pytest.mark.parametrize(
    "levels",
    [
        [f"{n}G" for n in MANY % 4],  # so few are names
        [f"A{n}" for n in MANY],
        [f"{n}-{n + 9}" for n in MANY],  # from, to
        [f"{n} kg net" for n in MANY],
        [f"{n} kg" if n % 5 else f"none {n}" for n in MANY],
    ],
)
def test_levels_that_are_no_measures_are_not_told_as_such(levels: list[str]) -> None:
    assert findings(frame(x=levels)) == []


def test_levels_that_differ_in_case_alone_are_told() -> None:
    """Each stays a level of its own, as they may be two; in how many groups, and one of them."""
    [told] = findings(frame(x=["Basic", "basic", "pro", "PRO", "plus"] * 40))
    assert (told.level, told.column) == ("warning", "x")
    said = str(told.message)
    assert said.startswith("2 of the levels are written in upper and lower case, such as 'Basic', 'basic'")


@pytest.mark.parametrize(
    ("values", "seen", "there"), [(2**53 + MANY % 4 * 2, 1, 4), (1e9 + np.arange(200) * 3 % 101, 3, 101)]
)
def test_numbers_that_float32_blurs_are_told(values: np.ndarray, seen: int, there: int) -> None:
    """A model would see one value where there are many."""
    [told] = [one for one in findings(frame(x=values)) if "close together" in str(one.message)]
    assert (told.level, told.column) == ("warning", "x")
    assert f"the model sees {seen} of {there} different ones" in str(told.message)


@pytest.mark.parametrize(
    "values",
    [
        1.7e9 + 86_400.0 * MANY,  # a year of moments
        MANY * 1e-9,
        2.0**24 + MANY * 100.0,
        np.where(MANY % 2, 1e300, 1.0),
        np.full(200, np.nan),
        [],
    ],
)
def test_numbers_that_it_tells_apart_are_not(values: np.ndarray) -> None:
    present = np.asarray(values, float)
    assert not column_heuristics.is_too_close(present[np.isfinite(present)])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_codes_are_found_among_cells_of_any_kind_and_in_slices(kind: pa.DataType) -> None:
    cells = ["01", "0", "0.5", "007 ", "", None, "00x", "10", "0 1", "-01", "é0", "0é", "00"]
    code = np.array([text is not None and re.search(r"^0[0-9]+\s*$", text) is not None for text in cells])
    for start in range(len(cells)):
        array = pa.array(cells, kind).slice(start)
        np.testing.assert_array_equal(column_heuristics.leading_zeros(array), code[start:])
    assert code.sum() == 3


def test_values_are_too_close_by_their_spread_alone() -> None:
    """The quick answer that two ends allow is the slow one."""
    rng = np.random.default_rng(0)
    for offset in (0.0, 1e3, 1e6, 1e8, -1e9, 1e38):
        for width in (1e-3, 1.0, 1e4):
            present = offset + width * rng.standard_normal(500)
            spread, step = present.std(), np.spacing(np.float32(np.abs(present).max()))
            assert column_heuristics.is_too_close(present) == bool(spread > 0 and step > 0.01 * spread)
