"""What every source of tables keeps to; a new one is picked up from `SOURCES`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from ml.data import ingestion
from ml.data.blocks.disk_table import Scratch
from ml.data.sources.registry import SOURCES, describe, read, read_large
from ml.settings import Settings, from_values
from ml.settings.options import RUN_OPTIONS
from ml.settings.sections import Source


def _small() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    return pd.DataFrame({"x": x, "c": rng.choice(["a", "b"], 300), "target": np.where(x > 0, "yes", "no")})


def _file(home: Path) -> dict[str, Any]:
    _small().to_csv(home / "t.csv", index=False)
    return {"data": {"path": str(home / "t.csv")}}


def _sql(home: Path) -> dict[str, Any]:
    with sqlite3.connect(home / "t.db") as connection:
        _small().to_sql("t", connection, index=False)
    return {"data": {"url": f"sqlite:///{home}/t.db", "query": "SELECT * FROM t ORDER BY x"}}


# Settings by which a source reads a small table: a new source needs its own here.
SMALL: dict[str, Callable[[Path], dict[str, Any]]] = {
    "synthetic": lambda home: {"synthetic": {"n_samples": 300}},
    "customers": lambda home: {"customers": {"n_samples": 300}},
    "file": _file,
    "sql": _sql,
}


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    assert request.param in SMALL, f"say in SMALL how {request.param!r} reads a small table"
    values = SMALL[request.param](tmp_path) | {"home": str(tmp_path)}
    data = values.get("data", {}) | {"source": request.param}
    if request.param == "customers":
        data |= {"target": "churned", "id_columns": ["customer_id"], "time_column": "as_of"}
    return from_values(values | {"data": data})


def test_what_may_be_set_and_asked_for_is_what_there_is() -> None:
    [asked] = [option for option in RUN_OPTIONS if option.name == "source"]
    assert set(get_args(Source)) == set(SOURCES) == set(asked.choices)


def test_a_table_is_read_the_same_twice_and_by_blocks(source: Settings, tmp_path: Path) -> None:
    frame = read(source)
    assert source.data.target in frame.columns
    assert len(frame) == 300
    pd.testing.assert_frame_equal(read(source), frame)
    with Scratch(tmp_path / "scratch") as scratch:
        large = read_large(source, scratch)
        assert (list(large.columns), len(large)) == (list(frame.columns), len(frame))


def test_a_snapshot_is_made_of_it_and_says_where_it_came_from(source: Settings) -> None:
    made = ingestion.generate(source)
    assert made.manifest.rows == 300
    assert made.manifest.source == describe(source)
    assert made.manifest.source["source"] == source.data.source
