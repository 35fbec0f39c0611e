"""Performance, how good the champion still is: measured where labels have come, estimated where they have not."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ml.drift.reference import Baseline
from ml.drift.verdict import Estimate, Performance
from ml.evaluation import two_sample
from ml.evaluation.bounds import wilson
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.messages import Message, message
from ml.settings import Drift


def scores(actual: Any, label: Any, probabilities: Any, classes: tuple[str, ...]) -> tuple[Any, Any]:
    """Per row: right (1.0) or wrong (0.0), and log-loss in nats, for rows with a known label.

    Parameters
    ----------
    actual, label: (n,) object of str. probabilities: (n, n_classes), columns in the order of `classes`.
    """
    import pandas as pd

    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(actual, dtype=object))
    known = codes >= 0
    p = np.asarray(probabilities, dtype=np.float64)[known, codes[known]]
    right = np.asarray(actual, dtype=object)[known] == np.asarray(label, dtype=object)[known]
    return right.astype(np.float64), log_losses_of_label(np.nan_to_num(p), DRIFT_FLOOR)


def measure(
    baseline: Baseline, actual: Any, label: Any, probabilities: Any, drift: Drift, *, looks: int = 1
) -> Performance:
    """Accuracy and log-loss on labelled rows against those on the reference, with a one-sided bound of the drop.

    Degraded: with `drift.confidence` (split over the two measures), accuracy fell by more than
    `drift.accuracy_margin`, or log-loss rose by more than `drift.log_loss_margin`.

    Parameters
    ----------
    looks
        How many samples of labels are judged in the same check: they share the one chance of a false alarm.
    """
    classes = baseline.schema.classes
    right, loss = scores(actual, label, probabilities, classes)
    before_right, before_loss = scores(baseline.actual, baseline.label, baseline.probabilities, classes)
    low, high = wilson(float(right.sum()), len(right)) if len(right) else (None, None)
    unknown = len(actual) - len(right)
    measured = Performance(
        labels=len(right),
        unknown_labels=unknown,
        accuracy=float(right.mean()) if len(right) else None,
        accuracy_low=low,
        accuracy_high=high,
        log_loss=float(loss.mean()) if len(right) else None,
        reference_accuracy=float(before_right.mean()) if len(before_right) else None,
        reference_log_loss=float(before_loss.mean()) if len(before_right) else None,
        judged=len(right) >= drift.min_labels and len(before_right) >= drift.min_labels,
        reasons=[message("drift.unknown_labels", n=unknown)] if unknown else [],
    )
    return _judged(measured, before_right, right, before_loss, loss, drift, looks) if measured.judged else measured


def _judged(
    measured: Performance, before_right: Any, right: Any, before_loss: Any, loss: Any, drift: Drift, looks: int
) -> Performance:
    each = 1 - (1 - drift.confidence) / (2 * looks)  # accuracy and log-loss share it as well
    fell = two_sample.drop_lower_bound(before_right, right, each, shares=True)
    rose = two_sample.drop_lower_bound(-before_loss, -loss, each)
    return msgspec.structs.replace(
        measured,
        accuracy_drop_at_least=fell,
        log_loss_rise_at_least=rose,
        degraded=fell > drift.accuracy_margin or rose > drift.log_loss_margin,
        large=fell > drift.large_drop,
        reasons=[*measured.reasons, *_reasons(measured, fell, rose, drift)],
    )


def _reasons(measured: Performance, fell: float, rose: float, drift: Drift) -> list[Message]:
    reasons, known = [], {"n": measured.labels, "sure": drift.confidence}
    if fell > drift.accuracy_margin:
        accuracy = {"before": measured.reference_accuracy, "now": measured.accuracy}
        reasons.append(message("drift.accuracy_fell", least=fell, **accuracy, **known))
    if rose > drift.log_loss_margin:
        loss = {"before": measured.reference_log_loss, "now": measured.log_loss}
        reasons.append(message("drift.log_loss_rose", least=rose, **loss, **known))
    return reasons


def combine(fresh: Performance, lasting: Performance) -> Performance:
    """One finding of two samples: the labels that came since the last check, and the newest many.

    The fresh ones notice a sudden drop, the many a slow one that no single window could show.
    """
    if not fresh.judged:
        return msgspec.structs.replace(lasting, judged=False)  # nothing new was learnt, whatever the many say
    reasons = fresh.reasons
    if lasting.degraded and not fresh.degraded:
        reasons = [*reasons, *(reason for reason in lasting.reasons if reason not in reasons)]
    return msgspec.structs.replace(
        fresh, degraded=fresh.degraded or lasting.degraded, large=fresh.large or lasting.large, reasons=reasons
    )


def estimate(baseline: Baseline, probabilities: Any, drift: Drift) -> Estimate:
    """Expected accuracy from the scores (confidence-based performance estimation), corrected on the reference.

    The expected accuracy of a calibrated model is the mean of its largest probability. What the model is
    over- or underconfident by on the reference is assumed to hold. Source: NannyML's CBPE; Guillory et al. 2021.

    Parameters
    ----------
    probabilities
        (n, classes) of today's rows, as they were answered.
    """
    if not len(baseline.probabilities) or not len(probabilities):
        return Estimate()
    before, now = baseline.probabilities.max(axis=1), np.asarray(probabilities).max(axis=1)
    drop = two_sample.drop_lower_bound(before, now, drift.confidence)
    right, _ = scores(baseline.actual, baseline.label, baseline.probabilities, baseline.schema.classes)
    dropped = drop > drift.accuracy_margin
    return Estimate(
        accuracy=float(np.clip(now.mean() + right.mean() - before.mean(), 0.0, 1.0)) if len(right) else None,
        drop_at_least=drop,
        dropped=dropped,
        reasons=[message("drift.estimated_drop", least=drop)] if dropped else [],
    )
