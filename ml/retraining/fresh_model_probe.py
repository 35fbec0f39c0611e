"""The fresh-model probe: would a model of newer rows do better than the champion?

Asked of the newest labels, by a quick model.

A drop below the reference cannot tell everything: the reference of a champion that was made in a hard time is no
high bar, and a model may hold its level while a newer one would do better. So the rows whose labels came since the
last check, all answered by the champion, are also answered by quick models of older labelled rows alone, and the
losses are compared row by row. It is a rehearsal, bounded in cost, not a retraining: nothing of it is kept.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.stats import norm

from ml import predictions
from ml.data import production
from ml.drift import backtest, performance
from ml.drift.reference import Baseline
from ml.drift.verdict import FreshModelProbe
from ml.errors import DataError
from ml.messages import Text, message
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Gains = dict[str, tuple[float, float]]


def examine(
    settings: Settings, baseline: Baseline, fresh: pd.DataFrame, earlier: Sequence[FreshModelProbe] = ()
) -> FreshModelProbe:
    """Compare the champion with quick models on rows that none of them was trained on.

    Where there are rows enough and no comparison (other columns or classes, a snapshot that is not known), `problem`
    says why: the check tells it.

    Parameters
    ----------
    fresh
        Rows of the prediction log that the champion answered and whose labels came since the last check; at least
        `drift.min_labels` of a known class are needed.
    earlier
        What earlier checks of the same champion found, newest first.
    """
    classes = baseline.schema.classes
    fresh = fresh[fresh["actual"].isin(classes)]
    if len(fresh) < settings.drift.min_labels:
        return FreshModelProbe()
    source = backtest.base(settings, baseline.made_from, baseline.schema if baseline.made_from else None)
    if source is None:
        return _not_compared(message("drift.probe_no_snapshot"))
    if source.schema.classes != classes:
        return _not_compared(message("drift.probe_other_classes"))
    older = predictions.labelled(settings, until=float(fresh["time"].min()), rows=settings.retrain.backtest_rows)
    held = predictions.training_rows(settings, fresh)
    older, other = production.same_question(older, baseline.schema)
    older = production.without_ids_of(older, held)
    if len(older) < (needed := settings.retrain.min_rows):
        too_few = message("drift.probe_other_question", n=other, left=len(older), needed=needed)
        return _not_compared(too_few) if len(older) + other >= needed else FreshModelProbe()
    windows = {"all": older, "sliding": older.iloc[-settings.retrain.sliding_rows :]}
    try:
        losses = backtest.losses(settings, source, windows, held, families=2)
    except DataError as error:  # logged rows of other columns: a strange row must not cost the verdict
        log.warning("no newer model could be tried: %s", error)
        return _not_compared(error.explanation)
    _, served = performance.scores(
        fresh["actual"].to_numpy(object),
        fresh["label"].to_numpy(object),
        predictions.probabilities_array(fresh, classes),
        classes,
    )
    gains = {
        name: (float((served - loss).mean()), float((served - loss).std(ddof=1) / math.sqrt(len(loss))))
        for name, loss in losses.items()
        if len(loss) == len(served) and math.isfinite(loss.sum())
    }
    return judge(settings, gains, len(served), earlier)


def _not_compared(why: Text) -> FreshModelProbe:
    return FreshModelProbe(problem=message("drift.probe_not_compared", why=why))


def judge(settings: Settings, gains: Gains, rows: int, earlier: Sequence[FreshModelProbe] = ()) -> FreshModelProbe:
    """By how much, at least, do quick models do better: on the newest labels alone, and over the newest windows?

    A gain that is small in each window is sure over several: the newest windows are taken together until they have
    `drift.label_rows` rows. The number of models is paid for (Bonferroni).

    Parameters
    ----------
    gains
        Model → mean gain and its standard error on `rows` new labels.
    earlier
        Of the same champion, newest first.
    """
    drift = settings.drift
    if not gains:
        return FreshModelProbe()
    windows = [(gains, rows)]
    for old in earlier:
        if old.rows and sum(n for _, n in windows) + old.rows <= drift.label_rows:
            windows.append((old.gains, old.rows))
    z = float(norm.ppf(1 - (1 - drift.confidence) / len(gains)))
    pooled = {name: _together(name, windows) for name in gains}
    best = max(pooled, key=lambda name: pooled[name][0] - z * pooled[name][1])
    gain, error = pooled[best]
    at_least = gain - z * error
    large = max(mean - z * error for mean, error in gains.values()) > drift.log_loss_margin
    # Whatever was gained before: what does not do better now would replace a model for nothing.
    challenger_beats_champion = large or (at_least > drift.renewal_gain and gains[best][0] > 0)
    reason = message(
        "drift.newer_model_better", gain=gain, n=sum(n for _, n in windows), least=at_least, sure=drift.confidence
    )
    return FreshModelProbe(
        rows=rows,
        gains=gains,
        model=best,
        windows=len(windows),
        gain=gain,
        gain_at_least=at_least,
        challenger_beats_champion=challenger_beats_champion,
        large=large,
        reasons=[reason] if challenger_beats_champion else [],
    )


def _together(name: str, windows: Sequence[tuple[Gains, int]]) -> tuple[float, float]:
    """Mean and standard error over windows, each counted by its rows; a window without this model is left out."""
    parts = [(*gains[name], n) for gains, n in windows if name in gains]
    n = sum(rows for *_, rows in parts)
    mean = sum(rows * gain for gain, _, rows in parts) / n
    return mean, math.sqrt(sum((rows * error) ** 2 for _, error, rows in parts)) / n
