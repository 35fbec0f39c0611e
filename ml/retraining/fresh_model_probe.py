"""The fresh-model probe: would a model of newer rows do better than the champion?

A drop below the reference cannot tell everything: the reference of a champion that was made in a hard time is no
high bar, and a model may hold its level while a newer one would do better. So the rows whose labels came since the
last check, all answered by the champion, are also answered by quick models of rows that were labelled before, and the
losses are compared row by row. It is a rehearsal, bounded in cost, not a retraining: no model of it is kept. What it
shows is added to what the checks since the promotion have shown (`ml.retraining.e_process`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml import predictions
from ml.data import production
from ml.drift import backtest, performance
from ml.drift.reference import Baseline
from ml.drift.verdict import FreshModelProbe, WindowRecord
from ml.errors import DataError
from ml.exploration.weights import effective_sample_size, weights
from ml.messages import Text, message
from ml.retraining import e_process, label_delay, window_policy, window_record
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def examine(
    settings: Settings,
    baseline: Baseline,
    before: FreshModelProbe | None = None,
    *,
    now: float,
    since: float | None,
    record: Mapping[str, WindowRecord] | None = None,
) -> FreshModelProbe:
    """Compare the champion with quick models on rows that none of them was trained on.

    Where there are rows enough and no comparison (other columns or classes, a snapshot that is not known), `problem`
    says why: the check tells it. Such rows are not counted later.

    Parameters
    ----------
    before
        What the newest check before found since the same promotion (`e_process` says why the newest alone, however many
        ran at a time); None: nothing yet.
    now, since
        Of the rows that the champion answered before and from these moments on, seconds, those whose first label
        came since `before`: at least `drift.min_labels` of a known class are needed, and at most the newest
        `retrain.backtest_rows` are judged. None: without a bound.
    record
        How the windows did up to the newest check of any champion (`ml.retraining.window_record`).
    """
    before = msgspec.structs.replace(before or FreshModelProbe(), record=dict(record or {}))
    fresh = predictions.window(
        database.engine(settings), since=since, until=now, rows=settings.retrain.backtest_rows,
        version=baseline.version, sha256=baseline.sha256, labelled_only=True, labels_after=before.labels_until,
    )  # fmt: skip
    known = fresh[fresh["actual"].isin(baseline.schema.classes)]
    if len(known) < settings.drift.min_labels:
        return _nothing_new(before)
    counted = msgspec.structs.replace(_nothing_new(before), labels_until=float(fresh["labelled_at"].max()))
    try:
        losses = _losses(settings, baseline, known, now)
    except DataError as error:  # logged rows of other columns: a strange row must not cost the verdict
        log.warning("no newer model could be tried: %s", error)
        losses = error.explanation
    if not isinstance(losses, dict):
        why = message("drift.probe_not_compared", why=losses) if losses else ""
        return msgspec.structs.replace(counted, problem=why)
    classes = baseline.schema.classes
    _, served = performance.scores(
        known["actual"].to_numpy(object),
        known["label"].to_numpy(object),
        predictions.probabilities_array(known, classes),
        classes,
    )
    chances = weights(known["label_propensity"], most=settings.explore.max_weight)
    largest = float(chances.rows.max(initial=0.0)) or 1.0
    return judge(settings, counted, served, losses, weight=chances.rows / largest)


def _nothing_new(before: FreshModelProbe) -> FreshModelProbe:
    """The sums are handed on; what they say was said when the labels came."""
    return msgspec.structs.replace(
        before, rows=0, gains={}, gain=None, challenger_beats_champion=False, problem="", reasons=[]
    )


def _losses(
    settings: Settings, baseline: Baseline, fresh: pd.DataFrame, now: float
) -> dict[str, NDArray[np.float64]] | Text:
    """Log-losses (n,) of the fresh rows by rehearsal; or why there are none, "" where it is too early for any."""
    source = backtest.base(settings, baseline.made_from, baseline.schema if baseline.made_from else None)
    if source is None:
        return message("drift.probe_no_snapshot")
    if source.schema.classes != baseline.schema.classes:
        return message("drift.probe_other_classes")
    before, late = float(fresh["labelled_at"].min()), label_delay.rows(settings, now=now)
    older = predictions.labelled(settings, labels_before=before, rows=settings.retrain.backtest_rows + late)
    older = older.iloc[: max(len(older) - late, 0)]
    held = predictions.training_rows(settings, fresh)
    older, other = production.same_question(older, baseline.schema)
    older = production.without_ids_of(older, held)
    if len(older) < (needed := settings.retrain.min_rows):
        if late and len(older) + other + late >= needed:
            return message("drift.probe_labels_late", late=late, left=len(older), needed=needed)
        too_few = message("drift.probe_other_question", n=other, left=len(older), needed=needed)
        return too_few if len(older) + other >= needed else ""
    began = window_policy.drift_began(settings, baseline.version, baseline.sha256)
    losses = backtest.losses(settings, source, window_policy.windows(settings, older, began), held)
    return {name: loss for name, loss in losses.items() if len(loss) == len(fresh)}


def judge(
    settings: Settings,
    before: FreshModelProbe,
    served: NDArray[np.float64],
    losses: Mapping[str, NDArray[np.float64]],
    *,
    weight: NDArray[np.float64] | None = None,
) -> FreshModelProbe:
    """Add the newest labels to the evidence since the promotion, and say whether it suffices.

    Parameters
    ----------
    served, losses
        (n,) log-losses of the champion and of each rehearsal on the newest labels.
    weight
        (n,) of the rows, by inverse propensity over the largest; None: they count alike.
    """
    if not losses:
        return before
    checks, rows = before.windows + 1, len(served)
    rehearsals = e_process.add(before.rehearsals, checks, served, losses, weight)
    evidence = e_process.evidence(rehearsals, checks, len(backtest.quick(settings)))
    model, labels = e_process.best(rehearsals), before.labels + rows
    gains = {name: _mean_and_error(served - loss, weight) for name, loss in losses.items()}
    beats = evidence > settings.drift.evidence_nats
    told = {"evidence": evidence, "asked": settings.drift.evidence_nats, "model": model, "n": labels}
    return msgspec.structs.replace(
        before,
        rows=rows,
        gains=gains,
        model=model,
        windows=checks,
        labels=labels,
        gain=gains[model][0] if model in gains else None,
        evidence=evidence,
        rehearsals=rehearsals,
        record=window_record.add(before.record, losses, weight, half_life=settings.retrain.backtest_rows),
        challenger_beats_champion=beats,
        reasons=[message("drift.newer_model_better", **told)] if beats else [],
    )


def _mean_and_error(gain: NDArray[np.float64], weight: NDArray[np.float64] | None) -> tuple[float, float]:
    w = np.ones(len(gain)) if weight is None or not weight.any() else weight
    mean = float(w @ gain / w.sum())
    variance = float(w @ (gain - mean) ** 2 / w.sum())
    return mean, math.sqrt(variance / max(effective_sample_size(w) - 1, 1.0))
