"""When the champion began to fail, from its own labelled answers.

The window of a check is no answer: with labels that come late, the rows that show the failure were answered long before
it, and with labels that come at random, rows of both worlds come together. So the moment is looked for among the
labelled rows themselves, in the order of the answers.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from ml import predictions, store
from ml.backtest import LEAST_PROBABILITY
from ml.drift.findings import Performance
from ml.settings import Settings


def of(settings: Settings, version: str, found: Performance) -> float | None:
    """When the first row of the changed world was answered, seconds; None where the figures do not tell.

    Parameters
    ----------
    found
        Of the check that said "degraded": what was usual, and what is now.
    """
    if found.reference_accuracy is None or found.accuracy is None:
        return None
    rows = predictions.window(
        store.engine(settings), rows=settings.retrain.backtest_rows, version=version, labelled_only=True
    )
    if rows.empty:
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
    return np.asarray(-np.log(np.clip(p, LEAST_PROBABILITY, 1.0)))
