"""tune: the search over all families, its trials as nested runs, its outcome kept for `evaluate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from ml import tracking, tuning
from ml.gate.regression_rows import SnapshotWithoutHoldout
from ml.pipeline.progress import Progress
from ml.pipeline.shared_trials import SharedTrials
from ml.pipeline.stages.records import Member, TuningRecord
from ml.pipeline.workspace import Workspace
from ml.settings import Settings
from ml.storage.files import write_bytes
from ml.tracking.trial_log import TrialLog

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

HELD_OUT = "held_out.npz"


class HeldOut(msgspec.Struct, frozen=True):
    """Held-out rows of the search: `probabilities` (n, C) of the winner, `y` (n,) codes, `weight` (n,) or None."""

    probabilities: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64] | None


def run(settings: Settings, space: Workspace, snapshot: Snapshot, progress: Progress) -> TuningRecord:
    """Search; returns the winner's spec, the losses, and counts."""
    best, trials = np.inf, SharedTrials(space)

    def show(done: int, total: int, trial: tuning.Trial) -> None:
        nonlocal best
        trials.keep()
        best = min(best, trial.loss) if trial.loss is not None and trial.status == "ok" else best
        progress("tune", done, total, f"best log-loss {best:.4f}")

    trials.fetch()
    run_id = tracking.run(settings, space.run_key)
    with TrialLog(settings, run_id, "tune") as log:
        result: tuning.TuneResult = tuning.search(
            SnapshotWithoutHoldout(snapshot, settings),  # type: ignore[arg-type]  # a snapshot in all that the search reads
            settings,
            workdir=space.path / "tune",
            tracker=log,
            progress=show,
        )
    trials.finish()
    _keep(result, space.path / "tune")
    write_bytes(space.path / "tune" / "trials.json", msgspec.json.format(msgspec.json.encode(result.trials)))
    tracking.log(
        settings,
        run_id,
        metrics={"tune_best_log_loss": result.best_loss, "tune_baseline_log_loss": result.baseline_loss},
    )
    states = [trial.status for trial in result.trials]
    return TuningRecord(
        best=result.best,
        best_loss=result.best_loss,
        baseline_loss=result.baseline_loss,
        members=tuple(Member(family=spec.family, weight=share) for spec, share in result.members),
        fit_on_all=result.fit_on_all,
        trials=len(states),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        mlflow_url=tracking.link(settings, run_id),
    )


def held_out(space: Workspace) -> HeldOut:
    """What calibration and threshold are chosen on."""
    with np.load(space.path / "tune" / HELD_OUT, allow_pickle=False) as arrays:
        weight = arrays["weight"] if "weight" in arrays.files else None
        return HeldOut(arrays["probabilities"], arrays["y"], weight)


def trials(space: Workspace) -> list[tuning.Trial]:
    """All trials of the search."""
    return msgspec.json.decode((space.path / "tune" / "trials.json").read_bytes(), type=list[tuning.Trial])


def _keep(found: tuning.TuneResult, folder: Path) -> None:
    arrays = {"probabilities": found.probabilities, "y": found.y}
    if found.weight is not None:
        arrays["weight"] = found.weight
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(folder / HELD_OUT, buffer.getvalue())
