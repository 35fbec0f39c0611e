"""The metrics, each for many weightings of the same rows at once.

Every function takes `w`: (n_weightings, n_rows), and returns (n_weightings,) float64, NaN where the
metric does not exist (a ranking metric with one class only). Definitions are scikit-learn's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.decision import Floats

Array = npt.NDArray[np.float64]

# Floors of a probability in the log-loss: what a row whose label was held impossible counts. All are our choice.
REPORT_FLOOR = 1e-15  # 34.5 nats: metrics that are reported, and the search
GATE_FLOOR = 1e-6  # 13.8 nats: a single absurd answer does not decide a promotion
DRIFT_FLOOR = 1e-4  # 9.2 nats: on few labels, one confident mistake does not decide a mean
BINS = 15  # of the calibration error, equal width. Guo et al. 2017

LIMITS: dict[str, tuple[float, float]] = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0)}


def log_losses(p: Floats, y: npt.NDArray[np.int64], floor: float = REPORT_FLOOR) -> Array:
    """Log-loss (cross-entropy) of each row, in nats.

    Parameters
    ----------
    p
        (n_rows, n_classes) probabilities.
    y
        (n_rows,) class codes.
    floor
        Smaller probabilities count as this: `REPORT_FLOOR`, `GATE_FLOOR`, `DRIFT_FLOOR`, or
        `ml.decision.FLOAT32_FLOOR`.

    Returns
    -------
    (n_rows,) float64 in [0, -ln(floor)].

    >>> log_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1, 1]), GATE_FLOOR).round(2)
    array([ 0.69, 13.82])
    """
    return log_losses_of_label(np.asarray(p)[np.arange(len(y)), y], floor)


def log_losses_of_label(p: Floats, floor: float = REPORT_FLOOR) -> Array:
    """Log-loss of each row from the probability (n_rows,) of its own label; see `log_losses`."""
    return np.asarray(-np.log(np.clip(np.asarray(p, dtype=np.float64), floor, 1.0)))


def brier_scores(p: Floats, y: npt.NDArray[np.int64]) -> Array:
    """Per row. Two classes: (p - y)²; more: the sum of squares over the classes (Brier 1950)."""
    hot = np.zeros(p.shape)
    hot[np.arange(len(y)), y] = 1
    squares = ((p - hot) ** 2).sum(axis=1)
    return np.asarray(squares / 2 if p.shape[1] == 2 else squares)


def mean(w: Floats, values: Floats) -> Array:
    """Weighted mean of a value per row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((w @ values) / w.sum(axis=1), dtype=np.float64)


def confusion(w: Floats, y: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], n_classes: int) -> Array:
    """Confusion matrix of each weighting: the weight of each (true, answered) pair.

    Parameters
    ----------
    w
        (n_weightings, n_rows).
    y, codes
        (n_rows,) class codes: true, and answered.

    Returns
    -------
    (n_weightings, n_classes, n_classes).

    >>> confusion(np.ones((1, 3)), np.array([0, 1, 1]), np.array([0, 1, 0]), 2)[0]
    array([[1., 0.],
           [1., 1.]])
    """
    cell = y * n_classes + codes
    order = np.argsort(cell, kind="stable")
    present, starts = np.unique(cell[order], return_index=True)
    out = np.zeros((len(w), n_classes * n_classes))
    out[:, present] = np.add.reduceat(w[:, order], starts, axis=1)
    return out.reshape(len(w), n_classes, n_classes)


def precision_recall_f1(table: Array) -> tuple[Array, Array, Array]:
    """Each (n_weightings, n_classes) from `confusion`; 0 where a class is never answered or never true."""
    hit = np.einsum("bcc->bc", table)
    answered, true = table.sum(axis=1), table.sum(axis=2)
    precision = hit / np.maximum(answered, 1e-12)
    recall = hit / np.maximum(true, 1e-12)
    return precision, recall, 2 * hit / np.maximum(answered + true, 1e-12)


