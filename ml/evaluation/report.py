"""The evaluation: all that is measured of a model on one set of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml.decision import Decision, Floats, positive_code
from ml.evaluation import metrics
from ml.evaluation.bootstrap import CONFIDENCE, Interval, Resamples, interval
from ml.evaluation.slices import Slice, slice_metrics
from ml.schema.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, npt.NDArray[np.float64]]

# Of all metrics those that are estimated without labels; the calibration error is 0 where probabilities are true.
HEADLINE = ("accuracy", "log_loss", "brier", "precision", "recall", "f1", "macro_f1", "roc_auc", "pr_auc")
PLAIN = "ece_plain"  # gives the calibration error's upper limit and is not shown
STEPS = 256  # of the ROC and PR curves of a resample


class ClassMetrics(msgspec.Struct, frozen=True):
    """One class against the rest; `support` is how many rows are of it."""

    precision: Interval
    recall: Interval
    f1: Interval
    roc_auc: Interval
    pr_auc: Interval
    support: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All metrics of a model on one set of rows, with their intervals: what metrics.json begins with.

    A metric that does not exist on these rows (ROC-AUC of one class) has the value None. `no_skill` is what a metric
    has without any column, `at_half` what it has with the threshold at 1/2, empty where that is the threshold or there
    is none. `confusion` is true by answered. `calibration_p_value` is that of "the probabilities are true", on at most
    10,000 of the rows.
    """

    rows: int
    confidence: float
    n_bootstrap: int
    classes: list[str]
    positive_label: str
    threshold: float | None
    metrics: dict[str, Interval]
    no_skill: dict[str, float] = {}
    at_half: dict[str, float] = {}
    calibration_p_value: float
    per_class: dict[str, ClassMetrics]
    slices: list[Slice]
    confusion: list[list[float]]


def evaluate(
    predict_proba: Callable[[Any], Floats] | Floats,
    X: pd.DataFrame | None,
    y: npt.NDArray[np.int64],
    schema: Schema,
    *,
    decision: Decision,
    n_bootstrap: int = 1_000,
    seed: int = 0,
    weight: Floats | None = None,
    slices: bool = True,
) -> Evaluation:
    """Metrics with 95% bootstrap intervals: over all rows, per class and per slice.

    Parameters
    ----------
    predict_proba
        X → (n_rows, n_classes) probabilities as they are served, so calibrated already; or the array itself.
    X
        (n_rows, n_columns) canonical frame; None skips the slices when an array is given.
    y
        (n_rows,) class codes.
    decision
        Turns probabilities into labels; its calibration is *not* applied again here.
    n_bootstrap
        Resamples behind each interval (slices use at most 200 of them).
    weight
        (n_rows,) sample weights.

    slices
        Whether to measure the slices too.

    Raises
    ------
    ValueError
        No row, or probabilities that do not fit the labels and classes.

    Notes
    -----
    With two classes precision, recall, F1, ROC-AUC and PR-AUC are the positive class's; with more they
    are means over the classes (macro). The calibration error is that of the positive class's probability
    with two classes, and of the most probable class's otherwise.
    """
    p = np.asarray(predict_proba(X) if callable(predict_proba) else predict_proba, dtype=np.float64)
    y = np.asarray(y, dtype=np.int64)
    if len(p) != len(y) or p.shape[1] != len(schema.classes) or not len(y):
        raise ValueError(
            f"evaluate: expected ({len(y)}, {len(schema.classes)}) probabilities of ≥ 1 row, got {p.shape}"
        )
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    codes = decision.codes(p, schema)
    draws = Resamples(weight, n_bootstrap, seed)
    full = _measure(weight[None, :], p, y, codes, schema)
    drawn = (p[draws.rows], y[draws.rows], codes[draws.rows], schema, STEPS)
    base, boot = _measure(weight[None, draws.rows], *drawn), _measure(draws.weights, *drawn)
    overall, per_class = _with_intervals(full, base, boot, schema)
    table = metrics.confusion(weight[None, :], y, codes, len(schema.classes))[0]
    return Evaluation(
        rows=len(y),
        confidence=CONFIDENCE,
        n_bootstrap=n_bootstrap,
        classes=list(schema.classes),
        positive_label=schema.positive_label,
        threshold=decision.threshold,
        metrics=overall,
        no_skill=metrics.no_skill(table.sum(axis=1) / table.sum(), positive_code(schema)),
        at_half=_at_half(weight[None, :], p, y, schema, decision),
        calibration_p_value=metrics.calibration_p_value(
            weight[draws.rows], *_confidence(p[draws.rows], y[draws.rows], schema), seed=seed
        ),
        per_class={
            label: ClassMetrics(**per_class[label], support=int((y == code).sum()))
            for code, label in enumerate(schema.classes)
        },
        slices=slice_metrics(p, y, codes, X, schema, draws, weight) if slices and X is not None else [],
        confusion=table.tolist(),
    )


def headline(
    p: Floats,
    y: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    schema: Schema,
    *,
    weight: Floats | None = None,
    costs: Sequence[Sequence[float]] = (),
) -> dict[str, float]:
    """The headline metrics by name, without intervals, and `cost`, the mean of a row; those that exist.

    Parameters
    ----------
    p
        (n_rows, n_classes) probabilities as they are served.
    y, codes
        (n_rows,) class codes: true, and answered.
    weight
        (n_rows,); None: all alike.
    costs
        costs[true class][answered class]; empty: `cost` is left out.
    """
    w = np.ones((1, len(y))) if weight is None else np.asarray(weight, dtype=np.float64)[None, :]
    measured = _measure(w, np.asarray(p, dtype=np.float64), y, codes, schema)
    if len(costs):
        measured["cost"] = metrics.mean(w, np.asarray(costs, dtype=np.float64)[y, codes])
    named = {name: float(measured[name][0]) for name in (*HEADLINE, "cost") if name in measured}
    return {name: value for name, value in named.items() if np.isfinite(value)}


