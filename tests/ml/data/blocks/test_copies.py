"""Copies are counted as pandas counts them, by blocks."""

import numpy as np
import pandas as pd
import pytest

from ml.data.blocks import copies, disk_table


@pytest.mark.parametrize("rows", [7, 100_000])
def test_as_many_as_pandas_finds(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_table, "BLOCK_ROWS", rows)
    rng = np.random.default_rng(0)
    n = 2_000
    frame = pd.DataFrame(
        {
            "few": rng.choice(np.float32([0, -0.0, 1, np.nan]), n),
            "more": rng.integers(0, 9, n).astype(np.float32),
            "text": rng.choice(["", "a", "b"], n),
        }
    )
    y = rng.integers(0, 2, n)
    assert copies.count(frame, y) == int(frame.assign(y=y).duplicated().sum()) > 0
    frame["own"] = np.arange(n, dtype=np.float32)
    assert copies.count(frame, y) == 0
