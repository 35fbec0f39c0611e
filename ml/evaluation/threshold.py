"""The decision threshold: where to cut the positive class's probability, and what that is chosen for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml.decision import Decision, Floats
from ml.evaluation.calibration import MAX_ROWS, calibrate, crossed

Objective = Literal["auto", "accuracy", "balanced_accuracy", "f1", "cost"]

# "auto" cuts for F1 where the rarer class has less than this share of the rows, else for accuracy: with
# balanced classes the two agree, and with rare positives accuracy is best served by never finding them.
RARE_SHARE = 0.4
N_BOOTSTRAP = 200  # resamples behind the choice; our choice


def decide(
    probabilities: Floats,
    y: npt.NDArray[np.int64],
    *,
    positive: int = 1,
    objective: Objective = "auto",
    costs: Sequence[Sequence[float]] | None = None,
    weight: Floats | None = None,
    seed: int = 0,
) -> Decision:
    """Calibration and threshold from out-of-fold (or validation) probabilities.

    The threshold is chosen on rows calibrated without themselves (cross-fitted), so no row both
    calibrates and chooses. The calibration that is kept is fitted on all rows.

    Parameters
    ----------
    probabilities
        (n_rows, n_classes) of rows the model was not trained on.
    y
        (n_rows,) class codes.
    positive
        Class number of the positive label; used with two classes.
    objective
        "auto": F1 of the positive class where one class has less than 40% of the rows, else accuracy.
        "cost" needs `costs`. With three classes and more the most probable (or cheapest) class is
        answered and there is no threshold.
    costs
        (n_classes, n_classes): `costs[j][k]` for answering k where j is true.
    """
    matrix = tuple(tuple(float(c) for c in row) for row in costs) if costs else None
    if matrix is not None and any(len(row) != probabilities.shape[1] for row in (matrix, *matrix)):
        raise ValueError(f"costs: expected {probabilities.shape[1]} rows of as many costs, got {matrix}")
    chosen = resolve(objective, y, matrix)
    calibration = calibrate(probabilities, y, weight=weight, seed=seed)
    threshold = None
    if probabilities.shape[1] == 2:
        honest = crossed(probabilities, y, calibration.kind, weight=weight, seed=seed)
        threshold = choose_threshold(
            honest[:, positive],
            y == positive,
            objective=chosen,
            costs=matrix,
            positive=positive,
            weight=weight,
            seed=seed,
        )
    elif chosen not in ("cost", "accuracy"):
        chosen = "accuracy"
    return Decision(
        threshold=threshold, calibration=calibration, objective=chosen,
        costs=matrix if chosen == "cost" else None,
    )  # fmt: skip


def resolve(objective: Objective, y: npt.NDArray[np.int64], costs: object = None) -> Objective:
    """The objective that "auto" stands for on these rows.

    Parameters
    ----------
    objective
        Anything but "auto" is given back.
    y
        (n_rows,) class codes.
    costs
        Whether there are some: they go before the classes' shares.

    Raises
    ------
    ValueError
        "cost" without costs.

    >>> resolve("auto", np.array([0, 0, 0, 1])), resolve("auto", np.array([0, 1]))
    ('f1', 'accuracy')
    """
    if objective == "cost" and not costs:
        raise ValueError("objective 'cost' needs costs: one row a true class, one cost an answered class")
    if objective != "auto":
        return objective
    if costs:
        return "cost"
    rarest = np.bincount(y).min() / max(len(y), 1)
    return "f1" if len(np.bincount(y)) == 2 and rarest < RARE_SHARE else "accuracy"


def choose_threshold(
    p: Floats,
    is_positive: npt.NDArray[np.bool_],
    *,
    objective: Objective = "accuracy",
    costs: Sequence[Sequence[float]] | None = None,
    positive: int = 1,
    weight: Floats | None = None,
    seed: int = 0,
) -> float:
    """The threshold that is best for the objective, averaged over bootstrap samples.

    One sample's best cut is noisy; the mean of the best cuts of 200 resamples is steadier (bagging). For
    accuracy, and for costs, theory gives the cut of calibrated probabilities (0.5, or the ratio of the
    costs); it is kept unless the chosen cut is better by more than three standard errors on these
    rows (which chose it, so that one or two would be met by luck).

    Parameters
    ----------
    p
        (n_rows,) calibrated probability of the positive class.
    is_positive
        (n_rows,) whether the row is positive.

    Returns
    -------
    A threshold in (0, 1]; rows at or above it are positive.
    """
    default = _default(objective, costs, positive)
    if len(p) < 20 or is_positive.all() or not is_positive.any():
        return default
    weight = np.ones(len(p)) if weight is None else np.asarray(weight, dtype=np.float64)
    rng = np.random.default_rng(seed)
    if len(p) > MAX_ROWS:
        some = rng.choice(len(p), MAX_ROWS, replace=False)
        p, is_positive, weight = np.asarray(p)[some], is_positive[some], weight[some]
    edges, group = _edges(np.asarray(p, dtype=np.float64))
    best = []
    for _ in range(N_BOOTSTRAP):
        w = weight * np.bincount(rng.integers(0, len(p), len(p)), minlength=len(p))
        values = _values(w, is_positive, group, len(edges), objective, costs, positive)
        best.append(edges[np.flatnonzero(values >= values.max() - 1e-12)].mean())
    chosen = float(np.clip(np.mean(best), 1e-6, 1.0))
    if objective in ("accuracy", "cost") and not _clearly_better(
        p, is_positive, weight, chosen, default, costs, positive
    ):
        return default
    return chosen


def _default(objective: Objective, costs: Sequence[Sequence[float]] | None, positive: int) -> float:
    """The best cut of perfectly calibrated probabilities; 0.5 where it depends on the data."""
    if objective != "cost" or costs is None:
        return 0.5
    negative = 1 - positive
    miss = costs[positive][negative] - costs[positive][positive]
    alarm = costs[negative][positive] - costs[negative][negative]
    return float(np.clip(alarm / (alarm + miss), 1e-6, 1.0)) if alarm + miss > 0 else 0.5


def _edges(p: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Candidate cuts between neighbouring probabilities, at most 512; and how many cuts each row reaches."""
    unique = np.unique(p)
    edges = np.concatenate([[0.0], (unique[1:] + unique[:-1]) / 2, [1.0]])
    if len(edges) > 512:
        edges = np.unique(np.quantile(p, np.linspace(0, 1, 512)))
    return edges, np.searchsorted(edges, p, side="right")


