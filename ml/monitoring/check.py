"""Compare what the champion has answered lately with what it was judged on, and record the verdict. Moves nothing.

One step of three: `ml.release.watch` looks after the release before it, and whether to retrain is decided after it
(`ml.monitoring.retraining_decision`), from what is recorded here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ml import predictions
from ml.drift import champion_reference, features, performance, rule, verdict_history
from ml.drift.reference import Baseline, canonical
from ml.drift.verdict import DriftVerdict, Performance, Shadow, Window
from ml.errors import BundleError, RegistryError
from ml.exploration.weights import weights
from ml.messages import Message, message
from ml.monitoring import evidently_report, histograms, mlflow_figures, report_files
from ml.predictions.label_coverage import coverage
from ml.registry import ledger
from ml.retraining import fresh_model_probe, window_policy, window_record
from ml.settings import Settings
from ml.storage import clock, database

if TYPE_CHECKING:
    import pandas as pd


def compare(
    settings: Settings, *, now: float | None = None, shadow: Shadow | None = None, baseline: Baseline | None = None
) -> DriftVerdict:
    """Compare what the champion has answered since its last check with what it was judged on.

    The window is what the champion itself answered since the end of its last window, at most the newest
    `settings.drift.window_rows`: windows do not overlap, and a promotion starts anew with the new champion's own
    reference. Labels are read over the champion's newest labelled rows, however late they came.

    Parameters
    ----------
    now
        Seconds; the clock by default.
    shadow
        How the challenger in shadow stands; kept with the verdict.
    baseline
        Instead of the registered champion's.

    Returns
    -------
    The recorded verdict, on which nothing is decided yet (`decided` is false). One that was left so, by a process that
    was killed before it came to decide, is returned again: its window would be lost otherwise.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        Nothing was recorded; the call may be made again.
    BundleError, RegistryError
        The champion's bundle is damaged, or its version deleted: recorded as the verdict's reason.
    """
    now = clock.now(settings) if now is None else now
    baseline = _reference(settings, now, shadow) if baseline is None else baseline
    if baseline is None:
        return _saved(settings, _insufficient(settings, now, "", message("drift.no_model"), shadow))
    if (left := _left_undecided(settings, baseline)) is not None:
        return left
    drift, engine = settings.drift, database.engine(settings)
    earlier = verdict_history.history(settings, drift.history, version=baseline.version, sha256=baseline.sha256)
    counted = [c for c in earlier if c.verdict != "insufficient data"]
    # The end of the last window is in that window: the next begins just after it.
    since = np.nextafter(counted[0].window.end, np.inf) if counted and counted[0].window.end else None
    current = predictions.window(
        engine, since=since, until=now, rows=drift.window_rows, version=baseline.version, sha256=baseline.sha256
    )
    if len(current) < drift.min_rows:
        known = {"n": len(current), "version": baseline.version, "needed": drift.min_rows}
        reason = message("drift.too_few_predictions", **known)
        return _saved(settings, _insufficient(settings, now, baseline.version, reason, shadow))
    verdict = _examine(settings, now, baseline, current, counted)
    return _saved(settings, msgspec.structs.replace(verdict, shadow=shadow))


def _reference(settings: Settings, now: float, shadow: Shadow | None) -> Baseline | None:
    """The champion's; one that is there and cannot be read is told on the pages too, and is an error."""
    try:
        return champion_reference.load(settings)
    except (BundleError, RegistryError) as error:
        reason = message("drift.champion_not_readable", error=error.explanation)
        _saved(settings, _insufficient(settings, now, ledger.serving(settings), reason, shadow))
        raise


def _left_undecided(settings: Settings, baseline: Baseline) -> DriftVerdict | None:
    """The newest verdict, if it is on this version and waits for its decision."""
    newest = verdict_history.latest(settings)
    if newest is None or newest.decided or newest.verdict == "insufficient data":
        return None
    mine = (newest.model_version, newest.model_sha256), (baseline.version, baseline.sha256)
    return newest if ledger.same(*mine) else None


