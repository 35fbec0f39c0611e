"""How good the champion still is: measured where labels have come, estimated where they have not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.drift.reference import Baseline
from ml.drift.verdict import Estimate, Performance
from ml.evaluation import two_sample
from ml.evaluation.bounds import wilson
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
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
    found = Performance(labels=len(right), unknown_labels=len(actual) - len(right))
    if found.unknown_labels:
        found.reasons.append(f"{found.unknown_labels} labels are none of the model's classes and were left out")
    if len(right):
        found.accuracy, found.log_loss = float(right.mean()), float(loss.mean())
        found.accuracy_low, found.accuracy_high = wilson(float(right.sum()), len(right))
    if len(before_right):
        found.reference_accuracy, found.reference_log_loss = float(before_right.mean()), float(before_loss.mean())
    found.judged = len(right) >= drift.min_labels and len(before_right) >= drift.min_labels
    if found.judged:
        _judge(found, before_right, right, before_loss, loss, drift, looks)
    return found


def _judge(
    found: Performance, before_right: Any, right: Any, before_loss: Any, loss: Any, drift: Drift, looks: int
) -> None:
    each = 1 - (1 - drift.confidence) / (2 * looks)  # accuracy and log-loss share it as well
    fell = two_sample.drop_lower_bound(before_right, right, each, shares=True)
    rose = two_sample.drop_lower_bound(-before_loss, -loss, each)
    found.accuracy_drop_at_least, found.log_loss_rise_at_least = fell, rose
    found.degraded = fell > drift.accuracy_margin or rose > drift.log_loss_margin
    found.large = fell > drift.large_drop
    if fell > drift.accuracy_margin:
        found.reasons.append(
            f"accuracy fell from {found.reference_accuracy:.1%} to {found.accuracy:.1%} on {len(right)} labelled rows "
            f"(by at least {fell:.1%}, {drift.confidence:.0%} sure)"
        )
    if rose > drift.log_loss_margin:
        found.reasons.append(
            f"log-loss rose from {found.reference_log_loss:.3f} to {found.log_loss:.3f} on {len(right)} labelled rows "
            f"(by at least {rose:.3f}, {drift.confidence:.0%} sure)"
        )


def combine(fresh: Performance, lasting: Performance) -> Performance:
    """One finding of two samples: the labels that came since the last check, and the newest many.

    The fresh ones notice a sudden drop, the many a slow one that no single window could show.
    """
    if not fresh.judged:
        lasting.judged = False  # nothing new was learnt, whatever the many say
        return lasting
    if lasting.degraded and not fresh.degraded:
        fresh.degraded = True
        fresh.reasons += [reason for reason in lasting.reasons if reason not in fresh.reasons]
    fresh.large = fresh.large or lasting.large
    return fresh


def estimate(baseline: Baseline, probabilities: Any, drift: Drift) -> Estimate:
    """Expected accuracy from the scores (confidence-based performance estimation), corrected on the reference.

    The expected accuracy of a calibrated model is the mean of its largest probability. What the model is
    over- or underconfident by on the reference is assumed to hold. Source: NannyML's CBPE; Guillory et al. 2021.
    """
    if not len(baseline.probabilities) or not len(probabilities):
        return Estimate()
    before, now = baseline.probabilities.max(axis=1), np.asarray(probabilities).max(axis=1)
    found = Estimate(drop_at_least=two_sample.drop_lower_bound(before, now, drift.confidence))
    right, _ = scores(baseline.actual, baseline.label, baseline.probabilities, baseline.schema.classes)
    if len(right):
        found.accuracy = float(np.clip(now.mean() + right.mean() - before.mean(), 0.0, 1.0))
    found.dropped = (found.drop_at_least or 0.0) > drift.accuracy_margin
    if found.dropped:
        found.reasons.append(
            f"estimate, not a measurement: from the scores alone, accuracy fell by at least {found.drop_at_least:.1%}"
        )
    return found
