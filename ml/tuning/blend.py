"""A weighted mean of the best candidates' probabilities, where it is better than the best alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.decision import Floats
from ml.evaluation.metrics import log_losses
from ml.training import CandidateSpec

ROUNDS = 20
FOLDS = 5


def select(
    candidates: Sequence[Floats], y: npt.NDArray[np.int64], *, members: int, weight: Floats | None = None, seed: int = 0
) -> list[tuple[int, float]]:
    """Members and their weights, by greedy selection with replacement on out-of-fold probabilities.

    A blend is taken only if it also wins on rows that did not choose it: members and weights are chosen
    on four fifths of the rows and scored on the rest, five times; the single best is chosen on all rows,
    so the comparison leans towards it.

    Parameters
    ----------
    candidates
        The best first; each (n_rows, n_classes) out-of-fold probabilities of the same rows.
    members
        Most distinct members.

    Returns
    -------
    (index into `candidates`, weight) pairs, weights summing to 1, largest first.

    **Source**: Caruana et al. 2004, "Ensemble selection from libraries of models".
    """
    hit = np.exp([-log_losses(np.asarray(p), y) for p in candidates])  # (n_candidates, n_rows)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    single = [(0, 1.0)]
    if members < 2 or len(candidates) < 2 or len(y) < 10 * FOLDS:
        return single
    chosen = _greedy(hit, weight, members)
    fold = np.random.default_rng(seed).permutation(len(y)) % FOLDS
    honest = np.empty(len(y))
    for k in range(FOLDS):
        rest, held = fold != k, fold == k
        honest[held] = _mix(hit[:, held], _greedy(hit[:, rest], weight[rest], members))
    gain = np.average(np.log(honest) - np.log(hit[0]), weights=weight)
    return chosen if gain > 0 else single


def _greedy(hit: Floats, weight: Floats, members: int) -> list[tuple[int, float]]:
    """Add, one at a time, the candidate that lowers the mixture's log-loss most; keep the best prefix."""
    counts = np.zeros(len(hit))
    total = np.zeros(hit.shape[1])
    best: tuple[float, npt.NDArray[np.float64]] = (np.inf, counts)
    for size in range(1, ROUNDS + 1):
        allowed = np.flatnonzero(counts) if (counts > 0).sum() >= members else np.arange(len(hit))
        losses = -(np.log((total + hit[allowed]) / size) @ weight)
        pick = int(allowed[losses.argmin()])
        counts[pick] += 1
        total += hit[pick]
        if losses.min() < best[0] - 1e-12:
            best = (float(losses.min()), counts.copy())
    weights = best[1] / best[1].sum()
    return [(int(i), float(weights[i])) for i in np.argsort(-weights, kind="stable") if weights[i] > 0]


def _mix(hit: Floats, chosen: Sequence[tuple[int, float]]) -> npt.NDArray[np.float64]:
    return np.asarray(sum(share * hit[i] for i, share in chosen))


def spec(members: Sequence[tuple[CandidateSpec, float]], seed: int) -> CandidateSpec:
    """The blend as a candidate of family "blend"."""
    listed = [{"family": m.family, "params": m.params, "seed": m.seed, "weight": share} for m, share in members]
    return CandidateSpec("blend", {"members": listed}, seed)


def loss(p: Floats, y: npt.NDArray[np.int64], weight: Floats | None) -> float:
    """Mean log-loss."""
    return float(np.average(log_losses(p, y), weights=weight))
