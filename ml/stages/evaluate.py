"""evaluate: fit the winner, make its bundle, measure it on the test part, once, and judge it."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml import artifact, card, evaluation, golden, judging, tracking
from ml.bundle import Bundle
from ml.decision import Decision, positive_code
from ml.gate import Verdict
from ml.golden import Untouched
from ml.settings import Settings
from ml.stages import tune
from ml.training import ARCHITECTURE, WEIGHTS, Candidate, CandidateSpec, fit_candidate, save_candidate
from ml.workspace import Workspace, place

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot

Progress = Callable[[str, int, int, str], None]
STEPS = 5


class Fitted(msgspec.Struct, frozen=True):
    """The winner, and the rows it was fitted on."""

    candidate: Candidate
    X: Any
    y: npt.NDArray[np.int64]


def run(settings: Settings, space: Workspace, snapshot: Snapshot, progress: Progress) -> dict[str, Any]:
    """Returns the bundle's place and hash, the test metrics and the verdict."""
    tuned = space.needed("tune")
    progress("evaluate", 0, STEPS, "fitting the winner")
    fitted = fit_winner(settings, Untouched(snapshot, settings), tune.best_of(tuned), bool(tuned["cross_validated"]))
    saved = save_candidate(fitted.candidate, settings.models_dir / space.run_key / "chosen")
    progress("evaluate", 1, STEPS, "calibrating")
    decision = _decide(settings, space, fitted.candidate)
    draft = artifact.begin(space.path / "bundle.draft", fitted.candidate, decision, fitted.X, seed=settings.train.seed)
    progress("evaluate", 2, STEPS, "measuring on the test part")
    test = snapshot.part("test")
    probabilities = judging.predict(draft, test.X)
    metrics = evaluation.evaluate(
        probabilities, test.X, test.y, snapshot.schema, decision=decision,
        n_bootstrap=settings.tune.n_bootstrap, seed=settings.train.seed, weight=test.weight,
    )  # fmt: skip
    metrics |= _provenance(space, snapshot, fitted, tuned)
    progress("evaluate", 3, STEPS, "judging")
    verdict, against, rows = _judge(settings, space, snapshot, draft, fitted)
    progress("evaluate", 4, STEPS, "writing the bundle")
    reference = _reference(settings, snapshot, draft, probabilities)
    trials = tune.trials(space)
    files: dict[str, Any] = {
        "metrics.json": metrics,
        "history.json": fitted.candidate.history,
        "trials.json": [_trial(trial) for trial in trials],
        "gate.json": {**msgspec.to_builtins(verdict), "champion": against, "rows": rows},
        "model_card.md": card.render(snapshot, fitted.candidate, decision, metrics, verdict, trials).encode(),
        WEIGHTS: saved / WEIGHTS,
        ARCHITECTURE: saved / ARCHITECTURE,
        judging.TRAINED_ON: _hashes(fitted, snapshot),
    }
    made = artifact.finish(draft.path, files, reference=reference)
    made.self_check()
    final = space.path / "bundle"
    shutil.rmtree(final, ignore_errors=True)
    os.replace(draft.path, final)
    run_id = tracking.run(settings, space.run_key)
    _log(settings, run_id, fitted.candidate, decision, metrics, verdict, final)
    return {
        "bundle": place(final, settings),
        "sha256": made.sha256,
        "model": place(saved, settings),
        "family": fitted.candidate.spec.family,
        "promote": verdict.promote,
        "sentence": verdict.sentence,
        "reasons": verdict.reasons,
        "champion": against,
        "metrics": {name: found["value"] for name, found in metrics["metrics"].items() if found},
        "run_id": run_id,
        "mlflow_url": tracking.link(settings, run_id),
    }


def fit_winner(settings: Settings, view: Any, spec: CandidateSpec, all_rows: bool) -> Fitted:
    """Fit on training and validation rows together where the search was cross-validated; else on the training rows,
    stopping early on the validation rows that the calibration was chosen on.
    """
    import pandas as pd

    train, valid = view.part("train"), view.part("validation")
    X, y, weight = train.X, train.y, train.weight
    validation: tuple[Any, Any] | None = (valid.X, valid.y)
    if all_rows:
        X, y, validation = pd.concat([train.X, valid.X], ignore_index=True), np.concatenate([train.y, valid.y]), None
        weight = None if weight is None or valid.weight is None else np.concatenate([weight, valid.weight])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that did not converge won the search all the same
        candidate = fit_candidate(
            spec, X, y, schema=view.schema, validation=validation, sample_weight=weight, device=settings.train.device
        )
    return Fitted(candidate, X, y)


