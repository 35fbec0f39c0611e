"""Performance, how good the champion still is: measured where labels have come, estimated where they have not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ml.drift.reference import Baseline
from ml.drift.verdict import Estimate, Estimated, Performance
from ml.evaluation import metrics, report, two_sample
from ml.evaluation.bounds import wilson
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses_of_label
from ml.exploration.weights import Weights, effective_sample_size
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
    baseline: Baseline,
    actual: Any,
    label: Any,
    probabilities: Any,
    drift: Drift,
    *,
    looks: int = 1,
    chances: Weights | None = None,
) -> Performance:
    """Accuracy and log-loss on labelled rows against those on the reference, with a one-sided bound of the drop.

    Degraded: with `drift.confidence` (split over the two measures), accuracy fell by more than
    `drift.accuracy_margin`, or log-loss rose by more than `drift.log_loss_margin`.

    Parameters
    ----------
    looks
        How many samples of labels are judged in the same check: they share the one chance of a false alarm.
    chances
        Inverse-propensity weights of the rows, where they were logged: means are weighed by them, and rows that had no
        chance of a label are left out. None: all rows alike.
    """
    classes = baseline.schema.classes
    unknown = len(actual) - int(np.isin(actual, classes).sum())
    if chances is not None:
        some = chances.used
        actual, label, probabilities = actual[some], label[some], probabilities[some]
    right, loss = scores(actual, label, probabilities, classes)
    before_right, before_loss = scores(baseline.actual, baseline.label, baseline.probabilities, classes)
    weight = np.ones(len(right))
    if chances is not None:
        weight = chances.rows[chances.used][np.isin(actual, classes)]
    effective = effective_sample_size(weight)
    accuracy = float(weight @ right / weight.sum()) if len(right) else None
    low, high = wilson(accuracy * effective, effective) if accuracy is not None else (None, None)
    measured = Performance(
        labels=len(right),
        effective_labels=None if chances is None or chances.uniform else effective,
        unknown_labels=unknown,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        log_loss=float(weight @ loss / weight.sum()) if len(right) else None,
        reference_accuracy=float(before_right.mean()) if len(before_right) else None,
        reference_log_loss=float(before_loss.mean()) if len(before_right) else None,
        judged=len(right) >= drift.min_labels and len(before_right) >= drift.min_labels,
        reasons=[message("drift.unknown_labels", n=unknown)] if unknown else [],
    )
    if not measured.judged:
        return measured
    each = 1 - (1 - drift.confidence) / (2 * looks)  # accuracy and log-loss share it as well
    fell = two_sample.drop_lower_bound(before_right, right, each, shares=True, weight=weight)
    rose = two_sample.drop_lower_bound(-before_loss, -loss, each, weight=weight)
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


class Answered(NamedTuple):
    """Rows as they were answered: probabilities (n, classes), labels (n,), and what turned out to be true (n,)."""

    probabilities: Any
    label: Any
    actual: Any = None
    weight: Any = None  # (n,) by inverse propensity; None: all alike


def estimate(
    baseline: Baseline,
    probabilities: Any,
    drift: Drift,
    *,
    label: Any = None,
    labelled: Answered | None = None,
    costs: Sequence[Sequence[float]] = (),
) -> Estimate:
    """Expected performance from the scores (confidence-based performance estimation), corrected on the reference.

    The expected accuracy of a calibrated model is the mean of its largest probability; what the other metrics and the
    costs come to, `ml.evaluation.report.expected` says. What the model is over- or underconfident by on the reference
    is assumed to hold. Source: NannyML's CBPE; Guillory et al. 2021.

    Parameters
    ----------
    probabilities, label
        (n, classes) of today's rows, and (n,) the answers; without these accuracy alone is guessed.
    labelled
        The champion's rows with a label: the same is guessed of them, to be held against what they show.
    costs
        costs[true class][answered class]; empty: money is not guessed.
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
        metrics={} if label is None else _estimated(baseline, Answered(probabilities, label), labelled, costs),
        labels=0 if label is None or labelled is None else len(labelled.actual),
        reasons=[message("drift.estimated_drop", least=drop)] if dropped else [],
    )


def _estimated(
    baseline: Baseline, now: Answered, labelled: Answered | None, costs: Sequence[Sequence[float]]
) -> dict[str, Estimated]:
    before = Answered(baseline.probabilities, baseline.label, baseline.actual)
    reference = _measured(baseline, before, costs)
    # What a guess on the reference is off by.
    off = {
        name: reference[name] - value for name, value in _guessed(baseline, before, costs).items() if name in reference
    }
    of_now = _guessed(baseline, now, costs)
    guessed = _guessed(baseline, labelled, costs) if labelled is not None else {}
    measured = _measured(baseline, labelled, costs) if labelled is not None else {}

    def corrected(name: str, value: float) -> float:
        low, high = (-np.inf, np.inf) if name == "cost" else metrics.limits(name)
        return float(np.clip(value + off[name], low, high))

    return {
        name: Estimated(
            value=corrected(name, of_now[name]),
            reference=reference[name],
            guessed=corrected(name, guessed[name]) if name in guessed and name in measured else None,
            measured=measured[name] if name in guessed and name in measured else None,
        )
        for name in off
        if name in of_now
    }


def _guessed(baseline: Baseline, rows: Answered, costs: Sequence[Sequence[float]]) -> dict[str, float]:
    codes, known = _codes(baseline, rows.label)
    p = np.nan_to_num(np.asarray(rows.probabilities, dtype=np.float64)[known])
    weight = None if rows.weight is None else rows.weight[known]
    return report.expected(p, codes[known], baseline.schema, weight=weight, costs=costs) if len(p) else {}


def _measured(baseline: Baseline, rows: Answered, costs: Sequence[Sequence[float]]) -> dict[str, float]:
    (codes, known), (y, true) = _codes(baseline, rows.label), _codes(baseline, rows.actual)
    some = known & true
    p = np.nan_to_num(np.asarray(rows.probabilities, dtype=np.float64)[some])
    weight = None if rows.weight is None else rows.weight[some]
    if not len(p):
        return {}
    return report.headline(p, y[some], codes[some], baseline.schema, weight=weight, costs=costs)


def _codes(baseline: Baseline, labels: Any) -> tuple[Any, Any]:
    import pandas as pd

    classes = pd.Index(baseline.schema.classes, dtype=object)
    codes = classes.get_indexer(pd.Index(np.asarray(labels, dtype=object), dtype=object))
    return codes.astype(np.int64), codes >= 0
