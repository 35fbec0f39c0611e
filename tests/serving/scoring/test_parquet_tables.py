"""Parquet is read in parts, however it was written."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.sources import csv_reader
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
