"""Numbers as people write them: a mark is one only where it can stand; what cannot be is told with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from ml.data.inference.infer import infer
from ml.errors import DataError, SettingsError
from ml.messages import code_of
from ml.schema import arrow_cells
from ml.schema.frame_coerce import canonical
from ml.settings import Data, from_values

N = 200


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands", "expected"),
    [
        (["12.500", "950", "1,5", "1.5,0"], ",", "", [None, 950, 1.5, None]),
        (["12.500", "950", "29.288,05", "1.25", "1.2.345"], ",", ".", [12500, 950, 29288.05, None, None]),
        (["29,85", "1,234", "1,234,567.5", "12,34,567", "1,,234"], ".", ",", [None, 1234, 1234567.5, None, None]),
        (["0,971", "01,234", "-1,234", "1,234.", "1,2345", ",5"], ".", ",", [None, None, -1234, 1234, None, None]),
        (["12 345", "12\u00a0345", "12\u202f345", "1 2345"], ".", " ", [12345, 12345, 12345, None]),
        (["12'345.5", "12’345", "1'2"], ".", "'", [12345.5, 12345, None]),
        (["inf", "nan", "1e3", "+5", "", ".5"], ".", ",", [np.inf, None, 1000, 5, None, 0.5]),
        (["inf", "1,5e3", "1.5e3", ",5"], ",", "", [np.inf, 1500, None, 0.5]),
    ],
)
def test_a_mark_counts_only_where_it_can_stand(
    cells: list[str], decimal: str, thousands: str, expected: list[float | None]
) -> None:
    numbers, bad = arrow_cells.numbers(pd.Series(cells), decimal=decimal, thousands=thousands)
    got = [None if np.isnan(number) else number for number in numbers.tolist()]
    assert got == expected
    assert [b for b, cell in zip(bad.tolist(), cells, strict=True) if cell not in ("", "nan")] == [
        number is None for number, cell in zip(expected, cells, strict=True) if cell not in ("", "nan")
    ]


def table(write: Callable[[int], str]) -> pd.DataFrame:
    """A column `x` beside a plain one; lines as in a file."""
    i = np.arange(N)
    frame = pd.DataFrame(
        {"age": (20 + i * 7 % 50).astype(str), "x": [write(int(k)) for k in i * 7919 % 1000 + 1], "y": i % 2}
    )
    return frame.set_axis(pd.RangeIndex(2, N + 2, name="line"), axis=0)


@pytest.mark.parametrize(
    ("write", "expected", "decimal", "thousands"),
    [
        (lambda k: f"{k % 999 + 1}.{k % 1000:03}.000", lambda k: (k % 999 + 1) * 1e6 + k % 1000 * 1e3, ",", "."),
        (lambda k: f"1.{k:03}.000" if k > 980 else f"{k}.000",
         lambda k: 1e6 + k * 1e3 if k > 980 else k * 1e3, ",", "."),
        (lambda k: f"{k / 1000:.3f}".replace(".", ","), lambda k: k / 1000, ",", ""),
        (lambda k: f"{k}\u00a0{k % 1000:03}", lambda k: k * 1000 + k % 1000, ".", " "),
        (lambda k: f"{k}’{k % 1000:03}.5", lambda k: k * 1000 + k % 1000 + 0.5, ".", "'"),
        (lambda k: f"1.{k % 1000:03}" if k > 3 else "7,5",
         lambda k: 1000 + k % 1000 if k > 3 else 7.5, ",", "."),
        (lambda k: f"1,{k % 1000:03}" if k > 3 else "7.5",
         lambda k: 1000 + k % 1000 if k > 3 else 7.5, ".", ","),
    ],
    ids=["points", "a few with two points", "three decimals", "no-break blank", "apostrophe", "comma decides",
         "point decides"],
)  # fmt: skip
def test_marks_are_found_where_a_cell_decides(
    write: Callable[[int], str], expected: Callable[[int], float], decimal: str, thousands: str
) -> None:
    """Every cell agrees and one decides: read without a setting, and told."""
    frame = table(lambda k: write(k % 999 + 1))
    schema, report = infer(frame, Data(target="y"))
    assert (schema.decimal, schema.thousands) == (decimal, thousands)
    values = canonical(frame, schema)[0]["x"].to_numpy()
    assert values.tolist() == [np.float32(expected(int(k) % 999 + 1)) for k in np.arange(N) * 7919 % 1000 + 1]
    told = [str(finding.message) for finding in report.findings if code_of(finding.message).startswith("findings.mark")]
    assert len(told) == 1
    assert f"'{decimal}' as the decimal mark" in told[0]


def test_another_column_decides() -> None:
    """One file writes its numbers one way: 1.339 beside 12,5 is a thousand, and an export says so."""
    frame = table(lambda k: f"{k % 9 + 1}.{k % 1000:03}").assign(z=[f"{k % 70},5" for k in range(N)])
    schema, _ = infer(frame, Data(target="y"))
    assert (schema.decimal, schema.thousands) == (",", ".")
    assert canonical(frame, schema)[0]["x"].min() >= 1000


@pytest.mark.parametrize(("decimal", "first"), [(".", 1002.0), (",", 1.002)])
def test_a_doubt_is_answered_by_one_option(decimal: Literal[".", ","], first: float) -> None:
    """1,740 alone is refused with both readings; what the option says decides."""
    frame = table(lambda k: f"1,{k % 999 + 1:03}")
    with pytest.raises(DataError) as caught:
        infer(frame, Data(target="y"))
    assert "give --decimal . ('1,002' is 1002) or --decimal , (it is 1.002)" in str(caught.value)
    assert (caught.value.column, caught.value.line) == ("x", 2)
    schema, _ = infer(frame, Data(target="y", decimal=decimal))
    assert canonical(frame, schema)[0]["x"].iloc[0] == np.float32(first)


def test_cells_that_contradict_each_other_are_refused_by_name() -> None:
    frame = table(lambda k: f"{k}.5" if k > 500 else f"{k},5")
    with pytest.raises(
        DataError, match=r"'920\.5' in line 3 is written with other marks than '1,5' in line 2"
    ) as caught:
        infer(frame, Data(target="y"))
    assert (caught.value.column, caught.value.line) == ("x", 3)
    other = table(lambda k: f"{k}.5").assign(z=[f"{k % 70},5" for k in range(N)])
    with pytest.raises(DataError, match=r"'0,5' in line 2 is written .* '1\.5' in line 2 of column 'x'") as caught:
        infer(other, Data(target="y"))
    assert caught.value.column == "z"


def test_what_a_person_says_is_not_looked_for() -> None:
    with pytest.raises(DataError, match=r"'\d+\.5' shows that the decimal mark is '\.', and ',' was given"):
        infer(table(lambda k: f"{k}.5"), Data(target="y", decimal=","))
    with pytest.raises(
        DataError,
        match=r"shows that the decimal mark is ',', and '\.' was given: leave that out, .*; or set data\.kinds",
    ):
        infer(table(lambda k: f"{k},5"), Data(target="y", decimal="."))
    frame = table(lambda k: f"{k}.{k % 1000:03}" if k < 1000 else "5.500")
    schema, _ = infer(frame, Data(target="y", decimal=","))
    assert (schema.decimal, schema.thousands) == (",", ".")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda k: f"${k},000", "amounts with a currency sign"),
        (lambda k: f"-{k}.50 €", "amounts with a currency sign"),
        (lambda k: f"{k / 10}%", "percentages"),
        (lambda k: f"({k}.25)" if k % 2 else f"{k}.25", "numbers in brackets"),
    ],
)
def test_numbers_with_signs_are_left_out_by_name(write: Callable[[int], str], said: str) -> None:
    """Neither a category of a hundred levels nor free text."""
    schema, report = infer(table(write), Data(target="y"))
    assert [column.name for column in schema.columns] == ["age"]
    (told,) = [finding for finding in report.findings if finding.column == "x"]
    assert code_of(told.message) == "findings.decorated"
    assert said in str(told.message)


def test_one_mark_has_one_meaning() -> None:
    with pytest.raises(SettingsError, match="both"):
        from_values({"data": {"decimal": ",", "thousands": ","}})


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda k: f"{k}.{k % 1000:03}" if k < 1000 else "5.500", True),
        (lambda k: f"{k % 9 + 1}.{k % 1000:03}" if k > 900 else str(k % 999 + 1), True),
        (lambda k: f"{k / 1000:.3f}", False),
        (lambda k: f"{k % 9 + 1}.{k % 1000:03}" if k > 20 else "1234.000", False),
        (lambda k: f"{k % 7}.5", False),
    ],
    ids=["all so", "beside small whole numbers", "a leading zero", "more than three digits", "other decimals"],
)
def test_a_point_that_may_be_either_mark_is_told_with_both_readings(write: Callable[[int], str], told: bool) -> None:
    """8.423 is read as a number below nine, and a person hears that it may be one above eight thousand."""
    _, report = infer(table(write), Data(target="y"))
    found = [finding for finding in report.findings if code_of(finding.message) == "findings.points_before_three"]
    assert len(found) == told
    for finding in found:
        assert "give --decimal , (data.decimal;" in str(finding.message)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1,234", "give --decimal . ('1,234' is 1234)"),
        ("$12", "no setting reads"),
        ("12 %", "no setting reads"),
        ("(5)", "no setting"),
    ],
)
def test_a_few_numbers_with_signs_are_never_missing_values(cell: str, said: str) -> None:
    """One among two hundred: those above a thousand would be the ones that vanish."""
    with pytest.raises(DataError, match="cells such as") as caught:
        infer(table(lambda k: cell if k == 1 else str(k % 900)), Data(target="y"))
    assert said in str(caught.value)
    assert caught.value.line == 2
    schema, _ = infer(table(lambda k: str(k % 900)), Data(target="y"))
    with pytest.raises(DataError, match="expected a number, got"):
        canonical(table(lambda k: cell if k == 1 else str(k % 900)), schema)


def test_two_columns_of_different_marks_are_told_apart() -> None:
    """There is one setting; the other column is brought as plain numbers, or left out."""
    with pytest.raises(DataError, match=r"write them with the table's own marks, '\.' and ' '"):
        infer(table(lambda k: f"{k}'{k % 1000:03}"), Data(target="y", thousands=" "))
