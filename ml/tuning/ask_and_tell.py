"""Ask and tell: which trial is run next, and what is known when it is chosen; what makes a search repeatable.

Suggestion k is made from the results of trials 0 … k - `tune.outstanding` only, so it does not matter in which
order the last ones end; and it is raced against the best of those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ml.settings import Settings
from ml.training.candidate import CandidateSpec
from ml.tuning.executors import Executor
from ml.tuning.space import Space
from ml.tuning.trial import HyperoptValues, Trial, TrialRequest


class Tracker(Protocol):
    """Told of each finished trial, once, in this process."""

    def trial(self, trial: Trial) -> None:
        """Log the trial."""
        ...


class AskTell:
    """The ask-and-tell loop of a search, until there are `total` trials.

    Parameters
    ----------
    space
        Suggests the parameters of a trial.
    baselines
        The first trials.
    settings
        `tune.seed`, and `tune.outstanding`: how many trials back the newest results lie that are looked at.
    total
        Trials in all, baselines included.
    tracker, progress
        Called after each finished trial, resumed ones included.
    """

    def __init__(
        self,
        space: Space,
        baselines: Sequence[CandidateSpec],
        settings: Settings,
        total: int,
        tracker: Tracker | None,
        progress: Callable[[int, int, Trial], None] | None,
    ) -> None:
        self._space, self._baselines, self._total = space, baselines, total
        self._seed, self._lag = settings.tune.seed, max(1, settings.tune.outstanding)
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
        family, params, values = self._space.suggest(number, known, self._pending(len(known), number), seed=self._seed)
        return TrialRequest(
            number=number, family=family, params=params, seed=self._seed, values=values, incumbent=incumbent
        )

    def _pending(self, start: int, end: int) -> list[tuple[int, HyperoptValues]]:
        """Number and values of the trials whose results may not be looked at, whether they are in or not."""
        pending = ((n, (self._requests.get(n) or self.finished[n]).values) for n in range(start, end))
        return [(n, values) for n, values in pending if values is not None]
