"""The search: baselines first, then TPE over all families, on the same folds for every trial.

What is promised:

- **Reproducible**: the same snapshot, settings and seed give the same trials, whatever the number of
  workers, their speed, and interruptions (a time budget only cuts the list). Suggestion k is made from
  the results of trials 0 … k - `tune.outstanding` only, so it does not matter in which order the last
  ones end; and it is raced against the best of those. Needs fits that repeat bit by bit, as Refit's do.
- **Resumable**: a trial is on disk when it is finished; the next search in the same folder goes on with
  the one after. After `kill -9` at most the trials that ran are run again.
- **Never worse than the baseline** on the held-out rows: each family's baseline is among the first trials.
- The test part of the snapshot is not read.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ml.errors import TrainingError
from ml.settings import Settings
from ml.training import CandidateSpec
from ml.tuning import blend, folds
from ml.tuning.executors import Executor, Processes, Serial
from ml.tuning.problem import Problem
from ml.tuning.space import Space
from ml.tuning.trial import Ask
from ml.tuning.trials import Trial, TrialStore

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

FORMAT = 3  # raised whenever the same numbers would no longer come out of the same folder
BLEND_CANDIDATES = 12
# From here on the validation part is enough to stop on and to calibrate on, and a fit dear enough not to be
# repeated on all rows.
LARGE_ROWS = 20_000


class Tracker(Protocol):
    """Told of each finished trial, once, in this process."""

    def trial(self, trial: Trial) -> None:
        """Log the trial."""
        ...


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

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


def search(
    snapshot: Snapshot,
    settings: Settings,
    *,
    workdir: Path,
    families: Sequence[str] | None = None,
    max_evals: int | None = None,
    tracker: Tracker | None = None,
    progress: Callable[[int, int, Trial], None] | None = None,
    executor: Callable[[Problem, TrialStore, Path], Executor] | None = None,
) -> TuneResult:
    """Search for the candidate with the lowest held-out log-loss.

    Parameters
    ----------
    snapshot
        Its training and validation parts are used.
    workdir
        Where trials are kept; a search of the same data, families and seed goes on where one there ended.
    families
        Default: `settings.train.families`.
    max_evals
        Trials in all, baselines included; default: `settings.tune.max_evals`.
    progress
        Called with (finished, all, trial) after each trial, resumed ones included.
    executor
        Where trials run: (problem, store, folder) → `Executor`. Default: local processes.

    Raises
    ------
    TrainingError
        An unknown family, or every trial failed.
    """
    names = tuple(families or settings.train.families)
    problem = make_problem(snapshot, settings)
    space, baselines = _space(names, problem)
    folder = workdir / f"search-{_fingerprint(problem, settings, names, space)}"
    store = TrialStore(folder)
    total = max(max_evals if max_evals is not None else settings.tune.max_evals, len(names))
    run = _Run(space, baselines, settings, total, tracker, progress)
    run.finished = {n: t for n, t in store.load().items() if n < total}
    if len(run.finished) < total:
        problem.save(folder)
        open_executor = executor or (lambda p, s, f: _local(p, s, f, settings))
        engine = open_executor(problem, store, folder)
        try:
            run.go(engine, settings.tune.timeout_s or np.inf)
        finally:
            engine.close()
    trials = [run.finished[n] for n in sorted(run.finished)]
    return _result(trials, problem, store, settings)


def make_problem(snapshot: Snapshot, settings: Settings) -> Problem:
    """Training and validation rows with their folds, as `ml.tuning.folds` describes."""
    import pandas as pd

    train, valid = snapshot.part("train"), snapshot.part("validation")
    X = pd.concat([train.X, valid.X], ignore_index=True)
    y = np.concatenate([train.y, valid.y])
    weight = None if train.weight is None or valid.weight is None else np.concatenate([train.weight, valid.weight])
    tune, small = settings.tune, len(y) < settings.tune.small_rows
    if small:
        kind = snapshot.manifest.get("split", "stratified")
        if kind == "time" and train.time is not None and valid.time is not None:
            order = np.argsort(np.concatenate([train.time, valid.time]), kind="stable")
            X, y, weight = X.iloc[order].reset_index(drop=True), y[order], None if weight is None else weight[order]
        groups = None
        if kind == "group" and train.ids is not None and valid.ids is not None:
            groups = np.concatenate([train.ids, valid.ids])
        cut = folds.cross_validation(y, kind=kind, folds=tune.folds, groups=groups, seed=tune.seed)
    else:
        cut = [folds.thin(fold, y, tune.max_rows, tune.seed) for fold in folds.held_out(len(train.y), len(y))]
    return Problem(
        X=X, y=y, weight=weight, schema=snapshot.schema, folds=cut, device=settings.train.device,
        stop_on_held_out=len(y) >= LARGE_ROWS and not small,
    )  # fmt: skip


class _Run:
    """Asks and tells until there are `total` trials."""

    def __init__(
        self,
        space: Space,
        baselines: list[tuple[str, dict[str, Any]]],
        settings: Settings,
        total: int,
        tracker: Tracker | None,
        progress: Callable[[int, int, Trial], None] | None,
    ) -> None:
        self._space, self._baselines, self._total = space, baselines, total
        self._seed, self._lag = settings.tune.seed, max(1, settings.tune.outstanding)
        self._asked: dict[int, Ask] = {}
        self._tracker, self._progress = tracker, progress
        self._announced: set[int] = set()
        self.finished: dict[int, Trial] = {}

    def go(self, engine: Executor, timeout_s: float) -> None:
        """Run what is missing; stops asking after `timeout_s`, but never before the baselines."""
        started = time.monotonic()
        asked: set[int] = set()
        for number in range(self._total):
            if number in self.finished:
                self._announce(number)
                continue
            if number >= len(self._baselines) and time.monotonic() - started > timeout_s:
                break
            while len(asked) >= engine.capacity or any(n <= number - self._lag for n in asked):
                asked.discard(self._take(engine))
            self._asked[number] = self._ask(number)
            engine.submit(self._asked[number])
            asked.add(number)
        while asked:
            asked.discard(self._take(engine))

    def _take(self, engine: Executor) -> int:
        trial = engine.wait()
        self.finished[trial.number] = trial
        self._announce(trial.number)
        return trial.number

    def _announce(self, number: int) -> None:
        trial = self.finished[number]
        if self._tracker is not None:
            self._tracker.trial(trial)
        if self._progress is not None:
            self._announced.add(number)
            self._progress(len(self._announced), self._total, trial)

    def _ask(self, number: int) -> Ask:
        known = [self.finished[n] for n in range(max(0, number - self._lag + 1))]
        complete = [t for t in known if t.status == "ok" and t.loss is not None]
        incumbent = min(complete, key=lambda t: (t.loss, t.number)).number if complete else None
        if number < len(self._baselines):
            family, params = self._baselines[number]
            return Ask(number=number, family=family, params=params, seed=self._seed)
        family, params, values = self._space.suggest(number, known, self._pending(len(known), number), seed=self._seed)
        return Ask(number=number, family=family, params=params, seed=self._seed, values=values, incumbent=incumbent)

    def _pending(self, start: int, end: int) -> list[tuple[int, dict[str, Any]]]:
        """Number and values of the trials whose results may not be looked at, whether they are in or not."""
        asked = ((n, (self._asked.get(n) or self.finished[n]).values) for n in range(start, end))
        return [(n, values) for n, values in asked if values is not None]


def _space(names: Sequence[str], problem: Problem) -> tuple[Space, list[tuple[str, dict[str, Any]]]]:
    from ml.models import FAMILIES

    if unknown := [name for name in names if name not in FAMILIES]:
        raise TrainingError(f"unknown family '{unknown[0]}'; there are {', '.join(FAMILIES)}")
    n_rows, n_classes = len(problem.folds[0][0]), len(problem.schema.classes)
    space = Space({name: FAMILIES[name].space(n_rows, n_classes) for name in names})
    return space, [(name, FAMILIES[name].baseline(n_rows)) for name in names]


def _fingerprint(problem: Problem, settings: Settings, names: Sequence[str], space: Space) -> str:
    """What decides every number of a search; how many trials and how long does not."""
    facts = [
        FORMAT,
        settings.tune.outstanding,
        problem.digest(),
        list(names),
        str(space.expression),
        settings.tune.seed,
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]


def _local(problem: Problem, store: TrialStore, folder: Path, settings: Settings) -> Executor:
    workers = settings.tune.workers or len(os.sched_getaffinity(0))
    return Serial(problem, store) if workers == 1 else Processes(folder, workers)


def _result(trials: list[Trial], problem: Problem, store: TrialStore, settings: Settings) -> TuneResult:
    complete = [t for t in trials if t.status == "ok" and t.loss is not None]
    if not complete:
        errors = {t.error for t in trials if t.error} or {"no trial was run"}
        raise TrainingError(f"every trial failed: {'; '.join(sorted(errors)[:3])}")
    complete.sort(key=lambda t: (t.loss, t.number))
    rows = problem.held_out
    y, weight = problem.y[rows], None if problem.weight is None else problem.weight[rows]
    top = complete[:BLEND_CANDIDATES]
    candidates = [store.probabilities(t.number) for t in top]
    chosen = blend.select(candidates, y, members=settings.tune.blend, weight=weight, seed=settings.tune.seed)
    baseline = min((t.loss for t in complete if t.values is None and t.loss is not None), default=np.inf)
    probabilities = np.asarray(sum(share * candidates[i] for i, share in chosen))
    if blend.loss(probabilities, y, weight) > baseline:  # a blend may be a little worse than the best alone
        chosen, probabilities = [(0, 1.0)], candidates[0]
    members = [(CandidateSpec(top[i].family, top[i].params, top[i].seed), share) for i, share in chosen]
    return TuneResult(
        best=members[0][0] if len(members) == 1 else blend.spec(members, settings.tune.seed),
        best_loss=blend.loss(probabilities, y, weight),
        baseline_loss=baseline,
        trials=trials,
        members=members,
        probabilities=probabilities,
        y=y,
        weight=weight,
        fit_on_all=not problem.stop_on_held_out,
    )
