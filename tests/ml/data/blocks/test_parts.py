"""A large snapshot is a folder of files, each of some rows of one part, and is read as a small one is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ml.data import generate, pickle_export, snapshot
from ml.data.blocks import parts
from ml.data.snapshot import Part, Snapshot
from ml.errors import DataError
from ml.settings import Settings, from_values
from tests.ml.data.production_rows import labelled


def settings_of(home: Path) -> Settings:
    return from_values({"home": str(home), "data": {"source": "customers"}, "customers": {"n_samples": 400}})


@pytest.fixture
def small(tmp_path: Path) -> Snapshot:
    """The table as one file."""
    return generate(settings_of(tmp_path / "small"), labelled=labelled(400))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "large")


@pytest.fixture
def large(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """The same in files of at most 99 rows."""
    monkeypatch.setattr(parts, "PART_ROWS", 99)
    return generate(settings, labelled=labelled(400))


def same(one: Part, other: Part) -> None:
    pd.testing.assert_frame_equal(one.X, other.X)
    for mine, theirs in zip(one[1:], other[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["train", "validation", "test", "recent"])
def test_parts_are_the_rows_of_one_file(small: Snapshot, large: Snapshot, name: str) -> None:
    whole = small.part(name)
    same(large.part(name), whole)
    np.testing.assert_array_equal(large.labels(name), whole.y)
    np.testing.assert_array_equal(small.labels(name), whole.y)
    found = list(large.blocks(name))
    assert [len(part.y) for part in found[:-1]] == [99] * (len(found) - 1)
    pd.testing.assert_frame_equal(pd.concat([part.X for part in found], ignore_index=True), whole.X)


def test_each_file_has_rows_of_one_part_and_not_too_many(small: Snapshot, large: Snapshot) -> None:
    files = sorted(large.path.iterdir())
    assert len(files) == sum(-(-rows // 99) for rows in large.manifest.parts.values())
    for file in files:
        table = pq.read_table(file)
        assert len(table) <= 99
        assert table.column(snapshot.PART).unique().to_pylist() == [snapshot.PARTS.index(file.name.split("-")[0])]
    assert large.schema == small.schema
    assert large.manifest.parts == small.manifest.parts
    assert len(pd.read_parquet(large.path)) == large.manifest.rows
    assert len(large.frame()) == large.manifest.rows


def test_a_part_without_rows_has_its_columns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 99)
    made = generate(settings)
    recent, train = made.part("recent"), made.part("train")
    assert recent.X.dtypes.tolist() == train.X.dtypes.tolist()
    assert len(recent.X) == len(recent.y) == 0
    assert list(made.blocks("recent")) == []


def test_the_same_table_is_kept_once_and_a_change_is_noticed(settings: Settings, large: Snapshot) -> None:
    before = {file: file.stat().st_mtime_ns for file in large.path.iterdir()}
    assert generate(settings, labelled=labelled(400)).id == large.id
    assert before == {file: file.stat().st_mtime_ns for file in large.path.iterdir()}
    first = min(before)
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="altered or damaged"):
        snapshot.open(settings, large.id)
    assert generate(settings, labelled=labelled(400)).id == large.id
    assert snapshot.open(settings, large.id).manifest.rows == large.manifest.rows
    first.unlink()
    with pytest.raises(DataError, match="altered or damaged"):
        snapshot.open(settings, large.id)
    assert [path.name for path in settings.data_dir.glob(".*")] == []


def test_the_course_pickle_has_the_same_rows(settings: Settings, large: Snapshot) -> None:
    pd.testing.assert_frame_equal(pickle_export.read(settings)["X_train"], large.part("train").X)


def test_the_course_pickle_of_a_large_table_is_a_sample_and_says_so(
    settings: Settings, large: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part is read as a whole, and what a person is told has both numbers."""
    assert pickle_export.sampled(large) is None
    most = large.manifest.parts["validation"]
    monkeypatch.setattr(pickle_export, "MOST_CELLS", most * len(large.schema.columns) + 1)
    monkeypatch.setattr(parts, "frame_of", _no_larger_than(most, parts.frame_of))
    pickle_export.write(large, settings)
    found, rows = pickle_export.read(settings), large.manifest.parts["train"]
    assert len(found["X_train"]) == len(found["y_train"]) == most < rows
    pd.testing.assert_frame_equal(found["X_train"], large.sample("train", most).X)
    pd.testing.assert_frame_equal(found["X_val"], large.part("validation").X)
    told = str(pickle_export.sampled(large))
    assert f"in data/course.pkl, drawn at random: {most:,} of {rows:,} rows of train" in told


def _no_larger_than(most: int, frame_of: Any) -> Any:
    def checked(tables: Any, names: Any, rows: int) -> Any:
        assert rows <= most
        return frame_of(tables, names, rows)

    return checked
