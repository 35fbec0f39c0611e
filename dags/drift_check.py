"""
### Look at what the service sees

Compares the newest window of predictions with the champion's own reference, by schedule and soon after
enough new predictions have come.

`check` returns the verdict: `insufficient data`, `stable`, `drift`, `degraded` or `broken data`, with its
reasons. `request_retraining` is skipped unless the verdict asks for a retraining; then it updates the asset
`drift_found`, with the verdict in the event, and `retrain` starts. Each check keeps its Evidently report in
`var/reports`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.alerting import notifying
from dags.shared import DRIFT, TASK_DEFAULTS, clock, report_url, settings_of
from dags.triggers import NewPredictions

SETTINGS = settings_of()

# Updated by the triggerer when enough predictions have come since the last look.
NEW_PREDICTIONS = Asset(
    name="new_predictions",
    uri="refit://predictions",
    group="refit",
    watchers=[AssetWatcher(name="prediction_log", trigger=NewPredictions(SETTINGS.schedule.watch_interval_s))]
    if SETTINGS.schedule.watch_interval_s > 0
    else [],
)


@task(execution_timeout=timedelta(minutes=30))
def check(**context: Any) -> dict[str, Any]:
    """Judge the current window of predictions."""
    from ml.monitoring.check import check

    settings = settings_of()
    with notifying(settings, context):
        verdict = check(settings).to_dict()
    return verdict | {"report_url": report_url(settings, verdict)}


@task(outlets=[DRIFT], execution_timeout=timedelta(minutes=5))
def request_retraining(verdict: dict[str, Any], outlet_events: Any) -> None:
    """Update the drift asset with the verdict; skipped when no retraining is asked for."""
    if not verdict["retrain"]:
        raise AirflowSkipException(f"{verdict['verdict']}: {'; '.join(verdict['reasons'])}")
    outlet_events[DRIFT].extra = verdict


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
    request_retraining(check())


drift_check()