def ranking(
    w: Floats, score: Floats, is_positive: npt.NDArray[np.bool_], *, max_steps: int | None = None
) -> tuple[Array, Array]:
    """ROC-AUC and average precision (PR-AUC) of each weighting, ties handled as scikit-learn does.

    Parameters
    ----------
    w
        (n_weightings, n_rows).
    score
        (n_rows,) the larger, the likelier positive.
    is_positive
        (n_rows,).
    max_steps
        Neighbouring scores are tied until at most so many steps of the curves are left: for resamples, whose scatter it
        hardly changes and whose time it bounds.

    Returns
    -------
    Each (n_weightings,), NaN where only one of the two classes has weight.
    """
    order = np.argsort(-score, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(score[order])) + 1])
    if max_steps is not None and len(starts) > max_steps:
        starts = starts[np.unique(np.linspace(0, len(starts) - 1, max_steps).astype(np.int64))]
    gained, above = (
        np.add.reduceat(w[:, order] * side[order].astype(w.dtype), starts, axis=1).astype(np.float64)
        for side in (is_positive, ~is_positive)
    )
    tp, fp = gained.cumsum(axis=1), above.cumsum(axis=1)
    positives, negatives = tp[:, -1], fp[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        area = ((tp - gained / 2) * above).sum(axis=1) / (positives * negatives)
        precision = np.where(tp + fp > 0, tp / (tp + fp), 0)
        average = (gained * precision).sum(axis=1) / positives
    nothing = (positives == 0) | (negatives == 0)
    return np.where(nothing, np.nan, area), np.where(nothing, np.nan, average)


def calibration_error(w: Floats, confidence: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Expected calibration error of each weighting over 15 bins of equal width: without its bias, and as it is defined.

    The plain mean of |d| over the bins, d being a bin's distance of the mean probability from the share that came,
    grows with the noise of d: a perfectly calibrated model never has 0. Without bias |d| is estimated by
    E[(d + e) sign(d - e)] with e drawn as the noise of d. The two factors are independent, so the mean is 0 where d is
    only noise, and |d| where the noise is small; between the two it is too small, as the plain one is too large.

    Parameters
    ----------
    w
        (n_weightings, n_rows).
    confidence
        (n_rows,) probability that was given.
    correct
        (n_rows,) whether it came true.

    Returns
    -------
    Each (n_weightings,) at most 1; the first below 0 as often as above where the model is calibrated.

    **Source** Guo et al. 2017, "On calibration of modern neural networks"; its bias: Kumar et al. 2019, "Verified
    uncertainty calibration"; the split of a normal variable: Neufeld et al. 2024, "Data thinning".
    """
    from scipy.special import erf

    unbiased, plain = np.zeros(len(w)), np.zeros(len(w))
    bins = _bins(confidence)
    for b in np.unique(bins):
        member = bins == b
        distance = w[:, member] @ (correct[member] - confidence[member])
        variance = np.maximum(confidence[member] * (1 - confidence[member]), 0)
        noise = np.sqrt((w[:, member] ** 2) @ variance)
        z = distance / np.maximum(noise, 1e-12)
        unbiased += distance * erf(z / np.sqrt(2)) - np.sqrt(2 / np.pi) * noise * np.exp(-(z**2) / 2)
        plain += np.abs(distance)
    total = np.maximum(w.sum(axis=1), 1e-12)
    return np.asarray(unbiased / total), np.asarray(plain / total)


def calibration_p_value(
    weight: Floats, confidence: Floats, correct: npt.NDArray[np.bool_], *, draws: int = 999, seed: int = 0
) -> float:
    """p-value of "the probabilities are true": how often labels drawn from them lie as far from them as the real ones.

    The distance is the plain calibration error over 15 bins, which suits a comparison of like with like.

    Parameters
    ----------
    weight, confidence, correct
        (n_rows,) each.
    draws
        Times that labels are drawn; the smallest p-value is 1 / (draws + 1).

    >>> calibration_p_value(np.ones(100), np.full(100, 0.8), np.arange(100) < 50)
    0.001

    **Source** consistency resampling: Bröcker and Smith 2007; Vaicenavicius et al. 2019.
    """
    rng = np.random.default_rng(seed)
    real, drawn = 0.0, np.zeros(draws)
    bins = _bins(confidence)
    for b in np.unique(bins):
        member = bins == b
        w, p = weight[member], confidence[member]
        real += abs(w @ (correct[member] - p))
        drawn += np.abs([w @ ((rng.random(len(p)) < p) - p) for _ in range(draws)])
    return float((1 + np.count_nonzero(drawn >= real - 1e-9)) / (draws + 1))


def _bins(confidence: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def no_skill(shares: Floats, positive: int) -> dict[str, float]:
    """What each metric has without any column: the class shares as probabilities, and the best answer that is constant.

    Parameters
    ----------
    shares
        (n_classes,) of the rows, summing to 1.
    positive
        Class number of the positive label; used with two classes, whose precision, F1 and PR-AUC are its own.

    Returns
    -------
    Without "recall", which a constant answer has at any value, and "ece", which is 0.

    >>> found = no_skill(np.array([0.75, 0.25]), 1)
    >>> {name: round(value, 3) for name, value in found.items() if name in ("accuracy", "f1", "pr_auc")}
    {'accuracy': 0.75, 'pr_auc': 0.25, 'f1': 0.4}
    """
    shares = np.asarray(shares, dtype=np.float64)
    n, common = len(shares), float(shares.max())
    spread = float((shares * (1 - shares)).sum())
    share = float(shares[positive]) if n == 2 else 1 / n
    macro = 2 * common / (1 + common) / n
    return {
        "accuracy": common,
        "log_loss": float(-(shares * np.log(np.maximum(shares, REPORT_FLOOR))).sum()),
        "brier": spread / 2 if n == 2 else spread,
        "roc_auc": 0.5,
        "pr_auc": share,
        "precision": share if n == 2 else common / n,
        "f1": 2 * share / (1 + share) if n == 2 else macro,
        "macro_f1": macro,
    }


def limits(name: str) -> tuple[float, float]:
    """The range a metric can have."""
    return LIMITS.get(name, (0.0, 1.0))
