"""One trial: what it found and its place on disk, and running it with the prune rule.

A trial is one JSON and one .npy file, written atomically. It is fitted on each fold and scored on its held-out rows,
and given up early where the prune rule says that it cannot become the best.
"""

from __future__ import annotations

import io
import logging
import time
import warnings
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ml.evaluation.metrics import log_losses
from ml.models import ALL_FAMILIES
from ml.models.base import Params, best_round
from ml.storage.files import write_bytes
from ml.training.candidate import Candidate, CandidateSpec, fit_candidate
from ml.tuning.problem import Fold, Problem

MOST_ROUNDS = 500  # of boosting that stops on held-out rows; our choice: at the slowest rate few tables need more

RECORD = "search.json"  # in the folder of a search: its `SearchRecord`

Status = Literal["ok", "pruned", "failed"]
HyperoptValues = dict[str, int | float]  # label → the number of an option, or the drawn value


class Trial(msgspec.Struct, kw_only=True):
    """One configuration and what came of it.

    `loss` is the log-loss over the held-out rows of all folds; for a pruned trial it is estimated from
    the folds that ran (what they lost against the best trial on the same folds, added to its loss); None
    for a failed one. `values` are hyperopt's own values of the point; None for a baseline. `params` of a finished trial
    of boosted trees have the number of rounds that was best over all folds.
    """

    number: int
    family: str
    params: Params
    seed: int
    values: HyperoptValues | None = None
    resolved: Params = {}  # what the estimator was built with, its defaults included
    status: Status = "ok"
    loss: float | None = None
    scores: dict[str, float] = {}  # accuracy, macro F1 on the same held-out rows
    fold_losses: list[float] = []
    history: list[dict[str, float]] = []  # per epoch, of the first fold
    cost: float = 0.0  # of its fits, counted by what they did: `TabularClassifier.cost`
    seconds: float = 0.0
    error: str = ""


class SearchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the numbers of a search beside its fingerprint, settled by its first run."""

    outstanding: int


class TrialStore:
    """A folder with the finished trials of one search.

    A trial is there once its JSON is: the probabilities are written before it. What was interrupted
    leaves at most a .npy file that the trial's next run overwrites.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[int, Trial]:
        """Number → finished trial."""
        trials = (msgspec.json.decode(path.read_bytes(), type=Trial) for path in self.folder.glob("trial-*.json"))
        return {trial.number: trial for trial in trials}

    def settle(self, outstanding: int) -> int:
        """How many trials a suggestion of this search does not wait for: what its first run, with such workers as it
        had, began with. Another number would make another search of the trials that are there.
        """
        file = self.folder / RECORD
        if file.exists():
            return msgspec.json.decode(file.read_bytes(), type=SearchRecord).outstanding
        write_bytes(file, msgspec.json.encode(SearchRecord(outstanding=outstanding)))
        return outstanding

    def save(self, trial: Trial, probabilities: npt.NDArray[np.float64] | None) -> None:
        """Keep a finished trial, and its held-out probabilities where every fold ran."""
        if probabilities is not None:
            buffer = io.BytesIO()
            np.save(buffer, probabilities.astype(np.float32), allow_pickle=False)
            write_bytes(self.folder / f"trial-{trial.number:05d}.npy", buffer.getvalue())
        write_bytes(self.folder / f"trial-{trial.number:05d}.json", msgspec.json.format(msgspec.json.encode(trial)))

    def probabilities(self, number: int) -> npt.NDArray[np.float64]:
        """(n_held_out_rows, n_classes) of a trial of status "ok"."""
        stored = np.load(self.folder / f"trial-{number:05d}.npy", allow_pickle=False)
        return np.asarray(stored, dtype=np.float64)


log = logging.getLogger(__name__)

