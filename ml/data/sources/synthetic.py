"""The default table: scikit-learn's make_classification, every parameter from `[synthetic]`."""

from __future__ import annotations

import msgspec
import pandas as pd

from ml.errors import DataError
from ml.messages import message
from ml.settings import Settings


def read(settings: Settings) -> pd.DataFrame:
    """Columns `f0` … and the target, whole-number classes from 0.

    Raises
    ------
    DataError
        Parameters that contradict each other, in scikit-learn's words.
    """
    from sklearn.datasets import make_classification

    try:
        x, y = make_classification(**msgspec.structs.asdict(settings.synthetic))
    except ValueError as error:
        raise DataError(message("data.synthetic", error=str(error))) from error
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])
    frame[settings.data.target] = y
    return frame
