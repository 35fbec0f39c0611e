"""The reference window: the held-out rows of the champion's own bundle, with its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.messages import Message, message
from ml.schema.schema import Schema

if TYPE_CHECKING:
    import pandas as pd


class Baseline(msgspec.Struct, frozen=True):
    """The champion's reference.

    Attributes
    ----------
    version
        The registered version.
    schema
        What its rows are.
    frame: DataFrame, (n, columns) in canonical form.
    actual: (n,) object of str, the true labels; None where the rows have none.
    label: (n,) object of str, as the model decides.
    probabilities: (n, n_classes) float64, columns in the schema's order of classes.
    sha256: of its bundle, "" where it is not registered: rows of another registry's version of its number are not its.
    made_from: the snapshot of its training, "" where it does not say.
    """

    version: str
    schema: Schema
    frame: Any
    actual: Any
    label: Any
    probabilities: Any
    made_from: str = ""
    sha256: str = ""


def canonical(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, dict[str, Message]]:
    """Logged inputs in canonical form, each column by itself: a strange one becomes a problem, not an error.

    Returns
    -------
    frame
        The schema's columns that are there: float64 with NaN, or object of str with "".
    problems
        Column → what is wrong with it.
    """
    import pandas as pd

    columns: dict[str, NDArray[Any]] = {}
    problems: dict[str, Message] = {}
    for column in schema.columns:
        if column.name not in frame:
            problems[column.name] = message("drift.column_gone")
            continue
        values = frame[column.name]
        if column.kind != "category":
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            bad = np.isnan(numbers) & values.notna().to_numpy()
            if bad.any():
                bad &= ~values.isin(schema.missing_markers).to_numpy()
            if share := float(bad.mean()) if len(bad) else 0.0:
                example = str(values[bad].iloc[0])[:40]
                problems[column.name] = message("drift.not_numbers", share=share, example=example)
            columns[column.name] = np.where(np.isinf(numbers), np.nan, numbers)
        else:
            text = values.where(values.notna(), "").astype(str)
            columns[column.name] = text.where(~text.isin(schema.missing_markers), "").to_numpy(dtype=object)
    return pd.DataFrame(columns, index=frame.index), problems
