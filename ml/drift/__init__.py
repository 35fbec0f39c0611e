"""Drift: is the champion still what it was judged to be, and should it be replaced?

| module | what is in it |
|---|---|
| `checking` | the comparison itself: champion and log in, verdict out |
| `baseline`, `champion` | what drift is measured against: the champion's own held-out rows |
| `profile`, `statistics` | counts of a column, and the tests on them |
| `columns`, `performance` | inputs and predictions compared; labelled and estimated performance |
| `onset` | when the champion began to fail, whatever the delay of the labels |
| `rule`, `policy` | from findings to a verdict and to the decision to retrain |
| `findings`, `records` | verdicts as data, and the table they are kept in: light to import |
| `report`, `tracking` | Evidently's page of a check, and its figures in MLflow |
"""

from __future__ import annotations

from ml.drift.verdict import DriftVerdict, Shadow
from ml.drift.verdict_history import history, latest
from ml.settings import Settings

__all__ = ["DriftVerdict", "compare", "history", "latest"]


def compare(settings: Settings, *, now: float | None = None, shadow: Shadow | None = None) -> DriftVerdict:
    """Compare what the champion answers with its reference, and record the verdict: see `ml.monitoring.check.compare`."""
    from ml.monitoring import check  # SciPy and pandas: not for those who only read verdicts

    return check.compare(settings, now=now, shadow=shadow)
