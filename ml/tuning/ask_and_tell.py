"""Ask and tell: which trial is run next, and what is known when it is chosen; what makes a search repeatable.

Suggestion k is made from the results of trials 0 … k - `tune.outstanding` only, so it does not matter in which
order the last ones end; and it is raced against the best of those. Which family it is of is decided by what their
trials have cost so far (`Shares`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml.evaluation.metrics import log_losses
from ml.settings import Settings
from ml.training.candidate import CandidateSpec
from ml.tuning.executors import Executor
from ml.tuning.problem import Problem
from ml.tuning.space import Space
from ml.tuning.trial import Trial, TrialRequest, TrialStore, should_prune

TRIES = 5  # trials of a family before it can be behind, its baseline included; our choice
TRIES_A_PARAMETER = 4  # trials of a family by the size of its space, while another has fewer; our choice
OVERHEAD = 0.05  # seconds of a trial beside its fits: suggesting, storing, logging (measured: .04 to .08)


class Tracker(Protocol):
    """Told of each finished trial, once, in this process."""

    def trial(self, trial: Trial) -> None:
        """Log the trial."""
        ...


class Shares:
    """Which family is tried next: the one whose trials have cost least.

    Families share a search by time, since trials of one may take a hundred times as long as another's. A family that is
    clearly behind gets no more, and one with few parameters none after `TRIES_A_PARAMETER` each, as long as there are
    others. The costs are counted (`TabularClassifier.cost`), not measured: by a clock, the same search would go another
    way on another machine, and after every interruption.

    Parameters
    ----------
    space
        Knows the families and the number of their parameters.
    losses
        Trial number → (n_held_out_rows,) log-losses of a trial that is whole.
    """

    def __init__(self, space: Space, losses: Callable[[int], npt.NDArray[np.float64]]) -> None:
        self._space, self._losses = space, losses

    def next(self, known: Sequence[Trial], pending: Sequence[str]) -> str:
        """The family of the next trial.

        Parameters
        ----------
        known
            Finished trials.
        pending
            Families of those whose results may not be looked at; each counts as the mean of its family's known ones.
        """
        families = list(self._space.expressions)
        tries = Counter([*(trial.family for trial in known), *pending])
        cost = dict.fromkeys(families, 0.0)
        for trial in known:
            cost[trial.family] += trial.cost + OVERHEAD
        for family in set(pending):
            seen = sum(trial.family == family for trial in known)
            cost[family] *= 1 + pending.count(family) / max(seen, 1)
        racing = [family for family in families if not self._behind(family, known)] or families
        open_ = [f for f in racing if tries[f] < TRIES_A_PARAMETER * self._space.parameters(f)] or racing
        return min(open_, key=lambda family: (cost[family], tries[family], families.index(family)))

    def _behind(self, family: str, known: Sequence[Trial]) -> bool:
        """Whether the family's best is clearly worse than the best of all, by the rule that prunes trials."""
        whole = sorted((t for t in known if t.status == "ok" and t.loss is not None), key=lambda t: (t.loss, t.number))
        if not whole or sum(trial.family == family for trial in known) < TRIES:
            return False
        own = [trial for trial in whole if trial.family == family]
        if not own or own[0] is whole[0]:
            return not own
        best = self._losses(whole[0].number)
        return should_prune(self._losses(own[0].number) - best, best)


class AskTell:
    """The ask-and-tell loop of a search, until there are `total` trials.

    Parameters
    ----------
    space
        Suggests the parameters of a trial.
    baselines
        The first trials.
    store
        Has the trials' held-out probabilities.
    problem
        Has the held-out rows' codes.
    settings
        Has `tune.seed`.
    lag
        `tune.outstanding` of this search: how many trials back the newest results lie that are looked at.
    total
        Trials in all, baselines included.
    tracker, progress
        Called after each finished trial, resumed ones included.
    """

    def __init__(
        self,
        space: Space,
        baselines: Sequence[CandidateSpec],
        store: TrialStore,
        problem: Problem,
        settings: Settings,
        lag: int,
        total: int,
        tracker: Tracker | None,
        progress: Callable[[int, int, Trial], None] | None,
    ) -> None:
        self._space, self._baselines, self._total = space, baselines, total
        self._seed, self._lag = settings.tune.seed, max(1, lag)
        codes = problem.y[problem.held_out]
        self._shares = Shares(space, cache(lambda number: log_losses(store.probabilities(number), codes)))
        self._requests: dict[int, TrialRequest] = {}
        self._tracker, self._progress = tracker, progress
        self._announced: set[int] = set()
        self.finished: dict[int, Trial] = {}

    def run(self, engine: Executor, timeout_s: float) -> None:
        """Run what is missing; stops asking after `timeout_s`, but never before the baselines."""
        started = time.monotonic()
        outstanding: set[int] = set()
        for number in range(self._total):
            if number in self.finished:
                self._announce(number)
                continue
            if number >= len(self._baselines) and time.monotonic() - started > timeout_s:
                break
            while len(outstanding) >= engine.capacity or any(n <= number - self._lag for n in outstanding):
                outstanding.discard(self._tell(engine))
            self._requests[number] = self._ask(number)
            engine.submit(self._requests[number])
            outstanding.add(number)
        while outstanding:
            outstanding.discard(self._tell(engine))

    def _tell(self, engine: Executor) -> int:
        """Wait for a finished trial and take in its result."""
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

    def _ask(self, number: int) -> TrialRequest:
        known = [self.finished[n] for n in range(max(0, number - self._lag + 1))]
        complete = [t for t in known if t.status == "ok" and t.loss is not None]
        incumbent = min(complete, key=lambda t: (t.loss, t.number)).number if complete else None
        if number < len(self._baselines):
            baseline = self._baselines[number]
            return TrialRequest(number=number, family=baseline.family, params=baseline.params, seed=baseline.seed)
        pending = [self._requests.get(n) or self.finished[n] for n in range(len(known), number)]
        family = self._shares.next(known, [other.family for other in pending])
        waiting = [(other.number, other.values) for other in pending if other.family == family and other.values]
        own = [trial for trial in known if trial.family == family]
        params, values = self._space.suggest(number, family, own, waiting, seed=self._seed)
        return TrialRequest(
            number=number, family=family, params=params, seed=self._seed, values=values, incumbent=incumbent
        )
