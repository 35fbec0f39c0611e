"""The figures of each check as curves of one MLflow run, in time order. Best effort: MLflow may be down."""

from __future__ import annotations

import hashlib
import json
import logging
import math

from ml.drift.verdict import DriftVerdict
from ml.errors import RefitError
from ml.settings import Settings

log_ = logging.getLogger(__name__)

RUN_KEY = "monitoring"
# Higher is worse, so that a chart reads by itself.
LEVELS = {"insufficient data": -1.0, "stable": 0.0, "drift": 1.0, "degraded": 2.0, "broken data": 3.0}


def numbers(verdict: DriftVerdict) -> dict[str, float]:
    """The figures of a check by metric name; only finite ones."""
    columns = [f for f in verdict.findings if not f.of_predictions]
    measured, guessed = verdict.performance, verdict.estimate
    figures: dict[str, float | None] = {
        "level": LEVELS[verdict.verdict],
        "retrain": float(verdict.retrain) if verdict.decided else None,
        "rows": float(verdict.window.rows),
        "drifted_share": sum(f.drifted for f in columns) / len(columns) if columns else None,
        "largest_effect": max((f.effect for f in columns), default=None),
        "prediction_effect": next((f.effect for f in verdict.findings if f.of_predictions), None),
        "labels": float(measured.labels),
        "label_coverage": measured.coverage,
        "label_delay_s": measured.delay_s,
        "accuracy": measured.accuracy,
        "accuracy_low": measured.accuracy_low,
        "accuracy_high": measured.accuracy_high,
        "reference_accuracy": measured.reference_accuracy,
        "log_loss": measured.log_loss,
        "estimated_accuracy": guessed.accuracy,
        **{f"estimated_{name}": found.value for name, found in guessed.metrics.items() if name != "accuracy"},
        "evidence_nats": verdict.fresh_model_probe.evidence if verdict.fresh_model_probe.rows else None,
    }
    return {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}


def log(settings: Settings, verdict: DriftVerdict) -> bool:
    """Append a check to the monitoring run of its experiment; False (and a warning) when MLflow does not answer.

    The step is the moment of the check in seconds, so that curves are in time order however often checks ran.
    """
    from mlflow.entities import Metric, RunTag

    from ml import tracking

    try:
        run_id = tracking.run(settings, RUN_KEY, tags={"refit.kind": "monitoring"})
        step, moment = int(verdict.time), int(verdict.time * 1000)
        points = [Metric(f"drift/{name}", value, moment, step) for name, value in verdict.numbers.items()]
        effects = list(verdict.effects.items())[:500]
        points += [Metric(f"drift/effect/{metric_name(name)}", effect, moment, step) for name, effect in effects]
        renamed = {made: name for name, _ in effects if (made := metric_name(name)) != name}
        tags = [
            RunTag("refit.verdict", verdict.verdict),
            RunTag("refit.model_version", verdict.model_version),
            RunTag("refit.report", verdict.report.get("html", "")),
            RunTag("mlflow.note.content", verdict.sentence[:5000]),
            *([RunTag("refit.renamed_columns", json.dumps(renamed, ensure_ascii=False)[:5000])] if renamed else []),
        ]
        with tracking.errors(tracking.uri(settings)):
            tracking.client(settings).log_batch(run_id, metrics=points, tags=tags)
    except (RefitError, OSError) as error:
        log_.warning("the check is recorded, but MLflow did not take its figures: %s", error)
        return False
    return True


def metric_name(column: str) -> str:
    """A column's name with the letters that MLflow takes in a metric's name: no two columns have the same.

    >>> metric_name("a_b"), metric_name("a/b"), metric_name("a:b")
    ('a_b', 'a_b-c14cddc033', 'a_b-6783a31eab')
    """
    plain = "".join(c if c.isalnum() or c in "_-. " else "_" for c in column)[:200]
    if plain == column and plain.strip("."):  # MLflow takes no "." for the end of a path
        return column
    return f"{plain}-{hashlib.sha256(column.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"
