"""Words for "no value": told where they are said often, and a label is not lost to one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data.inference.infer import infer
from ml.errors import DataError
from ml.messages import code_of
from ml.settings import Data
from tests.ml.data.sources.frames import N, findings, frame


def every(n: int, word: str, other: str) -> Any:
    """`word` in one row of `n`, else `other` and a digit."""
    i = np.arange(N)
    return np.where(i % n == 0, word, np.char.add(other, (i // 7 % 3).astype(str)))


def test_a_country_called_na_is_told() -> None:
    told = findings(frame(country=every(4, "NA", "Z")))
    assert [(f.level, f.column) for f in told] == [("warning", "country")]
    assert str(told[0].message) == (
        "50 of 200 rows say 'NA': taken as missing; if that is a value, leave it out of data.missing_markers"
    )


def test_a_few_markers_are_not_told() -> None:
    assert findings(frame(country=every(50, "NA", "Z"))) == []


@pytest.mark.parametrize("word", ["#N/A", "<NA>", "NA"])
def test_markers_in_numbers_are_missing_and_noted(word: str) -> None:
    """Excel's and pandas' own words, too: a number column stays one."""
    table = frame(income=every(4, word, "1"))
    schema, report = infer(table, Data(target="y"))
    assert {column.name: column.kind for column in schema.columns} == {"age": "number", "income": "number"}
    assert [(f.level, f.column, str(f.message)) for f in report.findings] == [
        ("info", "income", f"50 of 200 rows say '{word}': taken as missing")
    ]


def test_a_class_called_none_stops_the_run() -> None:
    """It would vanish, with a quarter of the rows."""
    with pytest.raises(DataError, match=r"50 of 200 labels are 'None', a word for no value") as caught:
        findings(frame(y=every(4, "None", "c")))
    assert caught.value.column == "y"


def test_a_class_called_none_is_one_when_the_list_says_so() -> None:
    schema, _ = infer(frame(y=every(4, "None", "c")), Data(target="y", missing_markers=("", "NA")))
    assert schema.classes == ("None", "c0", "c1", "c2")


@pytest.mark.parametrize("y", [every(50, "None", "c"), every(4, "", "c")], ids=["a few", "empty"])
def test_labels_that_are_missing_are_left_out(y: Any) -> None:
    assert "findings.no_label" in [code_of(f.message) for f in findings(frame(y=y))]


def lines(cells: Any) -> pd.DataFrame:
    """The table with a column `x`, and lines as in a file."""
    return frame(x=cells).set_axis(pd.RangeIndex(2, N + 2, name="line"), axis=0)


def test_one_padded_cell_makes_no_category() -> None:
    """The share decides, and the cell is told."""
    cells = np.array([str(10 + k * 7 % 59) for k in range(N)])
    cells[40] = "07"
    schema, report = infer(lines(cells), Data(target="y"))
    assert {column.name: column.kind for column in schema.columns}["x"] == "number"
    (told,) = [finding for finding in report.findings if finding.column == "x"]
    assert told.level == "warning"
    assert "1 cells begin with a zero, the first '07' in line 42; they are read as numbers" in str(told.message)


def test_codes_with_leading_zeros_stay_a_category() -> None:
    schema, _ = infer(lines([f"{k % 30:02}" for k in range(N)]), Data(target="y"))
    assert {column.name: column.kind for column in schema.columns}["x"] == "category"


def test_numbers_with_many_words_are_a_category_with_a_warning() -> None:
    schema, report = infer(lines(["?" if k % 8 == 3 else str(k % 30) for k in range(N)]), Data(target="y"))
    assert {column.name: column.kind for column in schema.columns}["x"] == "category"
    (told,) = [finding for finding in report.findings if finding.column == "x"]
    assert str(told.message) == (
        "25 of 200 cells are no numbers ('?'), the first in line 5: a category, not a number. If they mean no value, "
        "add them to data.missing_markers"
    )
