"""The result of a search: the best candidate or a blend of the best, with its held-out probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.errors import TrainingError
from ml.messages import message
from ml.settings import Settings
from ml.training.candidate import CandidateSpec
from ml.tuning import ensemble
from ml.tuning.problem import Problem
from ml.tuning.trial import Trial, TrialStore

BLEND_CANDIDATES = 12  # of the blend, the families' best alike: the best twelve of all may be of one family


@dataclass(frozen=True)
class TuneResult:
    """The result of a search.

    Attributes
    ----------
    best
        What to fit (`refit` does): the best single candidate, or a family "blend" of several.
    best_loss, baseline_loss
        Held-out log-loss of `best`, and of the best of the families' baselines (inf where all of those failed).
    members
        The candidates in `best` with their weights (one pair where it is no blend).
    probabilities, y, weight
        Held-out probabilities of `best` (n, C), the class codes (n,) and sample weights of those rows: what
        calibration and threshold are chosen on.
    fit_on_all
        Whether `best` is to be fitted on training and validation rows together.
    """

    best: CandidateSpec
    best_loss: float
    baseline_loss: float
    trials: list[Trial]
    members: list[tuple[CandidateSpec, float]]
    probabilities: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64] | None
    fit_on_all: bool


def blend_candidates(ranked: list[Trial]) -> list[Trial]:
    """The best few trials of each family, an equal number of each as far as there are; the ranking is kept.

    Members of another family err elsewhere, which is worth more to a blend than one more of the best family.
    """
    families = {trial.family for trial in ranked}
    few = max(1, BLEND_CANDIDATES // len(families))
    places = [n for family in families for n in [n for n, t in enumerate(ranked) if t.family == family][:few]]
    return [ranked[n] for n in sorted(places)]


def result_of(trials: list[Trial], problem: Problem, store: TrialStore, settings: Settings) -> TuneResult:
    """Choose among the finished trials; a blend is taken only where it is no worse than the baselines.

    Parameters
    ----------
    trials
        Finished, in any order.
    problem
        What they were scored on.
    store
        Has their held-out probabilities.
    settings
        `tune.blend`: most members; `tune.seed`.

    Raises
    ------
    TrainingError
        Every trial failed.
    """
    complete = [t for t in trials if t.status == "ok" and t.loss is not None]
    if not complete:
        errors = sorted({t.error for t in trials if t.error})[:3]
        raise TrainingError(message("training.no_trial", errors=errors) if errors else message("training.no_trial_run"))
    complete.sort(key=lambda t: (t.loss, t.number))
    rows = problem.held_out
    y, weight = problem.y[rows], None if problem.weight is None else problem.weight[rows]
    top = blend_candidates(complete)
    candidates = [store.probabilities(t.number) for t in top]
    chosen = ensemble.select(candidates, y, members=settings.tune.blend, weight=weight, seed=settings.tune.seed)
    baseline = min((t.loss for t in complete if t.values is None and t.loss is not None), default=np.inf)
    probabilities = np.asarray(sum(share * candidates[i] for i, share in chosen))
    if ensemble.loss(probabilities, y, weight) > baseline:  # a blend may be a little worse than the best alone
        chosen, probabilities = [(0, 1.0)], candidates[0]
    members = [(CandidateSpec(top[i].family, top[i].params, top[i].seed), share) for i, share in chosen]
    return TuneResult(
        best=members[0][0] if len(members) == 1 else ensemble.spec(members, settings.tune.seed),
        best_loss=ensemble.loss(probabilities, y, weight),
        baseline_loss=baseline,
        trials=trials,
        members=members,
        probabilities=probabilities,
        y=y,
        weight=weight,
        fit_on_all=not problem.stop_on_held_out,
    )
