"""The whole loop as plain calls: what the DAG does, without Airflow.

Every stage is `(settings, run_key, …) -> small JSON-able dict`. A stage that is done is answered from its
record in `var/runs/<run_key>`; one that was killed left no record and is done again, on top of whatever
its parts kept (finished trials, the MLflow run, the registered version), to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ml.pipeline.workspace import STAGES, Workspace
from ml.settings import Settings

# (stage, steps done, steps in all, what is at hand)
Progress = Callable[[str, int, int, str], None]
Result = dict[str, Any]

__all__ = ["STAGES", "decline", "evaluate", "generate", "promote", "register", "rollback", "run_all", "train", "tune"]


def quiet(stage: str, done: int, total: int, note: str) -> None:
    """No progress shown."""


def generate(
    settings: Settings, run_key: str, *, origin: Mapping[str, Any] | None = None, force: bool = False
) -> Result:
    """Read the source, add the labelled production rows, validate, split, keep.

    Parameters
    ----------
    origin
        What started the run: `who`, `reason`, `drift` (a verdict), `airflow_run_url`. Kept with the run.

    Raises
    ------
    DataError
        The table is broken: nothing was written.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import generate as stage

        return stage.run(settings, space, origin or {})

    return space.stage("generate", work, force=force)


def train(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Fit the logistic grid and the baseline of every family; log each with its curves.

    These are to look at and to compare: the choice is made by `tune`, among whose trials the baselines are.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import generate as generated
        from ml.pipeline.stages import train as stage

        return stage.run(settings, space, generated.snapshot_of(settings, space), progress)

    return space.stage("train", work, force=force)


def tune(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Search all families on held-out log-loss; a killed search goes on where it was."""
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import generate as generated
        from ml.pipeline.stages import tune as stage

        return stage.run(settings, space, generated.snapshot_of(settings, space), progress)

    return space.stage("tune", work, force=force)


def evaluate(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Fit the winner, make its bundle, measure it on the test part, once, and judge it against the champion."""
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import evaluate as stage
        from ml.pipeline.stages import generate as generated

        return stage.run(settings, space, generated.snapshot_of(settings, space), progress)

    return space.stage("evaluate", work, force=force)


def register(settings: Settings, run_key: str, *, force: bool = False) -> Result:
    """Make the judged bundle a version, whatever the verdict: a refused one can be looked at, no alias points at it.

    A run has one version, however often this is called or killed.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import release

        return release.register(settings, space)

    return space.stage("register", work, force=force)


def promote(settings: Settings, run_key: str, *, who: str = "", why: str = "", force: bool = False) -> Result:
    """Move the alias when the gate said so, and have every service worker confirm.

    A challenger that lost is a result (`promoted` is false and `sentence` says why), not an error.

    Raises
    ------
    PromotionError
        The champion has changed since the evaluation, or the service did not take the version over.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.pipeline.stages import release

        return release.promote(settings, space, who=who, why=why)

    return space.stage("promote", work, force=force)


def decline(settings: Settings, run_key: str, *, who: str, why: str = "") -> Result:
    """A person says no to a registered challenger: no alias moves, and the ledger has who said it."""
    from ml.pipeline.stages import release

    return release.decline(settings, Workspace(settings, run_key), who=who, why=why)


def rollback(settings: Settings, to: str | None = None, *, who: str = "", why: str = "") -> Result:
    """Go back to the version that really served before, or to a named one; see `ml.registry.rollback`."""
    from ml.pipeline.stages import release

    return release.rollback(settings, to or None, who=who, why=why)


def run_all(
    settings: Settings,
    run_key: str,
    progress: Progress = quiet,
    *,
    origin: Mapping[str, Any] | None = None,
    on_stage: Callable[[str, Result], None] | None = None,
) -> Result:
    """All six stages; the result of the last one done.

    With `approval = "required"` it stops before `promote`: a person runs that.
    """
    calls: dict[str, Callable[[], Result]] = {
        "generate": lambda: generate(settings, run_key, origin=origin),
        "train": lambda: train(settings, run_key, progress=progress),
        "tune": lambda: tune(settings, run_key, progress=progress),
        "evaluate": lambda: evaluate(settings, run_key, progress=progress),
        "register": lambda: register(settings, run_key),
        "promote": lambda: promote(settings, run_key),
    }
    result: Result = {}
    for name in STAGES:
        if name == "promote" and settings.approval == "required":
            break
        progress(name, 0, 1, "")
        result = calls[name]()
        if on_stage is not None:
            on_stage(name, result)
    return result
