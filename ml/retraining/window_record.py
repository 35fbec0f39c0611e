"""How the windows of training rows did beside all rows, over the checks of all champions.

The evidence of one champion begins anew with its promotion, and says what its labels ask for. Where worlds take turns,
that is the rows since the last turn, each time; and when the labels have come and the model serves, the world turns
again. What tells such a stream from one that moves on is what became of such models before: their losses beside those
of models of all rows, on rows that came as much later as labels do (`ml.retraining.label_delay`). It is the cumulative
loss by which prediction with expert advice chooses (Cesa-Bianchi & Lugosi 2006), fading, as the world may take to
another habit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ml.drift import backtest, verdict_history
from ml.drift.verdict import WindowRecord
from ml.settings import Settings


def newest(settings: Settings) -> dict[str, WindowRecord]:
    """Of the check that counted the latest label: each hands on what it found, as `window_policy.shown` has it."""
    probes = [check.fresh_model_probe for check in verdict_history.history(settings, settings.drift.history)]
    with_record = [probe for probe in probes if probe.record]
    return max(with_record, key=lambda probe: probe.labels_until).record if with_record else {}


def add(
    before: Mapping[str, WindowRecord],
    losses: Mapping[str, NDArray[np.float64]],
    weight: NDArray[np.float64] | None = None,
    *,
    half_life: int,
) -> dict[str, WindowRecord]:
    """The records after one more check.

    Parameters
    ----------
    before
        Window → its record.
    losses
        Model (`window (family)`) → (n,) nats on the check's labels.
    weight
        (n,) of the rows; None: they count alike.
    half_life
        Labels after which a record counts half.
    """
    of: dict[str, float] = {}
    n = 0
    for name, loss in losses.items():
        n, window = len(loss), backtest.window_of(name)
        total = float(loss.sum() if weight is None else weight @ loss)
        of[window] = min(of.get(window, np.inf), total)
    kept = 0.5 ** (n / half_life)
    found = {name: WindowRecord(rows=kept * one.rows, over_all=kept * one.over_all) for name, one in before.items()}
    for window in of.keys() - {"all"} if "all" in of else ():
        one = found.get(window, WindowRecord())
        found[window] = WindowRecord(rows=one.rows + n, over_all=one.over_all + of["all"] - of[window])
    return found
