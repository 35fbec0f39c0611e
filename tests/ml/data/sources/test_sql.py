"""A database's table is read by blocks, and is the table of a file with the same rows."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml.data import generate
from ml.data.blocks import disk_table, gathering
from ml.data.blocks.disk_table import DiskTable, Scratch
from ml.data.snapshot import Snapshot
from ml.data.sources import customers, registry, sql
from ml.errors import DataError
from ml.settings import Settings, from_values

ROWS = 400
NAMES: dict[str, Any] = {"target": "churned", "id_columns": ["customer_id"], "time_column": "as_of"}


@pytest.fixture
def frame() -> pd.DataFrame:
    """Customers; some columns hold nothing for a while, or whole numbers before others."""
    frame = customers.make(ROWS, 3)
    frame["paperless"] = frame["paperless"].astype(int)  # SQLite has no booleans, and no negative zero
    frame["usage_trend"] += 0.0
    frame["late"] = np.where(np.arange(ROWS) < 120, np.nan, np.arange(ROWS) % 9)
    frame["halves"] = np.where(np.arange(ROWS) < 200, np.arange(ROWS) % 7, np.arange(ROWS) % 7 + 0.5)
    frame["note"] = np.where(np.arange(ROWS) < 300, None, "seen")
    frame["rare"] = pd.array([None if i % 90 else i for i in range(ROWS)], "Int64")
    return frame


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, frame: pd.DataFrame) -> str:
    """A database with the customers, `as_of` and `price` of types of its own where it has them."""
    place: str = f"sqlite:///{tmp_path}/shop.db"
    if request.param == "postgresql":
        place = request.getfixturevalue("postgresql_url")
    engine = sa.create_engine(place)
    frame.assign(row=np.arange(ROWS)).to_sql("customers", engine, index=False)
    engine.dispose()
    return place


def settings_of(home: Path, **data: Any) -> Settings:
    return from_values({"home": str(home), "data": {**NAMES, **data}})


def of_query(home: Path, url: str, **data: Any) -> Settings:
    columns = "customer_id, as_of, age, region, contract, payment, device, paperless, tenure_months, products"
    more = "monthly_charges, support_calls, usage_trend, churned, late, halves, note, rare"
    query = f"SELECT {columns}, {more} FROM customers ORDER BY row"
    return settings_of(home, source="sql", url=url, query=query, **data)


def told(made: Snapshot) -> Any:
    return msgspec.structs.replace(made.manifest, created="", source={})


@pytest.mark.parametrize(("fetched", "rows", "written"), [(7, 41, 30), (64, 150, 90), (399, 399, 1)])
def test_by_blocks_it_is_the_table_of_a_file(
    url: str, frame: pd.DataFrame, fetched: int, rows: int, written: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    of_file = generate(settings_of(tmp_path / "file", source="file", path=str(tmp_path / "t.parquet")))
    in_memory = generate(of_query(tmp_path / "memory", url))
    monkeypatch.setattr(sql, "_BATCH_ROWS", fetched)
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", rows)
    monkeypatch.setattr(gathering, "BATCH_ROWS", written)
    settings = of_query(tmp_path / "blocks", url)
    with Scratch(tmp_path) as scratch:
        assert isinstance(registry.read_large(settings, scratch), DiskTable)
    by_blocks = generate(settings)
    assert by_blocks.id == in_memory.id == of_file.id
    assert by_blocks.schema == of_file.schema
    assert told(by_blocks) == told(in_memory) == told(of_file)
    assert not list(settings.data_dir.glob(".*"))


def test_no_more_is_fetched_at_once_than_a_million_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_BATCH_CELLS", 6)
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT i, i AS j FROM n"
    settings = from_values({"data": {"source": "sql", "url": f"sqlite:///{tmp_path}/new.db", "query": query}})
    sa.create_engine(settings.data.url).connect().close()
    with sql.opened(settings) as (names, batches):
        assert names == ["i", "j"]
        assert [len(rows) for rows in batches] == [3, 3, 1]


def test_a_table_over_the_limit_is_left_at_once(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_BATCH_ROWS", 10)
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", 15)
    settings = of_query(tmp_path, url, max_bytes=5_000)
    with pytest.raises(DataError, match=r"data\.max_bytes"):
        generate(settings)
    assert not list(settings.data_dir.glob(".*"))


def test_postgresqls_own_types_are_read(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numerics of any scale, moments with a zone whose offset changes, texts without a limit, ids of its own type."""
    engine = sa.create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE t AS SELECT i, CASE WHEN i > 50 THEN i / 8.0 END AS price, i % 3 = 0 AS paid,"
                " gen_random_uuid() AS id, CAST('2026-01-01Z' AS timestamptz) + i * interval '1 day' AS at,"
                " CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END AS target FROM generate_series(1, 300) AS i"
            )
        )
    engine.dispose()
    query = "SELECT price, paid, id, at, target, i % 17 AS rest FROM t ORDER BY i"
    more: dict[str, Any] = {"target": "target", "id_columns": ["id"], "time_column": "at"}
    settings = from_values({"data": {"source": "sql", "url": postgresql_url, "query": query, **more}})
    monkeypatch.setenv("PGTZ", "Europe/Berlin")
    whole = generate(msgspec.structs.replace(settings, home=tmp_path / "whole"))
    monkeypatch.setattr(sql, "_BATCH_ROWS", 9)
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", 20)
    monkeypatch.setattr(gathering, "BATCH_ROWS", 20)
    blockwise = generate(msgspec.structs.replace(settings, home=tmp_path / "blocks"))
    assert blockwise.id == whole.id
    assert told(blockwise) == told(whole)
    assert whole.manifest.time_range == ("2026-01-02T00:00:00.000000", "2026-10-28T00:00:00.000000")
    assert whole.schema.numbers == ("price", "rest")
    assert whole.manifest.split == "time"


def test_a_select_of_no_column_is_told_with_the_query(postgresql_url: str) -> None:
    """PostgreSQL allows it."""
    query = "SELECT FROM (VALUES (1), (2)) AS t"
    settings = from_values({"data": {"source": "sql", "url": postgresql_url, "query": query}})
    with pytest.raises(DataError, match=r"selects no column.*SELECT FROM \(VALUES") as caught:
        sql.read(settings)
    assert str(caught.value).startswith(sql.without_password(postgresql_url))


@pytest.mark.parametrize("second", ["b.id", "b.id AS ' id '"])
def test_two_columns_of_one_name_are_told_before_a_row_is_fetched(tmp_path: Path, second: str) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    query = f"WITH a AS (SELECT 1 AS id), b AS (SELECT 1 AS id) SELECT a.id, {second} FROM a JOIN b ON a.id = b.id"
    sa.create_engine(url).connect().close()
    settings = from_values({"data": {"source": "sql", "url": url, "query": query}})
    with pytest.raises(DataError, match=r"two columns of one name: 'id'; .* AS .*WITH a"), sql.opened(settings):
        pytest.fail("rows were asked for")
