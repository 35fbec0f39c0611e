"""What the values of a column and its name say that it is."""

from __future__ import annotations

import numpy as np
import pytest

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
