"""Small tables, and what is told of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.data.inference.infer import infer
from ml.schema.findings import Finding
from ml.settings import Data

N = 200


def frame(**columns: Any) -> pd.DataFrame:
    """A table with a number, two classes, and what is given."""
    i = np.arange(N)
    return pd.DataFrame({"age": (20 + i * 7 % 50).astype(str), "y": np.where(i % 3, "no", "yes")} | columns)


def findings(table: pd.DataFrame, **data: Any) -> list[Finding]:
    """What is told of the table."""
    return infer(table, Data(**{"target": "y"} | data))[1].findings
