"""Parquet is read in parts, however it was written."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.sources import csv_reader
from ml.errors import DataError
from ml.settings import Settings, from_values
from serving.problems import Problem
from serving.scoring.parquet_tables import _MOST_VALUES, ParquetTable


class Told(io.BytesIO):
    """Remembers the longest read."""

    longest = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.longest = max(self.longest, len(content))
        return content


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_row_group_is_not_read_as_a_whole(compression: Any) -> None:
    """All rows in one group, as some programs write them: its columns would be the size of the table."""
    values = np.random.default_rng(0).normal(size=400_000)
    written = io.BytesIO()
    pq.write_table(
        pa.table({"a": values, "b": -values}), written, row_group_size=len(values), compression=compression,
        use_dictionary=False,
    )  # fmt: skip
    stream = Told(written.getvalue())
    table = ParquetTable(stream, "t.parquet", settings=Settings(), options=csv_reader.Options(max_bytes=1 << 30))
    found = pa.concat_tables(table.batches(None))
    np.testing.assert_array_equal(found["a"].to_numpy(), values)
    assert stream.longest < values.nbytes / 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({}), "the file has no columns"),
        (pa.table([[1], [2], [3]], ["a", "b", "a"]), "two columns of one name: 'a'"),
    ],
    ids=["no column", "two of one name"],
)
def test_a_table_of_other_columns_is_told(table: pa.Table, said: str) -> None:
    written = io.BytesIO()
    pq.write_table(table, written)
    with pytest.raises(DataError, match=said):
        ParquetTable(written, "t.parquet", settings=Settings(), options=csv_reader.Options(max_bytes=1 << 30))


def opened(content: bytes, max_rows: int = 100_000) -> ParquetTable:
    settings = from_values({"serving": {"max_file_rows": max_rows}})
    return ParquetTable(io.BytesIO(content), "t.parquet", settings=settings, options=csv_reader.Options())


@pytest.mark.parametrize(
    ("values", "leaf"), [([0.5, 1.5], b"a"), ([[0.5], [1.5, 2.5]], b"element")], ids=["numbers", "lists"]
)
def test_a_file_that_contradicts_itself_about_a_column_ends_no_process(values: list[Any], leaf: bytes) -> None:
    """Arrow ends the process that asks what the file says of such a column: "may be missing" became "is there"."""
    written = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array(values)}), written)
    name = b"\x18" + bytes([len(leaf)]) + leaf
    damaged = written.getvalue().replace(b"\x25\x02" + name, b"\x25\x00" + name)
    assert damaged != written.getvalue()
    asked = [sys.executable, "-c", _MOST_VALUES]
    assert subprocess.run(asked, input=damaged, capture_output=True).returncode == -signal.SIGABRT
    with pytest.raises(DataError, match=r"t\.parquet"):
        list(opened(damaged).batches(None))


def test_many_values_in_few_rows_are_counted_before_they_are_read() -> None:
    written = io.BytesIO()
    pq.write_table(pa.table({"a": [[0.0] * 5_000, [1.0]]}), written)
    assert next(opened(written.getvalue()).batches(None)).num_rows == 2
    with pytest.raises(Problem) as refused:
        opened(written.getvalue(), max_rows=5_000)
    assert refused.value.status == 413
