"""Parquet is read in parts, however it was written."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.sources import csv_reader
from ml.errors import DataError
from ml.settings import Settings
from serving.scoring.parquet_tables import ParquetTable


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
