"""The whole loop as plain calls: what the DAG does, without Airflow.

A stage is one function of a `Run` under the decorator `stage`, which makes it
`(settings, run_key, *, origin, progress, force) -> record`: a stage that is done is answered from its record in
`var/runs/<run_key>`; one that was killed left no record and is done again, on top of whatever its parts kept
(finished trials, the MLflow run, the registered version), to the same end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from ml.origin import Origin
from ml.pipeline.progress import Progress
from ml.pipeline.stages.records import (
    EvaluationRecord,
    Move,
    PromotionRecord,
    RegistrationRecord,
    SnapshotRecord,
    StageRecord,
    TrainingRecord,
    TuningRecord,
)
from ml.pipeline.workspace import STAGES, Workspace
from ml.settings import Settings

NOBODY = Origin()
R = TypeVar("R", bound=StageRecord)
R_co = TypeVar("R_co", bound=StageRecord, covariant=True)

__all__ = ["STAGES", "decline", "evaluate", "generate", "promote", "register", "rollback", "run_all", "train", "tune"]


def quiet(stage: str, done: int, total: int, note: str) -> None:
    """No progress shown."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage works with: settings, the run's workspace, who asked and why, and whom to tell how far it is."""

    settings: Settings
    space: Workspace
    origin: Origin
    progress: Progress


class Stage(Protocol[R_co]):
    """A stage as it is called."""

    def __call__(
        self, settings: Settings, run_key: str, *, origin: Origin = ..., progress: Progress = ..., force: bool = ...
    ) -> R_co:
        """The stage's record, from its file where it is done.

        Parameters
        ----------
        origin
            What started the run (`generate`), or who promotes and why (`promote`).
        progress
            Called with the stage, steps done, steps in all, and what is at hand.
        force
            Do it again, and forget the stages after it.
        """
        ...


def stage(record: type[R]) -> Callable[[Callable[[Run], R]], Stage[R]]:
    """Make a stage of a function: record what it returns, answer from the record, forget it when forced."""

    def decorate(work: Callable[[Run], R]) -> Stage[R]:
        @functools.wraps(work)
        def call(
            settings: Settings,
            run_key: str,
            *,
            origin: Origin = NOBODY,
            progress: Progress = quiet,
            force: bool = False,
        ) -> R:
            run = Run(settings=settings, space=Workspace(settings, run_key), origin=origin, progress=progress)
            return run.space.stage(record, lambda: work(run), force=force)

        return call

    return decorate


@stage(SnapshotRecord)
def generate(run: Run) -> SnapshotRecord:
    """Read the source, add the labelled production rows, validate, split, keep.

    Raises
    ------
    DataError
        The table is broken: nothing was written.
    """
    from ml.pipeline.stages import generate as work

    return work.run(run.settings, run.space, run.origin)


@stage(TrainingRecord)
def train(run: Run) -> TrainingRecord:
    """Fit the logistic grid and the baseline of every family; log each with its curves.

    These are to look at and to compare: the choice is made by `tune`, among whose trials the baselines are.
    """
    from ml.pipeline.stages import generate as generated
    from ml.pipeline.stages import train as work

    return work.run(run.settings, run.space, generated.snapshot_of(run.settings, run.space), run.progress)


@stage(TuningRecord)
def tune(run: Run) -> TuningRecord:
    """Search all families on held-out log-loss; a killed search goes on where it was."""
    from ml.pipeline.stages import generate as generated
    from ml.pipeline.stages import tune as work

    return work.run(run.settings, run.space, generated.snapshot_of(run.settings, run.space), run.progress)


@stage(EvaluationRecord)
def evaluate(run: Run) -> EvaluationRecord:
    """Fit the winner, make its bundle, measure it on the test part, once, and judge it against the champion."""
    from ml.pipeline.stages import evaluate as work
    from ml.pipeline.stages import generate as generated

    return work.run(run.settings, run.space, generated.snapshot_of(run.settings, run.space), run.progress)


@stage(RegistrationRecord)
def register(run: Run) -> RegistrationRecord:
    """Make the judged bundle a version, whatever the verdict: a refused one can be looked at, no alias points at it.

    A run has one version, however often this is called or killed.
    """
    from ml.pipeline.stages import release

    return release.register(run.settings, run.space)


@stage(PromotionRecord)
def promote(run: Run) -> PromotionRecord:
    """Move the alias when the gate said so, and have every service worker confirm.

    A challenger that lost is a result (`promoted` is false and `sentence` says why), not an error.

    Raises
    ------
    PromotionError
        The champion has changed since the evaluation, or the service did not take the version over.
    """
    from ml.pipeline.stages import release

    return release.promote(run.settings, run.space, run.origin)


# In order; `run_all` calls one after the other.
PIPELINE: tuple[Stage[StageRecord], ...] = (generate, train, tune, evaluate, register, promote)


def decline(settings: Settings, run_key: str, *, origin: Origin) -> PromotionRecord:
    """A person says no to a registered challenger: no alias moves, and the ledger has who said it."""
    from ml.pipeline.stages import release

    return release.decline(settings, Workspace(settings, run_key), origin)


def rollback(settings: Settings, to: str | None = None, *, origin: Origin = NOBODY, force: bool = False) -> Move:
    """Go back to the version that really served before, or to a named one; see `ml.registry.rollback`.

    Parameters
    ----------
    to
        A version; None or "": the one that really served before.
    force
        Also where the bundle's examples or the contract speak against it.
    """
    from ml.pipeline.stages import release

    return release.rollback(settings, to or None, origin, force=force)


def run_all(
    settings: Settings,
    run_key: str,
    progress: Progress = quiet,
    *,
    origin: Origin = NOBODY,
    on_stage: Callable[[StageRecord], None] | None = None,
) -> StageRecord:
    """All six stages; the record of the last one done.

    With `approval = "required"` it stops before `promote`: a person runs that.

    Parameters
    ----------
    run_key
        Of the run to begin or to resume: what is recorded is not done again.
    progress
        Called after each step.
    origin
        Who or what asks, for the ledger and MLflow.
    on_stage
        Called with each stage's record, also where it was there before.
    """
    stages = PIPELINE[:-1] if settings.approval == "required" else PIPELINE
    for name, call in zip(STAGES, stages, strict=False):
        progress(name, 0, 1, "")
        done = call(settings, run_key, origin=origin if call is generate else NOBODY, progress=progress)
        if on_stage is not None:
            on_stage(done)
    return done
