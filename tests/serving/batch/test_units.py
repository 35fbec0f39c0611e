"""Units: cut where the plan says, and the same after their way to a worker."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ml.schema.rows import Rows
from serving.batch.plan import Plan
from serving.batch.units import Unit, cut, from_bytes, to_bytes
from serving.scoring.upload import Part

PLAN = Plan(table="t", name="t.csv", version="1", sha256="s", columns=["who"], unit_rows=4)


def parts(*sizes: int) -> list[Part]:
    made, begun = [], 0
    for n in sizes:
        places = np.arange(begun, begun + n, dtype=np.float32)
        table = pa.table({"who": [f"k{i}" for i in range(begun, begun + n)], "other": places})
        rows = Rows(places[:, None], np.full((n, 1), "Huế", object))
        made.append(Part(rows, table, None, None))
        begun += n
    return made


@pytest.mark.parametrize("sizes", [(10,), (1,) * 10, (3, 7), (4, 4, 2)])
def test_the_same_units_come_of_any_parts(sizes: tuple[int, ...]) -> None:
    """In the plan's size, but for the last one."""
    units = list(cut(parts(*sizes), PLAN))
    assert [(unit.number, unit.first, len(unit.rows)) for unit in units] == [(0, 0, 4), (1, 4, 4), (2, 8, 2)]
    assert [value for unit in units for value in unit.rows.numbers[:, 0]] == list(range(10))
    assert [name for unit in units for name in unit.kept["who"].to_pylist()] == [f"k{i}" for i in range(10)]
    assert units[0].kept.column_names == ["who"]


@pytest.mark.parametrize(("n_numbers", "n_categories"), [(2, 2), (0, 1), (1, 0)])
def test_a_unit_survives_its_way(n_numbers: int, n_categories: int) -> None:
    """Missing cells, hostile names and texts, and what was noticed of a row."""
    numbers = np.array([[1.5, np.nan], [-np.inf, 1e30]], np.float32)[:, :n_numbers]
    categories = np.array([["", "Đà Nẵng"], ["<b>", 'q"uote']], object)[:, :n_categories]
    kept = pa.table({"warnings": ["a", None], "number 0": pa.array([1, 2], pa.int64()), "kept kept ": ["x", "y"]})
    unit = Unit(3, 196_608, Rows(numbers, categories), kept, pa.array(["", "f0: odd"]))
    back = from_bytes(to_bytes(unit))
    assert (back.number, back.first) == (3, 196_608)
    np.testing.assert_array_equal(back.rows.numbers, numbers)
    assert back.rows.numbers.dtype == np.float32
    assert back.rows.categories.tolist() == categories.tolist()
    assert back.rows.categories.dtype == object
    assert back.kept.equals(kept)
    assert back.warnings.equals(unit.warnings)
