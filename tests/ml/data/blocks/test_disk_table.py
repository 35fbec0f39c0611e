"""A table on disk gives what the same table in memory gives, whatever the size of its blocks."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.data import generate, snapshot
from ml.data.blocks import disk_table, gathering
from ml.data.blocks.disk_table import DiskTable, Scratch, blocks, in_memory
from ml.data.sources import customers, registry
from ml.settings import Settings, from_values
from tests.ml.data.production_rows import labelled

ROWS = 400
CUSTOMERS: dict[str, Any] = {"target": "churned", "id_columns": ["customer_id"], "time_column": "as_of"}
WINTER = {  # numbers with marks and units, words among them, two ways of an empty cell, dates, a constant, row numbers
    "row_id": [str(i) for i in range(ROWS)],
    "amount": [f"{i}.{i % 10}00,5" if i % 7 else "n/a" for i in range(1, ROWS + 1)],
    "term": [f"{i % 36} months" for i in range(ROWS)],
    "zip": [f"0{i % 90:04d}" for i in range(ROWS)],
    "since": [f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2025" for i in range(ROWS)],
    "level": ["gold", "Gold", "", "tin"] * (ROWS // 4),
    "same": ["x"] * ROWS,
    "number": [str(i % 50) if i % 97 else "soon" for i in range(ROWS)],
    "weight": [str(i % 3 + 1) for i in range(ROWS)],
    "target": [("yes", "No ", "no", "yes", "")[i % 5] for i in range(ROWS)],
}


def table(name: str, folder: Path) -> dict[str, Any]:
    """Settings of a table that was written into a folder."""
    if name == "winter":
        pd.DataFrame(WINTER).to_csv(folder / "t.csv", index=False, sep=";")
        return {"path": str(folder / "t.csv"), "weight_column": "weight"}
    frame = customers.make(ROWS, 3)
    if name == "csv with blank lines":
        text = frame.to_csv(index=False).replace("\n", "\n\n")
        (folder / "t.csv").write_text(text)
        return {"path": str(folder / "t.csv"), **CUSTOMERS}
    for column in ("region", "plan"):
        if column in frame:
            frame[column] = frame[column].astype("category")
    frame["count"] = pd.array([None if i % 9 == 0 else i for i in range(ROWS)], "Int64")
    frame["half"] = (np.arange(ROWS) / 2).astype(np.float16)
    frame.to_parquet(folder / "t.parquet", row_group_size=70)
    return {"path": str(folder / "t.parquet"), **CUSTOMERS}


def made(home: Path, data: dict[str, Any], **more: Any) -> tuple[Settings, snapshot.Snapshot]:
    settings = from_values({"home": str(home), "data": {"source": "file", **data}})
    return settings, generate(settings, **more)


@pytest.mark.parametrize("name", ["winter", "csv with blank lines", "parquet"])
@pytest.mark.parametrize("labels", [0, 300], ids=["", "with labelled rows"])
@pytest.mark.parametrize("rows", [41, 399])
def test_the_size_of_blocks_changes_nothing(
    tmp_path: Path, name: str, rows: int, labels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table(name, tmp_path)
    more: dict[str, Any] = {}
    if labels and name != "parquet":
        first = made(tmp_path / "first", data)[1]
        frame = labelled(labels) if name != "winter" else _winter_labels(labels)
        more = {"contract": first.schema, "parent": first.id, "labelled": frame}
    _, whole = made(tmp_path / "whole", data, **more)
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", rows)
    monkeypatch.setattr(gathering, "BATCH_ROWS", 2 * rows)
    settings, blockwise = made(tmp_path / "blockwise", data, **more)
    with Scratch(tmp_path) as scratch:
        assert isinstance(registry.read_large(settings, scratch), DiskTable)
    assert blockwise.id == whole.id
    assert blockwise.schema == whole.schema
    told = [msgspec.structs.replace(one.manifest, created="") for one in (whole, blockwise)]
    assert told[0] == told[1]
    assert not list(settings.data_dir.glob(".*"))


def test_a_text_is_read_twice_to_become_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the marks of all columns, and once for its kind and its numbers."""
    data = table("winter", tmp_path)
    read, counts = disk_table._read, Counter[int]()

    def counted(place: disk_table.Place) -> Any:
        counts[place.field] += place.file.name.startswith("rows")
        return read(place)

    monkeypatch.setattr(disk_table, "BLOCK_ROWS", 50)
    monkeypatch.setattr(disk_table, "_read", counted)
    made(tmp_path / "home", data)
    assert counts[list(WINTER).index("number")] == 2


def _winter_labels(n: int) -> pd.DataFrame:
    rows = labelled(n)
    own = [name for name in rows if str(name).startswith("__refit_")]
    inputs = {
        "amount": np.arange(n) * 1.5, "term": np.arange(n) % 12.0, "zip": "00012", "since": 9000.0, "level": "gold",
        "number": np.arange(n) % 7.0, "target": np.where(np.arange(n) % 2, "yes", "no"),
    }  # fmt: skip
    return rows[own].assign(**inputs)


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskTable:
    """Ten rows of a number and a text, in blocks of three."""
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", 3)
    frame = pd.DataFrame({"a": np.arange(10) / 2, "b": [f"t{i % 4}" for i in range(10)]})
    with gathering.Gathering(Scratch(tmp_path)) as rows:
        rows.add(disk_table.pa.Table.from_pandas(frame))
        raw = rows.finish()
    return raw.of_columns((name, raw[name] if name == "b" else raw[name].to_numpy(np.float32)) for name in "ab")


def test_the_first_cells_are_read_alone(on_disk: DiskTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_table, "_read", pytest.fail)
    assert on_disk.first("b", 5).tolist() == ["t0", "t1", "t2", "t3", "t0"]
    assert on_disk[np.arange(10) % 2 == 1].first("b", 2).tolist() == ["t1", "t3"]
    assert on_disk.first("a", 99).tolist() == [i / 2 for i in range(10)]


def test_rows_are_chosen_and_added(on_disk: DiskTable) -> None:
    assert [len(block) for block in blocks(on_disk)] == [3, 3, 3, 1]
    odd = on_disk[np.arange(10) % 2 == 1].reset_index(drop=True)
    fewer = odd[np.array([True, False, True, True, True])]
    longer = fewer.with_rows(pd.DataFrame({"a": np.float32([7, np.nan]), "b": ["new", ""]}))
    assert in_memory(longer)["b"].tolist() == ["t1", "t1", "t3", "t1", "new", ""]
    np.testing.assert_array_equal(longer["a"], np.float32([0.5, 2.5, 3.5, 4.5, 7, np.nan]))
    last = longer[np.arange(6) > 3]
    assert [len(block) for block in blocks(last)] == [2]
    assert in_memory(last.select(["b"])).to_dict("list") == {"b": ["new", ""]}