def _decide(settings: Settings, space: Workspace, candidate: Candidate) -> Decision:
    held = tune.held_out(space)
    return evaluation.decide(
        held.probabilities, held.y, positive=positive_code(candidate.schema), objective=settings.tune.objective,
        costs=settings.tune.costs or None, weight=held.weight, seed=settings.tune.seed,
    )  # fmt: skip


def _judge(
    settings: Settings, space: Workspace, snapshot: Snapshot, draft: Bundle, fitted: Fitted
) -> tuple[Verdict, str, dict[str, int]]:
    """The verdict, the version it was judged against ("" for none), and how many rows of which kind."""
    info, champion, problem = judging.champion_bundle(settings)
    rows = judging.rows_to_judge(settings, snapshot, champion)
    drift = space.needed("generate").get("origin", {}).get("drift") or {}
    prior = np.bincount(fitted.y, minlength=len(snapshot.schema.classes)) / len(fitted.y)
    verdict = judging.judge(
        settings, rows, draft, champion, prior=prior, degraded=drift.get("verdict") == "degraded",
        seed=settings.train.seed,
    )  # fmt: skip
    if problem:
        verdict = msgspec.structs.replace(verdict, sentence=f"{verdict.sentence} ({problem})")
    return verdict, info.version if info else "", {name: int(mask.sum()) for name, mask in rows.parts.items()}


def _reference(settings: Settings, snapshot: Snapshot, draft: Bundle, probabilities: Any) -> Any:
    """The rows that drift is measured against: the newest held-out ones, if they are enough; else the test part.

    A champion that was retrained because the world had changed is not to be compared with the old world.
    """
    part = snapshot.part("recent")
    if len(part.y) >= settings.drift.min_rows:
        probabilities = judging.predict(draft, part.X)
    else:
        part = snapshot.part("test")
    return artifact.reference_frame(part.X, part.y, probabilities, draft, seed=settings.train.seed)


def _provenance(space: Workspace, snapshot: Snapshot, fitted: Fitted, tuned: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows_trained": len(fitted.y),
        "snapshot": snapshot.id,
        "run_key": space.run_key,
        "family": fitted.candidate.spec.family,
        "params": fitted.candidate.spec.params,
        "seed": fitted.candidate.spec.seed,
        "validation_log_loss": tuned["best_loss"],
        "baseline_log_loss": tuned["baseline_loss"],
        "fit_seconds": fitted.candidate.seconds,
    }


def _trial(trial: Any) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(trial)
    return {k: v for k, v in value.items() if k not in ("history", "values")}


def _hashes(fitted: Fitted, snapshot: Snapshot) -> bytes:
    """The rows of the fit as sorted hashes, so that no later gate judges this version on them."""
    buffer = io.BytesIO()
    np.save(buffer, np.unique(golden.row_hashes(fitted.X, fitted.y, snapshot.schema)), allow_pickle=False)
    return buffer.getvalue()


def _log(
    settings: Settings, run_id: str, candidate: Candidate, decision: Decision, metrics: dict[str, Any],
    verdict: Verdict, bundle: Any,
) -> None:  # fmt: skip
    found = {f"test_{k}": v["value"] for k, v in metrics["metrics"].items() if v}
    bounds = {f"test_{k}_{end}": v[end] for k, v in metrics["metrics"].items() if v for end in ("low", "high")}
    tags = {
        "refit.verdict": "promote" if verdict.promote else "refused",
        "refit.sentence": verdict.sentence,
        "refit.family": candidate.spec.family,
        "mlflow.note.content": (bundle / "model_card.md").read_text(encoding="utf-8")[:5000],
    }
    chosen = {
        "chosen": {"family": candidate.spec.family, "params": candidate.spec.params, "threshold": decision.threshold}
    }
    tracking.log(settings, run_id, params=chosen, metrics=found | bounds, history=candidate.history, tags=tags)
    for name in ("model_card.md", "metrics.json", "gate.json", "trials.json"):
        tracking.log_text(settings, run_id, (bundle / name).read_text(encoding="utf-8"), name)
    tracking.log_text(settings, run_id, card.structure(candidate), "model_structure.txt")
