"""Is this column an identifier, a date, or the answer itself?"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_ID_NAME = re.compile(
    r"(^|[\W_])(id|uuid|guid|index|key|row_?(no|num|number|id))$|^(id|uuid|index)([\W_]|$)|[a-z]I[Dd]$", re.I
)
_DATE = re.compile(
    r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2}|[ap]m)?)?$",
    re.I,
)


def is_row_number(name: str, present: NDArray[np.float64]) -> bool:
    """Whether whole numbers identify rows: all different, and consecutive or with the name of an id."""
    if len(present) < 20 or (present != np.rint(present)).any():
        return False
    if not (present.max() - present.min() == len(present) - 1 or _ID_NAME.search(name)):
        return False
    return len(np.unique(present)) == len(present)


def is_dates(array: pa.Array, levels: Iterable[str]) -> bool:
    """Whether a column is of a date type, or (nearly) all of its first 1,000 levels are written dates."""
    if pa.types.is_temporal(array.type):
        return True
    sample = [level for level, _ in zip(levels, range(1_000), strict=False)]
    return sum(bool(_DATE.match(level)) for level in sample) > 0.9 * len(sample)
