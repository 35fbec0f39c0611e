"""A query's rows are fetched once, and scored as a file's are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.errors import DataError
from ml.schema.schema import Column, Schema
from ml.settings import Settings, from_values
from serving.batch import query as queries

SCHEMA = Schema(
    target="t", classes=("0", "1"), positive_label="1",
    columns=(Column(name="x", kind="number"), Column(name="city", kind="category")),
)  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Path:
    place = tmp_path / "d.sqlite"
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, x, city TEXT, at)")
        rows = [(i, None if i % 3 == 0 else i, None if i == 1 else f"Huế {i}", "2026-01-01") for i in range(7)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.close()
    return place


def on(database: Path, query: str = "SELECT * FROM t ORDER BY id") -> Settings:
    return from_values({"data": {"source": "sql", "url": f"sqlite:///{database}", "query": query}})


def test_the_rows_are_those_of_the_query(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several batches, the first of which has a column of nothing."""
    monkeypatch.setattr("ml.data.sources.sql._BATCH_ROWS", 1)
    found = pq.read_table(queries.fetched(on(database), SCHEMA, tmp_path / "out"))
    assert found["x"].to_pylist() == [None, 1.0, 2.0, None, 4.0, 5.0, None]
    assert found["city"].to_pylist() == ["Huế 0", None, *(f"Huế {i}" for i in range(2, 7))]
    assert found["id"].to_pylist() == list(range(7))


def test_a_query_without_rows_has_its_columns(database: Path, tmp_path: Path) -> None:
    found = pq.read_table(queries.fetched(on(database, "SELECT x, city FROM t WHERE id > 99"), SCHEMA, tmp_path))
    assert (found.num_rows, found.column_names) == (0, ["x", "city"])


def test_it_is_fetched_once(database: Path, tmp_path: Path) -> None:
    """Another answer of the database would make another table of what is half scored."""
    first = queries.fetched(on(database), SCHEMA, tmp_path / "out").read_bytes()
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM t")
    connection.close()
    assert queries.fetched(on(database), SCHEMA, tmp_path / "out").read_bytes() == first


def test_what_a_kill_left_is_no_answer(database: Path, tmp_path: Path) -> None:
    """And is cleared away."""
    torn = tmp_path / "._query-1234.parquet.abc"
    torn.write_bytes(b"PAR1")
    whole = queries.fetched(on(database), SCHEMA, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".sqlite"] == [whole]


def test_a_column_that_changes_its_kind_is_named(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.data.sources.sql._BATCH_ROWS", 3)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE t SET x = 'many' WHERE id = 5")
    connection.close()
    with pytest.raises(DataError, match="column 'x'"):
        queries.fetched(on(database), SCHEMA, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("query", "error", "said"), [("DELETE FROM t", DataError, "SELECT"), ("SELECT gone FROM t", DataError, "gone")]
)
def test_what_the_source_refuses_is_refused(
    database: Path, tmp_path: Path, query: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        queries.fetched(on(database, query), SCHEMA, tmp_path / "out")
