"""train: the logistic grid and the baseline of every family, each with its curves, on the validation part."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import tracking
from ml.charts import figures
from ml.errors import TrainingError
from ml.gate.regression_rows import Untouched
from ml.models import FAMILIES
from ml.pipeline.workspace import Workspace, place
from ml.settings import Settings
from ml.storage import files
from ml.tracking.trial_log import TrialLog
from ml.training import course_grid
from ml.training.candidate import Candidate, CandidateSpec, fit_candidate, save_candidate

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

FIGURES = "figures"
MOST_GRID_ROWS = 200_000  # liblinear and saga take minutes beyond; the grid is there to be looked at


def run(
    settings: Settings, space: Workspace, snapshot: Snapshot, progress: Callable[[str, int, int, str], None]
) -> dict[str, Any]:
    """Fit, score, log and save; returns the grid's scores, the baselines' and where they were saved."""
    view = Untouched(snapshot, settings)
    train, valid = view.part("train"), view.part("validation")
    specs = _specs(settings, len(train.y))
    rows: list[dict[str, Any]] = []
    saved: dict[str, str] = {}
    run_id = tracking.run(settings, space.run_key)
    with TrialLog(settings, run_id, "train") as log:
        for i, (kind, spec) in enumerate(specs):
            most = MOST_GRID_ROWS if kind == "grid" else len(train.y)
            row, candidate = _fit(kind, spec, train, valid, view.schema, most, settings)
            rows.append(row)
            folder = None
            if candidate is not None:
                folder = save_candidate(candidate, _folder(settings, space, kind, spec, i))
            log.add(
                f"{kind} {spec.family} {_name(spec)}",
                key=f"train-{i}",
                params={"family": spec.family, "seed": spec.seed, **spec.params},
                metrics={f"validation_{k}": v for k, v in row["scores"].items()} | {"seconds": row["seconds"]},
                history=candidate.history if candidate else [],
                tags={"refit.kind": kind, **({"refit.error": row["error"]} if row["error"] else {})},
                failed=candidate is None,
                seconds=row["seconds"],
                model=folder,
            )
            if kind == "baseline" and candidate is not None and folder is not None:
                saved[spec.family] = place(folder, settings)
                _draw(space, candidate)
            progress("train", i + 1, len(specs), f"{spec.family} {row['scores'].get('log_loss', float('nan')):.4f}")
    if all(row["error"] for row in rows):
        raise TrainingError(f"nothing could be fitted: {rows[0]['error']}")
    tracking.log_files(settings, run_id, space.path / FIGURES, FIGURES)
    found = _grid(rows)
    beside = settings.data.source == "synthetic"
    text = f"{course_grid.table(found, beside_report=beside)}\n" if found else ""
    text += f"\n{course_grid.comparison(found, len(valid.y))}\n" if found and beside else ""
    if text:
        tracking.log_text(settings, run_id, text, "logistic_grid.txt")
    return {
        "candidates": rows,
        "grid": found,
        "beside_report": beside,
        "validation_rows": len(valid.y),
        "saved": saved,
        "left_out_golden": view.left_out,
        "mlflow_url": tracking.link(settings, run_id),
    }


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
    if unknown := [name for name in names if name not in FAMILIES]:
        raise TrainingError(f"unknown family '{unknown[0]}'; there are {', '.join(FAMILIES)}")
    grids = [("grid", CandidateSpec(name, params, seed)) for name in names for params in FAMILIES[name].grid()]
    baselines = [("baseline", CandidateSpec(name, FAMILIES[name].baseline(n_rows), seed)) for name in names]
    return grids + baselines


def _fit(
    kind: str, spec: CandidateSpec, train: Any, valid: Any, schema: Any, most: int, settings: Settings
) -> tuple[dict[str, Any], Candidate | None]:
    row: dict[str, Any] = {"kind": kind, "family": spec.family, "params": spec.params, "scores": {}, "seconds": 0.0}
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
        return row | {"error": f"{type(error).__name__}: {error}"}, None
    return row | {"scores": candidate.scores, "seconds": candidate.seconds, "error": ""}, candidate


def _grid(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """C, solver and the scores of the grid's points; scores are None where the point could not be fitted."""
    wanted = ("accuracy", "f1", "log_loss")
    return [
        {"C": row["params"]["C"], "solver": row["params"]["solver"], **{k: row["scores"].get(k) for k in wanted}}
        for row in rows
        if row["kind"] == "grid" and {"C", "solver"} <= set(row["params"])
    ]


def _name(spec: CandidateSpec) -> str:
    return " ".join(f"{k}={v}" for k, v in spec.params.items() if k in ("C", "solver"))
