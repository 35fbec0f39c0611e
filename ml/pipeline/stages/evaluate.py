"""evaluate: fit the winner, make its bundle, measure it on the test part, once, and judge it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ml import evaluation, registry, tracking, tuning
from ml.bundle import writer
from ml.bundle.reader import Bundle
from ml.charts import figures
from ml.charts.model_quality import Curve
from ml.charts.search_history import ScoredTrial
from ml.decision import Decision, of_metrics, positive_code
from ml.errors import BundleError
from ml.explain.explainer import Explainer, importance
from ml.gate import evidence, fitted_rows, regression_rows
from ml.gate.fitted_rows import FittedRows
from ml.gate.regression_rows import SnapshotWithoutHoldout
from ml.gate.rules import Verdict
from ml.messages import message
from ml.pipeline import final_fit, model_card
from ml.pipeline.model_card import ModelMetrics
from ml.pipeline.progress import Progress
from ml.pipeline.stages import generate, tune
from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord, TrainingRecord, TuningRecord
from ml.pipeline.workspace import Workspace, place
from ml.retraining import standing
from ml.retraining.standing import Standing
from ml.schema.schema import Schema
from ml.settings import Settings
from ml.storage.files import replace_folder
from ml.training.candidate import ARCHITECTURE, WEIGHTS, Candidate, save_candidate
from ml.training.course_grid import Grid
from ml.tuning.refit import Refitted
from ml.tuning.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.snapshot import Snapshot

JUDGED = "bundle.judged"  # the fit that the gate judged, where another one of the same recipe is served
STEPS = 5  # of the stage's progress
IMPORTANCE_ROWS = 50  # of the test part, which is in random order or the oldest of the newest; our choice
IMPORTANCE_COLUMNS = 200  # the work for one row grows with their square


def run(settings: Settings, space: Workspace, snapshot: Snapshot, progress: Progress) -> EvaluationRecord:
    """Returns the bundle's place and hash, the test metrics and the verdict.

    A run that has registered its bundle already is only judged again: its version stays the one it is.
    """
    tuned = space.needed(TuningRecord)
    run_id = tracking.run(settings, space.run_key)
    registered = _registered(settings, space, snapshot, tuned, run_id)
    if registered is None:
        registered, verdict, against = _make(settings, space, snapshot, tuned, progress)
        _log(settings, run_id, registered, verdict)
    else:
        progress("evaluate", 3, STEPS, "judging again")
        judged = space.path / JUDGED  # the registered fit may have learnt the rows of the gate by now
        verdict, against, _ = _judge(settings, space, snapshot, Bundle.open(judged) if judged.is_dir() else registered)
        tracking.log(settings, run_id, tags=_verdict_tags(verdict))
    return EvaluationRecord(
        bundle=place(registered.path, settings),
        sha256=registered.sha256,
        model=place(_saved(settings, space), settings),
        family=registered.metrics["family"],
        promote=verdict.promote,
        message=verdict.message,
        messages=tuple(verdict.messages),
        champion=against.version,
        champion_sha256=against.sha256,
        degraded=against.known.degraded,
        outdone=against.known.outdone,
        metrics={name: found["value"] for name, found in registered.metrics["metrics"].items() if found},
        no_skill=registered.metrics.get("no_skill", {}),
        at_half=registered.metrics.get("at_half", {}),
        told=tuple(of_metrics(registered.decision, registered.schema, registered.metrics)),
        run_id=run_id,
        mlflow_url=tracking.link(settings, run_id),
    )


def _make(
    settings: Settings, space: Workspace, snapshot: Snapshot, tuned: TuningRecord, progress: Progress
) -> tuple[Bundle, Verdict, _Against]:
    """Fit, calibrate, measure, judge, and write the bundle."""
    progress("evaluate", 0, STEPS, "fitting the winner")
    shutil.rmtree(space.path / JUDGED, ignore_errors=True)  # of a winner before this one
    view = SnapshotWithoutHoldout(snapshot, settings)
    fitted = tuning.refit(tuned.best, view, settings, on_all=tuned.fit_on_all)
    progress("evaluate", 1, STEPS, "calibrating")
    decision = _decide(settings, space, fitted.candidate)
    draft = writer.begin(space.path / "bundle.draft", fitted.candidate, decision, fitted.X, seed=settings.train.seed)
    progress("evaluate", 2, STEPS, "measuring on the test part")
    test = snapshot.part("test")
    probabilities = evidence.predict(draft, test.X)
    measured = evaluation.evaluate(
        probabilities, test.X, test.y, snapshot.schema, decision=decision,
        n_bootstrap=settings.tune.n_bootstrap, seed=settings.train.seed, weight=test.weight,
    )  # fmt: skip
    progress("evaluate", 3, STEPS, "judging")
    verdict, against, rows = _judge(settings, space, snapshot, draft)
    served, verdict = _serve(settings, space, snapshot, tuned, _Served.of(fitted, draft, snapshot), rows, verdict)
    digests = fitted_rows.write(space.path / fitted_rows.FOLDER, served.hashes, served.ids)
    saved = save_candidate(served.candidate, _saved(settings, space))
    metrics = ModelMetrics(
        **msgspec.structs.asdict(measured),
        rows_trained=served.rows,
        rows_judged_fit=len(fitted.y),
        snapshot=snapshot.id,
        run_key=space.run_key,
        family=fitted.candidate.spec.family,
        params=fitted.candidate.spec.params,
        seed=fitted.candidate.spec.seed,
        validation_log_loss=tuned.best_loss,
        baseline_log_loss=tuned.baseline_loss,
        importance=_importance(draft, test.X),
        fitted_rows=digests,
    )
    progress("evaluate", 4, STEPS, "writing the bundle")
    held = evidence.reference_part(settings, snapshot)
    reference = writer.reference_frame(
        held.X, held.y, evidence.predict(draft, held.X), draft, seed=settings.train.seed,
        weight=evidence.reference_weight(settings, snapshot),
    )  # fmt: skip
    trials = tune.trials(space)
    curves = evaluation.curves(probabilities, test.y, snapshot.schema)
    drawn = _figures(fitted.candidate, metrics, curves, trials, snapshot.schema)
    made = space.needed(SnapshotRecord)
    card = model_card.document(
        snapshot, served.candidate, decision, metrics, verdict, trials, data=settings.data,
        most_rows=settings.train.max_rows, policy=generate.labelled_policy(made.policy, made.policy_message),
    )  # fmt: skip
    files = {
        "metrics.json": metrics,
        "history.json": fitted.candidate.history,
        "trials.json": [_trial(trial) for trial in trials],
        "grid.json": _grid(space),
        "curves.json": curves,
        "gate.json": {**verdict.to_dict(), "champion": against.version, "rows": _counts(rows)},
        "model_card.json": msgspec.to_builtins(card),
        "model_card.md": model_card.render(card, snapshot, served.candidate).encode(),
        "structure.json": served.candidate.model.describe(),
        WEIGHTS: saved / WEIGHTS,
        ARCHITECTURE: saved / ARCHITECTURE,
        **{f"figures/{name}": figure for name, figure in drawn.items()},
    }
    writer.finish(served.bundle.path, files, reference=reference).self_check()
    if served.bundle is not draft:
        replace_folder(draft.path, space.path / JUDGED)
    final = space.path / "bundle"
    replace_folder(served.bundle.path, final)
    return Bundle.open(final), verdict, against


class _Against(NamedTuple):
    """The champion that was judged against, "" for none, and what was known of it."""

    version: str = ""
    sha256: str = ""
    known: Standing = Standing()


@dataclass(frozen=True)
class _Served:
    """A fit that may be served: hashes of its `rows` and of whom they are about."""

    bundle: Bundle
    candidate: Candidate
    X: pd.DataFrame
    rows: int
    hashes: npt.NDArray[np.uint64]
    ids: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, fitted: Refitted, draft: Bundle, snapshot: Snapshot) -> _Served:
        """The judged fit."""
        hashes = regression_rows.row_hashes(fitted.X, fitted.y, snapshot.schema)
        return cls(draft, fitted.candidate, fitted.X, len(fitted.y), hashes, _trained_ids(snapshot))


def _serve(
    settings: Settings, space: Workspace, snapshot: Snapshot, tuned: TuningRecord, judged: _Served, rows: evidence.Rows,
    verdict: Verdict,
) -> tuple[_Served, Verdict]:  # fmt: skip
    """The final fit of a recipe that passed the gate, or the judged one, and the verdict with which of them it is."""
    if not (settings.gate.refit and verdict.promote):
        return judged, verdict
    view = final_fit.AllRows(snapshot, settings)
    if not view.added:
        return judged, verdict
    seed = settings.train.seed
    fitted = tuning.refit(tuned.best, view, settings, on_all=tuned.fit_on_all)
    # Examples and background stay those of the judged fit: rows that were for training from the first.
    bundle = writer.begin(
        space.path / "bundle.final", fitted.candidate, judged.bundle.decision, judged.X, seed=seed
    )  # fmt: skip
    if why := final_fit.objection(settings, rows, judged.bundle, bundle, seed=seed):
        return judged, evidence.noted(verdict, [message("gate.final_fit_not_kept", reason=why)])
    ids = np.concatenate([judged.ids, evidence.id_hashes(view.ids())])
    served = _Served(bundle, fitted.candidate, judged.X, len(fitted.y), view.hashes(judged.hashes), ids)
    return served, evidence.noted(verdict, [message("gate.final_fit", n=view.added)])


def _counts(rows: evidence.Rows) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in rows.parts.items()}


def _registered(
    settings: Settings, space: Workspace, snapshot: Snapshot, tuned: TuningRecord, run_id: str
) -> Bundle | None:
    """The bundle this run has registered, if it is of the same snapshot and the same winner."""
    info = registry.of_run(settings, run_id, space.run_key)
    if info is None:
        return None
    bundle = Bundle.open(registry.download(settings, info), sha256=info.sha256)
    known = (bundle.metrics.get("snapshot"), bundle.metrics.get("family"), bundle.metrics.get("params"))
    return bundle if known == (snapshot.id, tuned.best.family, tuned.best.params) else None


def _saved(settings: Settings, space: Workspace) -> Path:
    return settings.models_dir / space.run_key / "chosen"


def _decide(settings: Settings, space: Workspace, candidate: Candidate) -> Decision:
    held = tune.held_out(space)
    return evaluation.decide(
        held.probabilities, held.y, positive=positive_code(candidate.schema), objective=settings.tune.objective,
        costs=settings.tune.costs or None, weight=held.weight, seed=settings.tune.seed,
    )  # fmt: skip


def _judge(
    settings: Settings, space: Workspace, snapshot: Snapshot, challenger: Bundle
) -> tuple[Verdict, _Against, evidence.Rows]:
    """The verdict, the version it was judged against, and the rows."""
    info, champion, problem = evidence.champion_bundle(settings, but_of=space.run_key)
    figures = challenger.metrics  # a draft has none
    learnt = figures.get("rows_judged_fit") != figures.get("rows_trained")  # the rows of the gate, by a final fit
    known = FittedRows()
    if champion is not None and info is not None:
        try:
            known = fitted_rows.of(settings, champion, info.version)
        except BundleError as error:  # it might be judged on rows that it has learnt
            problem = message("gate.champion_not_loaded", version=info.version, error=error.explanation)
            champion = None
    own = None
    if learnt:
        made = registry.of_run(settings, tracking.run(settings, space.run_key), space.run_key)
        beside = space.path / fitted_rows.FOLDER
        own = fitted_rows.of(settings, challenger, made.version if made else "", beside=beside)
    rows = evidence.rows_to_judge(settings, snapshot, known, own)
    against = _Against(info.version, info.sha256) if info else _Against()
    against = against._replace(known=standing.of_champion(settings, *against[:2], space.origin().drift))
    classes = len(snapshot.schema.classes)
    trained = ("train", "validation")
    if snapshot.manifest.labelled.weighed:
        some = (part for name in trained for part in snapshot.blocks(name))
        counts = np.sum([np.bincount(part.y, part.weight, minlength=classes) for part in some], axis=0)
    else:
        counts = np.sum([np.bincount(snapshot.labels(name), minlength=classes) for name in trained], axis=0)
    verdict = evidence.judge(
        settings, rows, challenger, champion, prior=counts / counts.sum(), degraded=against.known.degraded,
        challenger_beats_champion=against.known.outdone,
        seed=settings.train.seed, problem=problem, family=space.needed(TuningRecord).best.family,
    )  # fmt: skip
    return verdict, against, rows


def _importance(bundle: Bundle, X: pd.DataFrame) -> dict[str, float]:
    """Mean absolute attribution of each column over some test rows, in log-odds; empty for very wide tables."""
    if not len(X) or not len(bundle.background) or len(bundle.schema.columns) > IMPORTANCE_COLUMNS:
        return {}
    rows = writer.rows_of(X.iloc[:IMPORTANCE_ROWS], bundle.schema)
    return importance(Explainer.of(bundle), rows)


def _figures(
    candidate: Candidate, metrics: ModelMetrics, curves: list[Curve], trials: list[Trial], schema: Schema
) -> dict[str, bytes]:
    """Drawn from what the bundle keeps as numbers, as the service's pages draw it."""
    scored = [t for t in sorted(trials, key=lambda trial: trial.number) if t.loss is not None]
    return figures.version_figures(
        history=candidate.history,
        trials=msgspec.convert(scored, list[ScoredTrial], from_attributes=True),
        failed=len(trials) - len(scored),
        structure=msgspec.to_builtins(candidate.model.describe()),
        curves=curves,
        confusion=metrics.confusion,
        classes=schema.classes,
        importance=metrics.importance,
    )


