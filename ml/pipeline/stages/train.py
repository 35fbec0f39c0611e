"""train: the logistic grid and the baseline of every family, each with its curves, on the validation part."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ml import tracking
from ml.charts import figures
from ml.errors import TrainingError
from ml.gate.regression_rows import SnapshotWithoutHoldout
from ml.messages import message
from ml.models import FAMILIES, refuse_unknown
from ml.pipeline.progress import Progress
from ml.pipeline.stages.records import FittedCandidate, TrainingRecord
from ml.pipeline.workspace import Workspace, place
from ml.settings import Settings
from ml.storage import files
from ml.tracking.trial_log import TrialLog
from ml.training import course_grid
from ml.training.candidate import Candidate, CandidateSpec, fit_candidate, save_candidate
from ml.training.course_grid import GridPoint

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

FIGURES = "figures"
MOST_GRID_ROWS = 200_000  # liblinear and saga take minutes beyond; the grid is there to be looked at


def run(settings: Settings, space: Workspace, snapshot: Snapshot, progress: Progress) -> TrainingRecord:
    """Fit, score, log and save; returns the grid's scores, the baselines' and where they were saved."""
    view = SnapshotWithoutHoldout(snapshot, settings)
    train, valid = view.part("train"), view.part("validation")
    specs = _specs(settings, len(train.y))
    rows: list[FittedCandidate] = []
    saved: dict[str, str] = {}
    run_id = tracking.run(settings, space.run_key)
    with TrialLog(settings, run_id, "train") as log:
        for i, (kind, spec) in enumerate(specs):
            most = MOST_GRID_ROWS if kind == "grid" else len(train.y)
            row, candidate = _fit(kind, spec, train, valid, view.schema, most, settings)
            rows.append(row)
            scores = candidate.scores if candidate else {}
            folder = None
            if candidate is not None:
                folder = save_candidate(candidate, _folder(settings, space, kind, spec, i))
            log.add(
                f"{kind} {spec.family} {_name(spec)}",
                key=f"train-{i}",
                params={"family": spec.family, "seed": spec.seed, **spec.params},
                metrics={f"validation_{k}": v for k, v in scores.items()} | {"seconds": row.seconds},
                history=candidate.history if candidate else [],
                tags={"refit.kind": kind, **({"refit.error": row.error} if row.error else {})},
                failed=candidate is None,
                seconds=row.seconds,
                model=folder,
            )
            if kind == "baseline" and candidate is not None and folder is not None:
                saved[spec.family] = place(folder, settings)
                _draw(space, candidate)
            loss = row.scores.get("log_loss")
            progress("train", i + 1, len(specs), spec.family if loss is None else f"{spec.family} {loss:.4f}")
    if all(row.error for row in rows):
        raise TrainingError(message("training.nothing_fitted", error=rows[0].error))
    tracking.log_files(settings, run_id, space.path / FIGURES, FIGURES)
    points = _grid(rows)
    beside = settings.data.source == "synthetic"
    text = f"{course_grid.table(points, beside_report=beside)}\n" if points else ""
    text += f"\n{course_grid.comparison(points, len(valid.y))}\n" if points and beside else ""
    if text:
        tracking.log_text(settings, run_id, text, "logistic_grid.txt")
    return TrainingRecord(
        candidates=tuple(rows),
        grid=points,
        beside_report=beside,
        validation_rows=len(valid.y),
        saved=saved,
        left_out_regression=view.left_out,
        mlflow_url=tracking.link(settings, run_id),
    )


def _folder(settings: Settings, space: Workspace, kind: str, spec: CandidateSpec, number: int) -> Path:
    """Where a candidate is saved: a baseline for good, a point of the grid beside the run that logs it."""
    if kind == "baseline":
        return settings.models_dir / space.run_key / f"baseline-{spec.family}"
    return space.path / kind / str(number)


def _draw(space: Workspace, baseline: Candidate) -> None:
    """The training curves of a family that has epochs, whichever family wins in the end."""
    if baseline.history:
        folder = space.path / FIGURES
        folder.mkdir(exist_ok=True)
        picture = figures.training_curves(baseline.history)
        files.write_bytes(folder / f"training_curves_{baseline.spec.family}.svg", picture)


def _specs(settings: Settings, n_rows: int) -> list[tuple[str, CandidateSpec]]:
    seed, names = settings.train.seed, settings.train.families
    refuse_unknown(names)
    grids = [("grid", CandidateSpec(name, params, seed)) for name in names for params in FAMILIES[name].grid()]
    baselines = [("baseline", CandidateSpec(name, FAMILIES[name].baseline(n_rows), seed)) for name in names]
    return grids + baselines


def _fit(
    kind: str, spec: CandidateSpec, train: Any, valid: Any, schema: Any, most: int, settings: Settings
) -> tuple[FittedCandidate, Candidate | None]:
    row = FittedCandidate(kind=kind, family=spec.family, params=spec.params)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver that does not converge is judged by its scores
            candidate = fit_candidate(
                spec,
                train.X.iloc[:most],
                train.y[:most],
                schema=schema,
                validation=(valid.X, valid.y),
                sample_weight=None if train.weight is None else train.weight[:most],
                device=settings.train.device,
            )
    except (
        Exception
    ) as error:  # a grid point that a table does not allow (liblinear, three classes) is a row, not an end
        return msgspec.structs.replace(row, error=f"{type(error).__name__}: {error}"), None
    return msgspec.structs.replace(row, scores=dict(candidate.scores), seconds=candidate.seconds), candidate


def _grid(rows: list[FittedCandidate]) -> tuple[GridPoint, ...]:
    """The grid's points with C, solver and scores."""
    return tuple(
        GridPoint(C=float(row.params["C"]), solver=str(row.params["solver"]), **row.scores)
        for row in rows
        if row.kind == "grid" and {"C", "solver"} <= set(row.params)
    )


def _name(spec: CandidateSpec) -> str:
    return " ".join(f"{k}={v}" for k, v in spec.params.items() if k in ("C", "solver"))
