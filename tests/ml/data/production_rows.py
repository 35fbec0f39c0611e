"""Labelled production rows for tests."""

from typing import Any

import pandas as pd

from ml.data.sources import customers
from ml.schema.schema import ANSWERED, PREDICTION_ID


def labelled(n: int, **changes: Any) -> pd.DataFrame:
    """Rows as the prediction log gives them: inputs, target, and what is named so that it meets no column."""
    frame = customers.make(n, 99).drop(columns=[customers.ID, customers.TIME])
    times = pd.date_range("2026-01-01", periods=n, freq="min", tz="UTC")
    return frame.assign(**{PREDICTION_ID: [f"p{i}" for i in range(n)], ANSWERED: times}, **changes)
