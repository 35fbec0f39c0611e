"""Choosing and fitting a calibration on rows that the model was not trained on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ml.decision import FLOAT32_FLOOR, Calibration, Floats, softmax
from ml.evaluation.metrics import log_losses

Kind = Literal["none", "temperature", "sigmoid", "beta"]
KINDS: tuple[Kind, ...] = ("none", "temperature", "sigmoid", "beta")  # from the simplest

# Pull of every scale towards 1 and every bias towards 0, as rows of weight: a prior that the model is
# calibrated, which keeps perfectly separated rows from sending the scale to infinity. Our choice.
PRIOR_ROWS = 2.0
FOLDS = 5  # of the cross-fit; customary
TINY = 1e-300  # keeps the logarithm finite while the optimiser looks around
MAX_ROWS = 50_000  # more rows do not move two or three parameters; a random part of them is used


def calibrate(
    probabilities: Floats, y: npt.NDArray[np.int64], *, weight: Floats | None = None, seed: int = 0
) -> Calibration:
    """The simplest calibration that is as good as the best, by cross-validated log-loss.

    A kind replaces a simpler one only when its cross-validated log-loss is lower by more than one
    standard error of the paired difference: a small validation set keeps what the model says.

    Parameters
    ----------
    probabilities
        (n_rows, n_classes) out-of-fold or validation probabilities.
    y
        (n_rows,) class codes of the same rows.
    weight
        (n_rows,) sample weights.
    """
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    if len(np.unique(y)) < 2 or len(y) < 4 * FOLDS:
        return Calibration()
    if len(y) > MAX_ROWS:
        some = np.random.default_rng(seed).choice(len(y), MAX_ROWS, replace=False)
        probabilities, y, weight = np.asarray(probabilities)[some], y[some], weight[some]
    losses = {kind: _crossed_losses(probabilities, y, weight, kind, seed) for kind in KINDS}
    best: Kind = "none"
    for kind in KINDS[1:]:
        gain = (losses[best] - losses[kind]) * weight / weight.mean()
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            best = kind
    return fit(probabilities, y, best, weight=weight)


def fit(probabilities: Floats, y: npt.NDArray[np.int64], kind: Kind, *, weight: Floats | None = None) -> Calibration:
    """Fit one kind of calibration by (weighted) maximum likelihood with a weak prior; the problem is convex.

    Parameters
    ----------
    probabilities
        (n_rows, n_classes) of rows that the model was not trained on.
    y
        (n_rows,) class codes.
    kind
        "temperature": one scale; "sigmoid": one scale and a bias a class; "beta": a scale and a bias a class; of the
        probabilities' logarithms.
    weight
        (n_rows,) sample weights; None: all 1.

    **Source** temperature scaling: Guo et al. 2017; sigmoid: Platt 1999; beta and its form for many classes (Dirichlet
    calibration, here with a diagonal matrix): Kull et al. 2017 and 2019.
    """
    n_classes = probabilities.shape[1]
    if kind == "none":
        return Calibration()
    from scipy.optimize import minimize

    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), FLOAT32_FLOOR))
    start = np.concatenate([np.ones(n_classes if kind == "beta" else 1), np.zeros(n_classes * (kind != "temperature"))])
    solved = minimize(_objective, start, args=(logs, y, weight, kind), jac=True, method="L-BFGS-B")
    scale, bias = _unpack(solved.x, n_classes, kind)
    return Calibration(kind=kind, scale=tuple(map(float, scale)), bias=tuple(map(float, bias)))


def crossed(
    probabilities: Floats, y: npt.NDArray[np.int64], kind: Kind, *, weight: Floats | None = None, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Cross-fitted calibration: each row calibrated by a calibration that was fitted without it.

    Parameters
    ----------
    probabilities, y, kind, weight
        As of `fit`.
    seed
        Of the folds.

    Returns
    -------
    (n_rows, n_classes) float64.
    """
    out = np.array(probabilities, dtype=np.float64)
    if kind == "none":
        return out
    fold = _folds(y, seed)
    for k in range(FOLDS):
        rest = fold != k
        out[~rest] = fit(probabilities[rest], y[rest], kind, weight=None if weight is None else weight[rest]).apply(
            probabilities[~rest]
        )
    return out


def _crossed_losses(
    probabilities: Floats, y: npt.NDArray[np.int64], weight: Floats, kind: Kind, seed: int
) -> npt.NDArray[np.float64]:
    return log_losses(crossed(probabilities, y, kind, weight=weight, seed=seed), y, FLOAT32_FLOOR)


def _folds(y: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """A fold number a row, each class spread evenly over the folds."""
    order = np.random.default_rng(seed).permutation(len(y))
    by_class = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.int64)
    fold[by_class] = np.arange(len(y)) % FOLDS
    return fold


def _unpack(x: npt.NDArray[np.float64], n_classes: int, kind: Kind) -> tuple[Any, Any]:
    scales = n_classes if kind == "beta" else 1
    scale = np.broadcast_to(x[:scales], (n_classes,))
    bias = x[scales:] if kind != "temperature" else np.zeros(n_classes)
    return scale, bias


def _objective(
    x: npt.NDArray[np.float64], logs: Any, y: npt.NDArray[np.int64], weight: Any, kind: Kind
) -> tuple[float, Any]:
    """Penalised log-loss per row, and its gradient."""
    scale, bias = _unpack(x, logs.shape[1], kind)
    p = softmax(logs * scale + bias)
    rows, total = np.arange(len(y)), weight.sum()
    loss = -(weight * np.log(np.maximum(p[rows, y], TINY))).sum() / total
    p[rows, y] -= 1
    p *= (weight / total)[:, None]
    by_scale, by_bias = (p * logs).sum(axis=0), p.sum(axis=0)
    prior = PRIOR_ROWS / len(y)
    scales = logs.shape[1] if kind == "beta" else 1
    gradient = by_scale if kind == "beta" else np.array([by_scale.sum()])
    gradient = gradient + prior * (x[:scales] - 1)
    loss += 0.5 * prior * ((x[:scales] - 1) ** 2).sum()
    if kind != "temperature":
        gradient = np.concatenate([gradient, by_bias + prior * bias])
        loss += 0.5 * prior * (bias**2).sum()
    return float(loss), gradient