def expected(
    p: Floats,
    codes: npt.NDArray[np.int64],
    schema: Schema,
    *,
    weight: Floats | None = None,
    costs: Sequence[Sequence[float]] = (),
) -> dict[str, float]:
    """`headline` without labels: what it comes to where the probabilities are true.

    Each row stands once for each class, with the weight of its probability: the cells of the confusion matrix are then
    the expected ones, and every metric is that of the expected rows.

    Parameters
    ----------
    p, codes, weight, costs
        As `headline`; `codes` are those that were answered.

    >>> schema = Schema(target="y", classes=("no", "yes"), positive_label="yes", columns=())
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> found = expected(p, np.array([0, 1, 1]), schema, costs=[[0.0, 1.0], [5.0, 0.0]])
    >>> {name: round(found[name], 3) for name in ("accuracy", "precision", "recall", "cost")}
    {'accuracy': 0.767, 'precision': 0.7, 'recall': 0.933, 'cost': 0.367}

    **Source** confidence-based performance estimation, NannyML; Guillory et al. 2021.
    """
    p = np.asarray(p, dtype=np.float64)
    n, classes = p.shape
    w = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    every = np.tile(np.arange(classes), n)
    return headline(
        np.repeat(p, classes, axis=0), every, np.repeat(codes, classes), schema,
        weight=(p * w[:, None]).ravel(), costs=costs,
    )  # fmt: skip


def _measure(
    w: Floats,
    p: Floats,
    y: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    schema: Schema,
    max_steps: int | None = None,
) -> Values:
    """Every metric for every weighting; names of per-class ones are `<metric>/<class number>`."""
    n_classes = len(schema.classes)
    out: Values = {
        "accuracy": metrics.mean(w, codes == y),
        "log_loss": metrics.mean(w, metrics.log_losses(p, y)),
        "brier": metrics.mean(w, metrics.brier_scores(p, y)),
    }
    prf = metrics.precision_recall_f1(metrics.confusion(w, y, codes, n_classes))
    for name, values in zip(("precision", "recall", "f1"), prf, strict=True):
        out |= {f"{name}/{c}": values[:, c] for c in range(n_classes)}
    for c in range(n_classes):
        # The two classes of a binary problem mirror each other's ROC curve, not their PR curve.
        out[f"roc_auc/{c}"], out[f"pr_auc/{c}"] = metrics.ranking(w, p[:, c], y == c, max_steps=max_steps)
    if n_classes == 2:
        positive = positive_code(schema)
        out |= {name: out[f"{name}/{positive}"] for name in ("precision", "recall", "f1", "roc_auc", "pr_auc")}
    else:
        for name in ("precision", "recall", "f1", "roc_auc", "pr_auc"):
            out[name] = np.mean([out[f"{name}/{c}"] for c in range(n_classes)], axis=0)
    out["ece"], out[PLAIN] = metrics.calibration_error(w, *_confidence(p, y, schema))
    out["macro_f1"] = np.mean([out[f"f1/{c}"] for c in range(n_classes)], axis=0)
    return out


def _at_half(w: Floats, p: Floats, y: npt.NDArray[np.int64], schema: Schema, decision: Decision) -> dict[str, float]:
    """What the metrics that depend on the threshold have at 1/2; empty where that is the threshold."""
    if decision.threshold is None or len(schema.classes) != 2 or abs(decision.threshold - 0.5) < 1e-6:
        return {}
    codes = msgspec.structs.replace(decision, threshold=0.5).codes(p, schema)
    prf = metrics.precision_recall_f1(metrics.confusion(w, y, codes, 2))
    precision, recall, f1 = (float(values[0, positive_code(schema)]) for values in prf)
    return {
        "accuracy": float(metrics.mean(w, codes == y)[0]),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "macro_f1": float(prf[2].mean()),
    }


def _confidence(p: Floats, y: npt.NDArray[np.int64], schema: Schema) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The probability of each row that calibration is measured on, and whether it came true."""
    if len(schema.classes) == 2:
        positive = positive_code(schema)
        return p[:, positive], y == positive
    return p.max(axis=1), p.argmax(axis=1) == y


def _with_intervals(
    full: Values, base: Values, boot: Values, schema: Schema
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    overall: dict[str, Interval] = {}
    per_class: dict[str, dict[str, Interval]] = {label: {} for label in schema.classes}
    for key, value in full.items():
        name, _, code = key.partition("/")
        # A distance's replicates have more noise than it, so they are centred on their own mean.
        around = np.nanmean(boot[key]) if name in ("ece", PLAIN) else base[key][0]
        measured = interval(float(value[0]), float(around), boot[key], *metrics.limits(name))
        if code:
            per_class[schema.classes[int(code)]][name] = measured
        else:
            overall[name] = measured
    # What has no bias is rather too small, and the plain one too large: together they hold the truth.
    overall["ece"] = msgspec.structs.replace(overall["ece"], high=overall.pop(PLAIN).high)
    return overall, per_class
