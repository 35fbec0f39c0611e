"""Dates as tables have them: read by the evidence of their cells, told, and left out where there is doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data import row_metadata
from ml.data.contract import fit
from ml.data.inference.infer import infer
from ml.errors import DataError, SchemaError
from ml.messages import code_of
from ml.schema.cells import iso
from ml.schema.findings import Report
from ml.schema.frame_coerce import canonical
from ml.settings import Data
from tests.ml import dated

N = 120
DAYS = pd.date_range("2024-01-01", periods=N, freq="3D")


def table(cells: Any, **more: Any) -> pd.DataFrame:
    i = np.arange(N)
    frame = pd.DataFrame({"age": (20 + i * 7 % 50).astype(str), "d": cells, **more, "y": i % 2})
    return frame.set_axis(pd.RangeIndex(2, N + 2, name="line"), axis=0)


def told(report: Report, column: str = "d") -> list[str]:
    return [code_of(finding.message) for finding in report.findings if finding.column == column]


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (DAYS.strftime("%Y-%m-%d"), ""),
        (DAYS.strftime("%Y/%m/%d"), ""),
        (DAYS.strftime("%Y-%m-%dT%H:%M:%SZ"), ""),
        (DAYS.strftime("%d/%m/%Y"), "day-first"),
        (DAYS.strftime("%-d.%-m.%Y"), "day-first"),
        (DAYS.strftime("%m/%d/%Y"), "month-first"),
        (DAYS, ""),
        (DAYS.date, ""),
    ],
    ids=["ISO", "slashes", "moments", "day first", "points", "month first", "timestamps", "objects"],
)
def test_dates_are_read_where_a_cell_decides(cells: Any, order: str) -> None:
    frame = table(cells)
    schema, report = infer(frame, Data(target="y"))
    column = schema.column("d")
    assert (column.kind, column.date_order) == ("date", order)
    assert told(report) == ["findings.dates"]
    days = canonical(frame, schema)[0]["d"]
    assert days.dtype == np.float32
    assert [iso(day) for day in days] == list(DAYS.strftime("%Y-%m-%d"))


@pytest.mark.parametrize("order", ["day-first", "month-first"])
def test_a_doubt_is_left_out_and_answered_by_one_option(order: Any) -> None:
    """03/04/2026 alone may be two days: told with the option; another column of the table may decide."""
    days = pd.to_datetime([f"2024-{i % 12 + 1:02}-{i % 11 + 1:02}" for i in range(N)])
    written = days.strftime("%d/%m/%Y" if order == "day-first" else "%m/%d/%Y")
    schema, report = infer(table(written), Data(target="y"))
    assert [column.name for column in schema.columns] == ["age"]
    assert told(report) == ["findings.dates_doubtful"]
    assert "--dates day-first or --dates month-first" in str(report.findings[-1].message)
    frame = table(written)
    schema, _ = infer(frame, Data(target="y", dates=order))
    assert [iso(day) for day in canonical(frame, schema)[0]["d"]] == list(days.strftime("%Y-%m-%d"))
    decided = table(written, e=DAYS.strftime("%d/%m/%Y" if order == "day-first" else "%m/%d/%Y"))
    assert infer(decided, Data(target="y"))[0].column("d").date_order == order


@pytest.mark.parametrize(
    "cells",
    [[f"13/{i % 9 + 1}/2024" if i % 2 else f"{i % 9 + 1}/13/2024" for i in range(N)], DAYS.strftime("%d/%m/%y")],
    ids=["both orders", "years of two digits"],
)
def test_dates_of_more_than_one_way_are_left_out(cells: Any) -> None:
    schema, report = infer(table(cells), Data(target="y"))
    assert [column.name for column in schema.columns] == ["age"]
    assert told(report)[0] in ("findings.dates_unread", "findings.dates_doubtful")


def test_missing_dates_are_missing_and_wrong_ones_as_words_among_numbers() -> None:
    """A few words become missing with a warning, more are an error by place; a date that cannot be is never missing."""
    frame = table([("" if i % 10 == 0 else day) for i, day in enumerate(DAYS.strftime("%Y-%m-%d"))])
    schema, _ = infer(frame, Data(target="y"))
    assert canonical(frame, schema)[0]["d"].isna().mean() == pytest.approx(0.1)
    one = frame.assign(d=["soon" if i == 5 else cell for i, cell in enumerate(frame["d"])])
    values, report = canonical(one, schema)
    assert told(report) == ["findings.no_dates"]
    assert np.isnan(values["d"].iloc[5])
    with pytest.raises(SchemaError) as caught:
        canonical(frame.assign(d=["soon" if i % 3 else cell for i, cell in enumerate(frame["d"])]), schema)
    assert (caught.value.column, caught.value.line) == ("d", 3)
    with pytest.raises(SchemaError, match=r"31\.02\.2024"):
        canonical(frame.assign(d=["31.02.2024" if i == 5 else cell for i, cell in enumerate(frame["d"])]), schema)


def test_a_later_table_may_write_its_dates_in_another_way() -> None:
    """The contract is a date; how it is written is the table's."""
    schema, _ = infer(table(DAYS.strftime("%d/%m/%Y")), Data(target="y"))
    for written in ("%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y"):
        _, _, x = fit(table(DAYS.strftime(written)), schema, Data(target="y"), Report())
        assert [iso(day) for day in x["d"]] == list(DAYS.strftime("%Y-%m-%d"))


