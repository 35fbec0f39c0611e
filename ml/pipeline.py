"""The whole loop as plain calls: what the DAG does, without Airflow.

Every stage is `(settings, run_key, …) -> small JSON-able dict`. A stage that is done is answered from its
record in `var/runs/<run_key>`; one that was killed left no record and is done again, on top of whatever
its parts kept (finished trials, the MLflow run, the registered version), to the same end.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.settings import Settings, to_values
from ml.workspace import STAGES, Workspace

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

# (stage, steps done, steps in all, what is at hand)
Progress = Callable[[str, int, int, str], None]
Result = dict[str, Any]

__all__ = ["STAGES", "decline", "evaluate", "generate", "promote", "register", "rollback", "run_all", "train", "tune"]


_opened: dict[tuple[Path, str], Snapshot] = {}


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
        from ml import data, retraining_data, tracking

        chosen = retraining_data.select(settings)
        snapshot = data.generate(
            settings, labelled=chosen.labelled, gate_since=chosen.gate_since, train_on_base=chosen.train_on_base
        )
        started_by = {k: v for k, v in (origin or {}).items() if v}
        run_id = tracking.run(settings, run_key, tags=_origin_tags(started_by))
        manifest = snapshot.manifest
        values = {k: v for k, v in to_values(settings).items() if k in ("train", "tune", "gate", "data", "synthetic")}
        values["data"].pop("url")  # may hold a password
        tracking.log_snapshot(settings, run_id, snapshot.id, manifest, snapshot.path)
        tracking.log(settings, run_id, params=values, tags={"refit.snapshot": snapshot.id})
        space.remember_settings(settings)
        return {
            "snapshot": snapshot.id,
            "rows": manifest["rows"],
            "parts": manifest["parts"],
            "columns": len(snapshot.schema.columns),
            "target": snapshot.schema.target,
            "classes": list(snapshot.schema.classes),
            "labelled": manifest.get("labelled", {}),
            "policy": chosen.policy,
            "policy_reason": chosen.reason,
            "warnings": _warnings(manifest),
            "origin": started_by,
            "run_id": run_id,
            "mlflow_url": tracking.link(settings, run_id),
        }

    return space.stage("generate", work, force=force)


def train(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Fit the logistic grid and the baseline of every family; log each with its curves.

    These are to look at and to compare: the choice is made by `tune`, among whose trials the baselines are.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.stages import train as stage

        return stage.run(settings, space, snapshot_of(settings, space), progress)

    return space.stage("train", work, force=force)


def tune(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Search all families on held-out log-loss; a killed search goes on where it was."""
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.stages import tune as stage

        return stage.run(settings, space, snapshot_of(settings, space), progress)

    return space.stage("tune", work, force=force)


def evaluate(settings: Settings, run_key: str, *, progress: Progress = quiet, force: bool = False) -> Result:
    """Fit the winner, make its bundle, measure it on the test part, once, and judge it against the champion."""
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.stages import evaluate as stage

        return stage.run(settings, space, snapshot_of(settings, space), progress)

    return space.stage("evaluate", work, force=force)


def register(settings: Settings, run_key: str, *, force: bool = False) -> Result:
    """Make the judged bundle a version, whatever the verdict: a refused one can be looked at, no alias points at it.

    A run has one version, however often this is called or killed.
    """
    space = Workspace(settings, run_key)

    def work() -> Result:
        from ml.stages import release

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
        from ml.stages import release

        return release.promote(settings, space, who=who, why=why)

    return space.stage("promote", work, force=force)


def decline(settings: Settings, run_key: str, *, who: str, why: str = "") -> Result:
    """A person says no to a registered challenger: no alias moves, and the ledger has who said it."""
    from ml.stages import release

    return release.decline(settings, Workspace(settings, run_key), who=who, why=why)


def rollback(settings: Settings, to: str | None = None, *, who: str = "", why: str = "") -> Result:
    """Go back to the version that really served before, or to a named one; see `ml.registry.rollback`."""
    from ml.stages import release

    return release.rollback(settings, to or None, who=who or user(), why=why)


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


def snapshot_of(settings: Settings, space: Workspace) -> Snapshot:
    """The run's snapshot, as `generate` made it."""
    wanted = str(space.needed("generate")["snapshot"])
    key = (settings.data_dir, wanted)
    if key not in _opened:
        from ml.data import snapshot

        _opened.clear()  # one process runs several stages of one run; a snapshot never changes
        _opened[key] = snapshot.open(settings, wanted)
    return _opened[key]


def user() -> str:
    """Who runs this, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def _warnings(manifest: Mapping[str, Any]) -> list[str]:
    findings = manifest.get("report") or []
    findings = findings.get("findings", []) if isinstance(findings, Mapping) else findings
    texts = [f"{f['column']}: {f['message']}" if f.get("column") else f["message"] for f in findings]
    return [str(text) for text in texts][:50]


def _origin_tags(origin: Mapping[str, Any]) -> dict[str, str]:
    tags = {f"refit.{k}": str(v) for k, v in origin.items() if k != "drift"}
    if drift := origin.get("drift"):
        tags["refit.drift"] = str(drift.get("verdict", drift))
    return tags