def _values(
    w: Floats, is_positive: npt.NDArray[np.bool_], group: npt.NDArray[np.int64], n_edges: int,
    objective: Objective, costs: Sequence[Sequence[float]] | None, positive: int,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """The objective at each cut: (n_edges,); larger is better."""

    def reached(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        counts = np.bincount(group[mask], weights=w[mask], minlength=n_edges + 1)
        return np.asarray(counts[::-1].cumsum()[::-1][1:])

    tp, fp = reached(is_positive), reached(~is_positive)
    n_pos, n_neg = w[is_positive].sum(), w[~is_positive].sum()
    fn, tn = n_pos - tp, n_neg - fp
    if objective == "f1":
        return np.asarray(2 * tp / np.maximum(2 * tp + fp + fn, 1e-12))
    if objective == "balanced_accuracy":
        return np.asarray(tp / max(n_pos, 1e-12) + tn / max(n_neg, 1e-12))
    if objective == "cost" and costs is not None:
        q = 1 - positive
        return np.asarray(
            -(tp * costs[positive][positive] + fn * costs[positive][q] + fp * costs[q][positive] + tn * costs[q][q])
        )
    return np.asarray(tp + tn)


def _clearly_better(
    p: Floats, is_positive: npt.NDArray[np.bool_], weight: Floats, chosen: float, default: float,
    costs: Sequence[Sequence[float]] | None, positive: int,
) -> bool:  # fmt: skip
    """Whether `chosen` costs less than `default` by more than three standard errors, row by row."""
    table = np.array(costs if costs is not None else [[0.0, 1.0], [1.0, 0.0]])
    truth = np.where(is_positive, positive, 1 - positive)

    def cost(cut: float) -> npt.NDArray[np.float64]:
        return np.asarray(table[truth, np.where(p >= cut, positive, 1 - positive)] * weight)

    gain = cost(default) - cost(chosen)
    return bool(gain.mean() > 3 * gain.std() / np.sqrt(len(gain)))
