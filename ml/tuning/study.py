"""The search: baselines first, then TPE over all families, on the same folds for every trial.

What is promised:

- **Reproducible**: the same snapshot, settings and seed give the same trials, whatever the engine, the number of
  workers, their speed, and interruptions (a time budget only cuts the list). Suggestion k is made from
  the results of trials 0 … k - `tune.outstanding` only (`ml.tuning.ask_and_tell`). Needs fits that repeat bit by bit,
  as Refit's do. A cluster of more workers than that number feeds begins a search with a larger one, which the folder
  keeps: resumed anywhere, it is the same search.
- **Resumable**: a trial is on disk when it is finished; the next search in the same folder goes on with
  the one after. After `kill -9` at most the trials that ran are run again.
- **Never worse than the baseline** on the held-out rows: each family's baseline is among the first trials.
- The test part of the snapshot is not read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml.models.base import TableSize
from ml.settings import Settings
from ml.training.candidate import CandidateSpec
from ml.tuning import problem as problems
from ml.tuning.ask_and_tell import AskTell, Tracker
from ml.tuning.executors import Executor, OnCluster, Processes, Serial
from ml.tuning.problem import Problem
from ml.tuning.result import TuneResult, result_of
from ml.tuning.space import Space
from ml.tuning.trial import Trial, TrialStore

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

FORMAT = 4  # raised whenever the same numbers would no longer come out of the same folder
# From here on the validation part is enough to stop on and to calibrate on, and a fit dear enough not to be
# repeated on all rows.
LARGE_ROWS = 20_000


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
        Where trials run: (problem, store, folder) → `Executor`. Default: as `tune.engine` says.

    Raises
    ------
    TrainingError
        An unknown family, or every trial failed.
    """
    names = tuple(families or settings.train.families)
    problem = make_problem(snapshot, settings)
    space, baselines = _space(names, problem, settings.tune.seed)
    folder = workdir / f"search-{_fingerprint(problem, settings, names, space)}"
    store = TrialStore(folder)
    total = max(max_evals if max_evals is not None else settings.tune.max_evals, len(names))
    finished = {n: t for n, t in store.load().items() if n < total}
    if len(finished) < total:
        problem.save(folder)
        open_executor = executor or (lambda p, s, f: _executor(p, s, f, settings))
        engine = open_executor(problem, store, folder)
        try:
            begun_before = settings.tune.outstanding if finished else engine.outstanding
            lag = store.settle(max(settings.tune.outstanding, begun_before))
            loop = AskTell(space, baselines, store, problem, settings, lag, total, tracker, progress)
            loop.finished = finished
            loop.run(engine, settings.tune.timeout_s or np.inf)
        finally:
            engine.close()
    trials = [finished[n] for n in sorted(finished)]
    return result_of(trials, problem, store, settings)


def make_problem(snapshot: Snapshot, settings: Settings) -> Problem:
    """Training and validation rows with their folds, as `ml.tuning.problem` describes; without rows that none uses."""
    import pandas as pd

    train, valid = snapshot.part("train"), snapshot.part("validation")
    y = np.concatenate([train.y, valid.y])
    weight = None if train.weight is None or valid.weight is None else np.concatenate([train.weight, valid.weight])
    tune, small, large = settings.tune, len(y) < settings.tune.small_rows, len(y) >= LARGE_ROWS
    if small:
        X = pd.concat([train.X, valid.X], ignore_index=True)
        kind = snapshot.manifest.split
        if kind == "time" and train.time is not None and valid.time is not None:
            order = np.argsort(np.concatenate([train.time, valid.time]), kind="stable")
            X, y, weight = X.iloc[order].reset_index(drop=True), y[order], None if weight is None else weight[order]
        groups = None
        if kind == "group" and train.ids is not None and valid.ids is not None:
            groups = np.concatenate([train.ids, valid.ids])
        cut = problems.cross_validation(y, kind=kind, folds=tune.folds, groups=groups, seed=tune.seed)
    else:
        rows, held = problems.thin(problems.held_out(len(train.y), len(y))[0], y, tune.max_rows, tune.seed)
        X = pd.concat([train.X if len(rows) == len(train.y) else train.X.iloc[rows], valid.X], ignore_index=True)
        used = np.concatenate([rows, held])
        y, weight = y[used], None if weight is None else weight[used]
        cut = problems.held_out(len(rows), len(y))
    return Problem(
        X=X, y=y, weight=weight, schema=snapshot.schema, folds=cut, device=settings.train.device,
        stop_on_held_out=large and not small,
    )  # fmt: skip


def _space(names: Sequence[str], problem: Problem, seed: int) -> tuple[Space, list[CandidateSpec]]:
    from ml.models import FAMILIES, refuse_unknown
    from ml.models.families import start_of

    refuse_unknown(names)
    n_levels = max((problem.X[name].nunique() for name in problem.schema.categories), default=0)
    size = TableSize(len(problem.folds[0][0]), len(problem.schema.classes), n_levels)
    starts = {name: start for name in names if (start := start_of(FAMILIES[name], size.n_rows))}
    space = Space({name: FAMILIES[name].space(size) for name in names}, starts)
    return space, [CandidateSpec(name, FAMILIES[name].baseline(size.n_rows), seed) for name in names]


def _fingerprint(problem: Problem, settings: Settings, names: Sequence[str], space: Space) -> str:
    """What decides every number of a search; how many trials and how long does not."""
    facts = [
        FORMAT,
        settings.tune.outstanding,
        problem.digest(),
        list(names),
        [str(expression) for expression in space.expressions.values()],
        settings.tune.seed,
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]


def _executor(problem: Problem, store: TrialStore, folder: Path, settings: Settings) -> Executor:
    if settings.tune.engine == "dask":
        return OnCluster(settings.tune.engine_address, problem, store)
    workers = settings.tune.workers or len(os.sched_getaffinity(0))
    return Serial(problem, store) if workers == 1 else Processes(folder, workers)
