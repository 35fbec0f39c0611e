"""What a reader gives stays in memory or goes to the disk, with the same cells."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ml.data.blocks import disk_table, gathering
from ml.data.blocks.disk_table import DiskTable, Scratch
from ml.data.blocks.gathering import Gathering
from ml.schema import arrow_cells


def taken(batches: list[dict[str, list[Any]]], scratch: Scratch | None) -> Any:
    with Gathering(scratch) as open_one:
        for batch in batches:
            open_one.add(pa.table({name: arrow_cells.flat(cells) for name, cells in batch.items()}))
        return open_one.finish(attrs={"file": "of a test"})


def test_few_rows_stay_in_memory(tmp_path: Path) -> None:
    found = taken([{"a": [1, 2]}, {"a": [3]}], Scratch(tmp_path))
    assert isinstance(found, pd.DataFrame)
    assert found["a"].tolist() == [1, 2, 3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("batches", "numbers", "texts"),
    [
        ([[None, None], [1, 2], [None, None], [3, None]], True, ["", "", "1", "2", "", "", "3", ""]),
        ([[1, 2], [1.5, None], [2**53 + 1]], True, ["1", "2", "1.5", "", str(2**53)]),
        ([[Decimal("1.50")], [None], [Decimal("10.125")]], True, ["1.500", "", "10.125"]),
        ([[Decimal("1.50")], [2.5]], True, ["1.5", "2.5"]),
        ([[1, 2], ["x", None], [2.5]], False, ["1", "2", "x", "", "2.5"]),
        ([[True, None], [None, None], [False]], False, ["True", "", "", "", "False"]),
        ([[None, None], [None]], False, ["", "", ""]),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 3])
def test_a_column_whose_type_changes_is_the_same_on_disk(
    batches: list[list[Any]], numbers: bool, texts: list[str], batch_rows: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tables = [{"a": cells, "row": list(range(len(cells)))} for cells in batches]
    whole = taken(tables, None)
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", 1)
    monkeypatch.setattr(gathering, "BATCH_ROWS", batch_rows)
    with Scratch(tmp_path) as scratch:
        on_disk = taken(tables, scratch)
        assert isinstance(on_disk, DiskTable)
        assert on_disk.attrs == whole.attrs
        for table in (whole, on_disk):
            assert arrow_cells.is_number(arrow_cells.flat(table["a"])) is numbers
            assert arrow_cells.texts(table["a"]).to_pylist() == texts
        assert on_disk["row"].tolist() == whole["row"].tolist()
    assert not list(tmp_path.iterdir())