def _grid(space: Workspace) -> Grid:
    """The logistic grid of this run."""
    found = space.needed(TrainingRecord)
    return Grid(points=found.grid, validation_rows=found.validation_rows, beside_report=found.beside_report)


def _trial(trial: Trial) -> Trial:
    """As the bundle keeps it: without curves and what only the search needs."""
    return msgspec.structs.replace(trial, history=[], values=None, resolved={})


def _trained_ids(snapshot: Snapshot) -> npt.NDArray[np.uint64]:
    return evidence.id_hashes(np.concatenate([snapshot.ids(name) for name in ("train", "validation")]))


def _verdict_tags(verdict: Verdict) -> dict[str, str]:
    return {"refit.verdict": "promote" if verdict.promote else "refused", "refit.sentence": verdict.sentence}


def _log(settings: Settings, run_id: str, made: Bundle, verdict: Verdict) -> None:
    """The outcome to MLflow: metrics with their bounds, curves, the card and the judged numbers as texts."""
    metrics = made.metrics
    test_figures = {f"test_{k}": v["value"] for k, v in metrics["metrics"].items() if v}
    bounds = {f"test_{k}_{end}": v[end] for k, v in metrics["metrics"].items() if v for end in ("low", "high")}
    tags = {
        **_verdict_tags(verdict),
        "refit.family": metrics["family"],
        "refit.undefined_metrics": ", ".join(k for k, v in metrics["metrics"].items() if not v or v["value"] is None),
        "mlflow.note.content": (made.path / "model_card.md").read_text(encoding="utf-8")[:5000],
    }
    chosen = {"family": metrics["family"], "params": metrics["params"], "threshold": made.decision.threshold}
    history = made.json("history.json") or []
    tracking.log(settings, run_id, params={"chosen": chosen}, metrics=test_figures | bounds, history=history, tags=tags)
    for name in ("model_card.md", "structure.json", "metrics.json", "gate.json", "trials.json"):
        tracking.log_text(settings, run_id, (made.path / name).read_text(encoding="utf-8"), name)
    tracking.log_files(settings, run_id, made.path / "figures", "figures")
