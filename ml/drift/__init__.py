"""Drift: how far the champion's inputs, answers and performance have moved from what it was judged on.

| module | what is in it |
|---|---|
| `verdict` | a check's verdict as data: light to import |
| `verdict_history` | the table of verdicts: light to import |
| `reference` | the reference window: held-out rows with the champion's scores |
| `champion_reference` | the reference of the champion, from its registered bundle |
| `profile` | a column as counts |
| `features` | the columns of a window compared with the reference |
| `stuck_feed` | a number column that says one value in every row |
| `performance` | measured where labels have come, estimated where they have not |
| `backtest` | what quick models of labelled rows would have answered to later ones |
| `rule` | the decision rule: from findings to a verdict |
"""

from __future__ import annotations

from ml.drift.verdict import DriftVerdict
from ml.drift.verdict_history import history, latest

__all__ = ["DriftVerdict", "history", "latest"]
