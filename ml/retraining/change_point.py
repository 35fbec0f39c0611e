"""The change point: when the champion began to fail, from its checks and its own labelled answers.

Where labels come in time, it is the first of the degraded windows. Where they come late, the rows that show the failure
were answered long before that window, and where they come at random, rows of both worlds come together. Then the moment
is looked for among the labelled rows themselves, in the order of the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from ml import predictions
from ml.drift.verdict import DriftVerdict, Performance
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd

LATE = 0.1  # share of the labels that may come for older answers than the window's; our choice


def began(settings: Settings, version: str, run: list[DriftVerdict], judged_until: float) -> float | None:
    """When the first row of the changed world was answered, seconds.

    Parameters
    ----------
    run
        The unbroken run of checks with new labels that said "degraded", newest first.
    judged_until
        Labels that came by this moment (seconds) were judged by the check before them.
    """
    newest, first = run[0], run[-1]
    rows = predictions.window(
        database.engine(settings), rows=settings.retrain.backtest_rows, version=version, labelled_only=True
    )
    seen = rows[(rows["labelled_at"] > judged_until) & (rows["labelled_at"] <= first.performance.labels_until)]
    start = first.window.start
    if start is None or seen.empty or (seen["time"] < start).mean() <= LATE:
        return start
    point = _in_rows(settings, rows, newest.performance)
    return start if point is None else point


def _in_rows(settings: Settings, rows: pd.DataFrame, found: Performance) -> float | None:
    """The change point of the costs of labelled rows; None where the figures of the check show no rise."""
    if found.reference_accuracy is None or found.accuracy is None:
        return None
    if (found.accuracy_drop_at_least or 0.0) > settings.drift.accuracy_margin:
        usual, now = 1 - found.reference_accuracy, 1 - found.accuracy
        cost = np.asarray(rows["actual"] != rows["label"], dtype=np.float64)
    else:
        usual, now = found.reference_log_loss or 0.0, found.log_loss or 0.0
        cost = _log_losses(rows["actual"].tolist(), rows["probabilities"].tolist())
    return float(rows["time"].iloc[change(cost, usual, now)]) if now > usual else None


def change(cost: npt.NDArray[np.float64], usual: float, now: float) -> int:
    """Index of the row from which on `cost` (n,) is most clearly nearer to `now` than to `usual`.

    The maximum-likelihood estimate of the change of a mean between two known values, at equal variances.
    Source: Page 1954, "Continuous inspection schemes"; Hinkley 1970.

    >>> change(np.array([0.0, 1, 0, 0, 1, 1, 0, 1]), 0.1, 0.7)
    4
    """
    return int(np.argmax(np.cumsum((cost - (usual + now) / 2)[::-1])[::-1]))


def _log_losses(actual: list[str], probabilities: list[str]) -> npt.NDArray[np.float64]:
    given = msgspec.json.decode("[" + ",".join(probabilities) + "]")
    p = [row.get(label, 0.0) for row, label in zip(given, actual, strict=True)]
    return log_losses_of_label(np.array(p), DRIFT_FLOOR)
