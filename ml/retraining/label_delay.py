"""How late labels are, in rows: what a model that is made now will answer comes after rows whose labels are still out.

A rehearsal on the newest labelled rows, by a model of the labelled rows right before them, asks how good a model is
that knows the world of a moment ago. Where labels come late no model does: one that is made now is to answer rows that
come that much later than the newest it learnt from. So as many rows are left out between those that a rehearsal learns
from and those that it is judged on. (Interleaved test-then-train with delayed labels: Grzenda, Gomes, Bifet 2020.)
"""

from __future__ import annotations

from ml import predictions
from ml.settings import Settings
from ml.storage import database


def rows(settings: Settings, *, now: float | None = None) -> int:
    """Labelled rows that would lie between the newest one and now, had all labels come that will.

    They are the answers since the newest one that has a label, times the share of those before that have one. At most
    twice `retrain.backtest_rows` answers are looked at: of labels that are later still no model is rehearsed.

    Parameters
    ----------
    now
        Later answers do not count, seconds; None: all do.
    """
    found = predictions.counts(database.engine(settings), until=now, rows=2 * settings.retrain.backtest_rows)
    return round(found.waiting * found.labelled / max(found.predictions - found.waiting, 1))
