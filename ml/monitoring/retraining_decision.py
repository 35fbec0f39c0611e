"""Decide on a recorded verdict: should a retraining start now, and who is told?

The rule (`ml.drift.rule`) says whether what was seen is enough, and `ml.retraining.blockers` what forbids a retraining
at this moment: one under way, the cool-down, the budget, the breaker.
"""

from __future__ import annotations

import msgspec

from ml import alerts
from ml.drift import rule, verdict_history
from ml.drift.verdict import DriftVerdict
from ml.messages import Message, message
from ml.monitoring import mlflow_figures
from ml.retraining import blockers
from ml.settings import Settings
from ml.storage import clock


def decide(settings: Settings, verdict: DriftVerdict, *, now: float | None = None) -> DriftVerdict:
    """Decide on a verdict, tell people, and record the decision.

    A verdict is decided on once: one that is recorded as decided is returned as it is recorded. An alert goes out
    before that record, so a process that is killed between the two tells people twice rather than never; both name
    the same check.

    Parameters
    ----------
    verdict
        As `ml.monitoring.check.compare` gave it, however long ago.
    now
        Seconds; the clock by default.

    Returns
    -------
    The verdict with `retrain`, `decision`, and `alerts`.

    Raises
    ------
    StoreUnavailable
        Nothing was decided; the call may be made again.
    """
    verdict = verdict_history.get(settings, verdict.id) or verdict  # what came through Airflow was cut short
    if verdict.decided:
        return verdict
    if verdict.verdict == "insufficient data":
        return _saved(settings, verdict, retrain=False, decision=message("retraining.no_reason"))
    earlier = _earlier(settings, verdict)
    decided = _decide(settings, verdict, earlier, clock.now(settings) if now is None else now)
    _tell(settings, decided, earlier[0] if earlier else None)
    verdict_history.save(settings, decided)
    if settings.drift.track:  # what may fail without costing the decision
        mlflow_figures.log(settings, decided)
    return decided


def _earlier(settings: Settings, verdict: DriftVerdict) -> list[DriftVerdict]:
    """The same champion's checks before this one that had a window to judge, newest first."""
    this = {"version": verdict.model_version, "sha256": verdict.model_sha256}
    checks = verdict_history.history(settings, settings.drift.history, **this)
    return [c for c in checks if c.verdict != "insufficient data" and c.id != verdict.id and c.time <= verdict.time]


def _decide(settings: Settings, verdict: DriftVerdict, earlier: list[DriftVerdict], now: float) -> DriftVerdict:
    drift, measured = settings.drift, verdict.performance
    blocking = blockers.blockers(settings, now, measured.delay_s, degraded=measured.degraded, judged=verdict.id)
    retrain, decision = rule.retrain(
        verdict.verdict,
        verdict.signals,
        measured,
        [check.signals for check in earlier],
        blocking,
        drift,
        fresh_model_probe=verdict.fresh_model_probe,
        spent=max((check.fresh_model_probe.evidence for check in earlier if check.retrain), default=0.0),
    )
    decided = msgspec.structs.replace(
        verdict, retrain=retrain, decision=decision, decided=True,
        alerts=blockers.alerts(verdict.verdict, verdict.reasons, blocking),
    )  # fmt: skip
    return msgspec.structs.replace(decided, numbers=mlflow_figures.numbers(decided))


def _tell(settings: Settings, verdict: DriftVerdict, last: DriftVerdict | None) -> None:
    """Told once when it begins, not at every check while it lasts."""
    if verdict.alerts and (last is None or last.verdict != verdict.verdict or len(last.alerts) != len(verdict.alerts)):
        alerts.send(settings, verdict.verdict, verdict.alerts, model_version=verdict.model_version, check=verdict.id)


def _saved(settings: Settings, verdict: DriftVerdict, *, retrain: bool, decision: Message) -> DriftVerdict:
    decided = msgspec.structs.replace(verdict, retrain=retrain, decision=decision, decided=True)
    verdict_history.save(settings, decided)
    return decided