def test_what_a_person_says_of_a_kind_holds() -> None:
    schema, _ = infer(table(DAYS.strftime("%Y-%m-%d")), Data(target="y", kinds={"d": "category"}))
    assert schema.column("d").kind == "category"
    with pytest.raises(DataError, match='must be "number", "category" or "date"'):
        infer(table(DAYS.strftime("%Y-%m-%d")), Data(target="y", kinds={"d": "day"}))


@pytest.mark.parametrize("written", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y"])
def test_the_time_of_rows_is_read_in_the_same_ways(written: str) -> None:
    data = Data(target="y", time_column="d")
    found = row_metadata.times(table(DAYS.strftime(written)), "d", data)
    assert found.tolist() == DAYS.to_numpy().astype("datetime64[us]").tolist()


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        ([f"{i % 24 + 1} months" for i in range(N)], "months"),
        ([f"{i}.5 kg" for i in range(N)], "kg"),
        ([f"{i}kg" for i in range(N)], "kg"),
        ([f"{i % 3 + 3}G" for i in range(N)], ""),
        ([f"{i % 9 + 1} {'kg' if i % 2 else 'g'}" for i in range(N)], ""),
        ([f"{i % 9 + 1} months" if i else "a month" for i in range(N)], ""),
    ],
    ids=["months", "decimals", "no space", "names", "two units", "words"],
)
def test_numbers_with_one_unit_are_numbers(cells: list[str], unit: str) -> None:
    frame = table(cells)
    schema, report = infer(frame, Data(target="y"))
    column = schema.column("d")
    assert (column.kind, column.unit) == ("number" if unit else "category", unit)
    assert ("findings.unit" in told(report)) is bool(unit)
    if unit:
        later = frame.assign(d=[cell.removesuffix(unit).strip() for cell in cells])
        expected = later["d"].astype(np.float32).tolist()
        assert canonical(frame, schema)[0]["d"].tolist() == expected
        assert canonical(later, schema)[0]["d"].tolist() == expected


def test_the_days_between_dates_are_learned_from(tmp_path: Path) -> None:
    """The label of the table hangs on nothing else."""
    opened = dated.bundle(tmp_path / "bundle")
    fresh = dated.table(200, seed=5)
    answers = dated.expected(opened, fresh) > 0.5
    assert (answers == (fresh["left"] == "yes")).mean() > 0.8
