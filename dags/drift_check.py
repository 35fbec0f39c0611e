"""
### Look at what the service sees

By schedule, soon after enough new predictions have come, and right after another version has come to serve.

| task | what it does | its result |
|---|---|---|
| `watch_release` | a new champion that proves worse goes back; a challenger in shadow is decided on | what it found |
| `compare` | compares the newest window of predictions with the champion's own reference; moves nothing | a verdict |
| `request` | decides what follows, and tells people; skipped unless a retraining is asked for | the decision |

The verdict is `insufficient data`, `stable`, `drift`, `degraded` or `broken data`, with its reasons. Where `request`
asks for a retraining it updates the asset `drift_found`, with the verdict in the event, and `retrain` starts. Each
comparison keeps its Evidently report in `var/reports`. Every task can be cleared and run again: a verdict is decided
on once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.alerting import TASK_DEFAULTS, notifying
from dags.context import DRIFT, clock, report_url, settings_of
from dags.triggers import NewPredictions

SETTINGS = settings_of()

# Updated by the triggerer when enough predictions have come since the last look, or another version serves.
NEW_PREDICTIONS = Asset(
    name="new_predictions",
    uri="refit://predictions",
    group="refit",
    watchers=[AssetWatcher(name="prediction_log", trigger=NewPredictions(SETTINGS.schedule.watch_interval_s))]
    if SETTINGS.schedule.watch_interval_s > 0
    else [],
)


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
def watch_release(**context: Any) -> dict[str, Any]:
    """Judge a new champion and the challenger in shadow; the one task that may move the alias."""
    from ml.release import watch

    settings = settings_of()
    with notifying(settings, context):
        release = watch.watch(settings)
    return release.to_dict()


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
def compare(release: dict[str, Any]) -> dict[str, Any]:
    """Compare the current window of predictions with the champion's reference."""
    from ml.monitoring import check
    from ml.release.watch import ReleaseWatch

    settings = settings_of()
    verdict = check.compare(settings, shadow=msgspec.convert(release, ReleaseWatch).shadow)
    return verdict.to_dict() | {"report_url": report_url(settings, verdict)}


@task(multiple_outputs=False, outlets=[DRIFT], execution_timeout=timedelta(minutes=5))
def request(compared: dict[str, Any], outlet_events: Any, ti: Any, **context: Any) -> dict[str, Any]:
    """Decide on the verdict and tell people; updates the drift asset, or is skipped when no retraining is asked for."""
    from ml.drift import DriftVerdict
    from ml.monitoring import retraining_decision

    settings = settings_of()
    with notifying(settings, {**context, "ti": ti}):
        verdict = retraining_decision.decide(settings, msgspec.convert(compared, DriftVerdict))
    if not verdict.retrain:
        ti.xcom_push(key="return_value", value=verdict.to_dict())  # a skipped task returns nothing: the run's note
        raise AirflowSkipException(f"{verdict.verdict}: {'; '.join(map(str, verdict.reasons))}")
    outlet_events[DRIFT].extra = verdict.to_dict()
    return verdict.to_dict()


@dag(
    schedule=AssetOrTimeSchedule(timetable=clock(SETTINGS.schedule.drift_cron), assets=[NEW_PREDICTIONS]),
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    doc_md=__doc__,
    dag_display_name="Drift check",
    tags=["refit"],
)
def drift_check() -> None:
    request(compare(watch_release()))


drift_check()