def _examine(
    settings: Settings, now: float, baseline: Baseline, current: pd.DataFrame, counted: list[DriftVerdict]
) -> DriftVerdict:
    drift = settings.drift
    classes = baseline.schema.classes
    frame, problems = canonical(predictions.inputs_frame(current), baseline.schema)
    probabilities = predictions.probabilities_array(current, classes)
    answers = probabilities, current["label"].to_numpy(dtype=object)
    findings = features.examine(
        baseline, frame, problems, drift, answers=answers, earlier=lambda: _before(settings, baseline, current)
    )
    rows = _labelled(settings, now, baseline)
    measured, notes = _measure(settings, now, baseline, rows, counted)
    covered = coverage(
        settings, positive=baseline.schema.positive_label, version=baseline.version, sha256=baseline.sha256, until=now
    )
    guessed = performance.estimate(
        baseline, probabilities, drift, label=answers[1], labelled=_answered(settings, baseline, rows),
        costs=settings.tune.costs if len(settings.tune.costs) == len(classes) else (),
    )  # fmt: skip
    shown, promoted = window_policy.shown(settings, baseline.version, baseline.sha256)
    newer = fresh_model_probe.examine(
        settings, baseline, shown, now=now, since=promoted, record=window_record.newest(settings)
    )
    word, reasons, signals = rule.verdict(findings, measured, guessed, drift, fresh_model_probe=newer)
    verdict = DriftVerdict(
        id=_id(now, baseline.version),
        time=now,
        verdict=word,
        retrain=False,
        decided=False,
        reasons=reasons,
        model_version=baseline.version,
        model_sha256=baseline.sha256,
        window=Window(start=float(current["time"].iloc[0]), end=float(current["time"].iloc[-1]), rows=len(current)),
        signals=signals,
        findings=findings,
        performance=measured,
        estimate=guessed,
        coverage=covered,
        notes=[*notes, *covered.notes],
        fresh_model_probe=newer,
        histograms=histograms.of_findings(baseline, frame, probabilities, findings),
    )
    verdict = msgspec.structs.replace(verdict, numbers=mlflow_figures.numbers(verdict))
    if drift.report_rows:
        current["confidence"] = probabilities.max(axis=1)
        pages = evidently_report.write(
            settings.var / "reports",
            verdict.id,
            baseline,
            frame,
            current,
            findings,
            sentence=verdict.summary,
            rows=drift.report_rows,
            seed=drift.seed,
        )
        evidently_report.prune(settings.var / "reports", drift.keep_reports)
        report_files.keep(settings, verdict.id)
        verdict = msgspec.structs.replace(verdict, report=pages)
    return verdict


def _measure(
    settings: Settings, now: float, baseline: Baseline, rows: pd.DataFrame, counted: list[DriftVerdict]
) -> tuple[Performance, list[Message]]:
    """Performance on the champion's newest labelled rows, with coverage and delay of the labels; and what they are."""
    engine, drift = database.engine(settings), settings.drift
    mark = max((c.performance.labels_until for c in counted), default=0.0)
    fresh = rows[rows["labelled_at"] > mark]
    measured = performance.combine(_measured(settings, baseline, fresh), _measured(settings, baseline, rows))
    counts = predictions.counts(
        engine, until=now, version=baseline.version, sha256=baseline.sha256, rows=drift.window_rows
    )
    found = msgspec.structs.replace(
        measured,
        labels_until=float(rows["labelled_at"].max()) if measured.judged else mark,
        coverage=counts.coverage,
        delay_s=counts.delay_s,
    )
    return found, weights(rows["label_propensity"], most=settings.explore.max_weight).notes


def _labelled(settings: Settings, now: float, baseline: Baseline) -> pd.DataFrame:
    """The champion's newest labelled rows."""
    engine, rows = database.engine(settings), settings.drift.label_rows
    return predictions.window(
        engine, until=now, rows=rows, version=baseline.version, sha256=baseline.sha256, labelled_only=True
    )


def _answered(settings: Settings, baseline: Baseline, rows: pd.DataFrame) -> performance.Answered | None:
    """The same as they were answered; None where those that count are too few to say how far a guess is off."""
    weight = weights(rows["label_propensity"], most=settings.explore.max_weight).rows
    rows, weight = rows[weight > 0], weight[weight > 0]
    if len(rows) < settings.drift.min_labels:
        return None
    p = predictions.probabilities_array(rows, baseline.schema.classes)
    return performance.Answered(p, rows["label"].to_numpy(object), rows["actual"].to_numpy(object), weight)


def _before(settings: Settings, baseline: Baseline, current: pd.DataFrame) -> pd.DataFrame | None:
    """Canonical rows that came before the window, whichever version answered them."""
    start, rows = float(current["time"].iloc[0]), settings.drift.window_rows
    window = predictions.window(database.engine(settings), until=start, rows=rows)
    return canonical(predictions.inputs_frame(window), baseline.schema)[0] if len(window) else None


def _measured(settings: Settings, baseline: Baseline, rows: pd.DataFrame) -> Performance:
    chances = weights(rows["label_propensity"], most=settings.explore.max_weight)
    return performance.measure(
        baseline,
        rows["actual"].to_numpy(dtype=object),
        rows["label"].to_numpy(dtype=object),
        predictions.probabilities_array(rows, baseline.schema.classes),
        settings.drift,
        looks=2,
        chances=None if chances.uniform and not chances.without else chances,
    )


def _insufficient(settings: Settings, now: float, version: str, reason: Message, shadow: Shadow | None) -> DriftVerdict:
    """The same row again while nothing comes: a check every minute must not fill the history with nothing."""
    last = verdict_history.latest(settings)
    again = last is not None and last.verdict == "insufficient data" and last.model_version == version
    return DriftVerdict(
        id=last.id if last is not None and again else _id(now, version or "none"),
        time=now,
        verdict="insufficient data",
        retrain=False,
        decided=False,
        reasons=[reason],
        model_version=version,
        shadow=shadow,
    )


def _saved(settings: Settings, verdict: DriftVerdict) -> DriftVerdict:
    verdict_history.save(settings, verdict)
    return verdict


def _id(now: float, version: str) -> str:
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{moment}-{int(now * 1000) % 1000:03d}-v{version}"
