"""Drift: how far the champion's inputs, answers and performance have moved from what it was judged on.

| module | what is in it |
|---|---|
| `verdict`, `verdict_history` | a check's verdict as data, and the table of verdicts: light to import |
| `reference`, `champion_reference` | the reference window: the champion's own held-out rows with its scores |
| `profile`, `features` | a column as counts; the columns of a window compared with the reference |
| `stuck_feed` | a number column that says one value in every row |
| `performance` | measured where labels have come, estimated where they have not |
| `backtest` | what quick models of labelled rows would have answered to later ones |
| `rule` | the decision rule: from findings to a verdict |
"""

from __future__ import annotations

from ml.drift.verdict import DriftVerdict
from ml.drift.verdict_history import history, latest

__all__ = ["DriftVerdict", "history", "latest"]