# The prune rule's standard errors and share. At 2 standard errors 1 in 40 looks at a trial as good as the incumbent
# prunes it.
PRUNE_ERRORS = 2.0
PRUNE_SHARE = 0.02  # our choice, as PRUNE_ERRORS


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for one trial. `incumbent` is the number of the trial it is raced against, if any."""

    number: int
    family: str
    params: Params
    seed: int
    values: HyperoptValues | None = None
    incumbent: int | None = None


def run(request: TrialRequest, problem: Problem, store: TrialStore) -> Trial:
    """Run a trial and keep it in `store`; whatever the fit raises becomes a failed trial."""
    trial, probabilities = attempt(request, problem, rival_losses(request, problem, store))
    store.save(trial, probabilities)
    return trial


def rival_losses(request: TrialRequest, problem: Problem, store: TrialStore) -> npt.NDArray[np.float64] | None:
    """(n_held_out_rows,) log-losses of the trial that it is raced against, if any."""
    if request.incumbent is None:
        return None
    return log_losses(store.probabilities(request.incumbent), problem.y[problem.held_out])


def attempt(
    request: TrialRequest, problem: Problem, rival: npt.NDArray[np.float64] | None
) -> tuple[Trial, npt.NDArray[np.float64] | None]:
    """Run a trial, which is kept nowhere.

    Parameters
    ----------
    rival
        As `rival_losses` gave it.

    Returns
    -------
    The trial, and its held-out probabilities where every fold ran.
    """
    trial = unfinished(request)
    started = time.perf_counter()
    probabilities = None
    try:
        probabilities = _folds(trial, problem, rival)
    except Exception as error:  # a configuration may fail in any way a library can; the search goes on
        trial.error = f"{type(error).__name__}: {error}"
        log.info("trial %d failed", request.number, exc_info=True)
    trial.seconds = time.perf_counter() - started
    return trial, probabilities


def unfinished(request: TrialRequest, error: str = "") -> Trial:
    """A trial of which nothing came (yet)."""
    return Trial(
        number=request.number, family=request.family, params=request.params, seed=request.seed,
        values=request.values, status="failed", error=error,
    )  # fmt: skip


def _folds(trial: Trial, problem: Problem, rival: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64] | None:
    """Held-out probabilities of every fold, or None where the trial was pruned."""
    weight = np.ones(len(problem.y)) if problem.weight is None else problem.weight
    done: list[npt.NDArray[np.float64]] = []
    losses: list[npt.NDArray[np.float64]] = []
    fitted: list[Any] = []
    for k, fold in enumerate(problem.folds):
        p, candidate = fit_fold(trial, problem, fold)
        valid = fold[1]
        trial.cost += candidate.model.cost(len(fold[0]))
        fitted.append(candidate.model)
        done.append(p)
        losses.append(log_losses(p, problem.y[valid]))
        trial.fold_losses.append(float(np.average(losses[-1], weights=weight[valid])))
        if k == 0:
            trial.history, trial.resolved = candidate.history, _resolved(candidate)
        if rival is not None and k + 1 < len(problem.folds):
            so_far = np.concatenate(losses)
            ahead = rival[: len(so_far)]
            if should_prune(so_far - ahead, ahead):
                trial.status, trial.loss = "pruned", float(rival.mean() + (so_far - ahead).mean())
                return None
    if ALL_FAMILIES[trial.family].rounds:
        done = _stopped_together(trial, problem, fitted)
        losses = [log_losses(p, problem.y[valid]) for p, (_, valid) in zip(done, problem.folds, strict=True)]
        trial.fold_losses = [
            float(np.average(own, weights=weight[valid])) for own, (_, valid) in zip(losses, problem.folds, strict=True)
        ]
    p, rows = np.concatenate(done), problem.held_out
    trial.status = "ok"
    trial.loss = float(np.average(np.concatenate(losses), weights=weight[rows]))
    trial.scores = _scores(p, problem.y[rows], weight[rows])
    return p


def _stopped_together(trial: Trial, problem: Problem, fitted: list[Any]) -> list[npt.NDArray[np.float64]]:
    """Held-out probabilities of every fold after the number of rounds that is best over all of them.

    A number of its own for each fold would be chosen on the very rows that judge it, five times; one number is what a
    search would have found, and what the fit on all rows is given.

    Parameters
    ----------
    trial
        Its `params` are given the number.
    problem
        Has the folds.
    fitted
        A model of each, with more rounds than were best.
    """
    sizes = [len(valid) for _, valid in problem.folds]
    rounds = best_round([model.held_out_losses for model in fitted], sizes)
    trial.params = {**trial.params, ALL_FAMILIES[trial.family].rounds: rounds}
    done = []
    for model, (_, valid) in zip(fitted, problem.folds, strict=True):
        model.cut(rounds)
        done.append(np.asarray(model.predict_proba(problem.X.iloc[valid]), dtype=np.float64))
    return done


def fit_fold(trial: Trial, problem: Problem, fold: Fold) -> tuple[npt.NDArray[np.float64], Candidate]:
    """Fit on a fold's training rows.

    Parameters
    ----------
    trial
        Family, parameters and seed.
    problem
        All rows.
    fold
        (training rows, held-out rows).

    Returns
    -------
    (n_held_out, n_classes) probabilities of the fold's held-out rows, and what was fitted.

    Raises
    ------
    ValueError
        The probabilities are not finite, or of another shape.
    """
    train, valid = fold
    X, y = problem.X, problem.y
    held = (X.iloc[valid], y[valid])
    rounds = ALL_FAMILIES[trial.family].rounds
    params = {**trial.params, rounds: MOST_ROUNDS} if rounds else trial.params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solvers that do not converge are judged by their loss
        candidate = fit_candidate(
            CandidateSpec(trial.family, params, trial.seed),
            X.iloc[train],
            y[train],
            schema=problem.schema,
            validation=held if rounds or problem.stop_on_held_out else None,
            sample_weight=None if problem.weight is None else problem.weight[train],
            device=problem.device,
            threads=1,
        )
    p = np.asarray(candidate.model.predict_proba(held[0]), dtype=np.float64)
    if p.shape != (len(valid), len(problem.schema.classes)) or not np.isfinite(p).all():
        raise ValueError(f"expected finite probabilities {(len(valid), len(problem.schema.classes))}, got {p.shape}")
    return p, candidate


def _resolved(candidate: Candidate) -> Params:
    """Parameters of the fitted estimator that JSON can hold; none where it has no `get_params`."""
    get_params = getattr(candidate.model, "get_params", None)
    params = get_params(deep=False) if get_params else {}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in params.items()}
    return {k: v for k, v in plain.items() if isinstance(v, (str, int, float, bool, list)) or v is None}


def should_prune(difference: npt.NDArray[np.float64], rival: npt.NDArray[np.float64]) -> bool:
    """The prune rule: a trial is given up after a fold when it is clearly worse than the incumbent on the same rows.

    By more than `PRUNE_ERRORS` standard errors of the paired difference, and by more than `PRUNE_SHARE` of the
    incumbent's loss.

    Parameters
    ----------
    difference
        (n_rows,) by how much the trial's log-loss exceeds the incumbent's.
    rival
        (n_rows,) the incumbent's log-loss.

    **Source** racing: the F-race of Birattari et al. 2002; the two figures are our choice.

    >>> should_prune(np.array([0.2, 0.3, 0.25]), np.array([0.5, 0.5, 0.5]))
    True
    """
    mean = difference.mean()
    error = difference.std() / np.sqrt(len(difference))
    return bool(mean > PRUNE_ERRORS * error and mean > PRUNE_SHARE * max(rival.mean(), 1e-3))


def _scores(p: Any, y: npt.NDArray[np.int64], weight: Any) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score

    answered = p.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(y, answered, sample_weight=weight)),
        "macro_f1": float(f1_score(y, answered, sample_weight=weight, average="macro", zero_division=0)),
    }
