"""What the DAGs have in common: assets, retry rules, and the way from a run to its settings and its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.sdk import Asset, CronTriggerTimetable, ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.configuration import conf

from ml.errors import Transient
from ml.settings import Settings, load

if TYPE_CHECKING:
    from ml.drift import DriftVerdict
    from ml.pipeline.stages.records import StageRecord

log = logging.getLogger(__name__)

# drift_check emits it with the verdict in its `extra`; retrain runs on it.
DRIFT = Asset(name="drift_found", uri="refit://drift", group="refit")

# Only what may pass is tried again: an unreachable registry yes, bad data no. A killed task raises
# nothing, so no rule is asked and the plain count of retries holds for it.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[RetryRule(Transient, RetryAction.RETRY, reason="may pass: tried again with growing pauses")],
    default=RetryAction.FAIL,
)


def clock(cron: str) -> CronTriggerTimetable:
    """The moments of a cron expression, UTC, from now on.

    By default Airflow starts a run at once where a moment has passed by less than a tenth of the time between two:
    a first start between 3:00 and 5:24 would retrain twice.
    """
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def settings_of(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings of this machine with a run's own choices over them."""
    return load(overrides=overrides)


def run_url(dag_id: str, run_id: str) -> str:
    """The run's page in Airflow's UI."""
    return f"{conf.get('api', 'base_url').rstrip('/')}/dags/{dag_id}/runs/{run_id}"


def verdict_of(events: Mapping[Any, Any]) -> DriftVerdict | None:
    """The newest drift verdict that started this run; None when the schedule or a person did.

    Events that came while a run was active are handed over together and in no order. One that a person made by hand
    need not hold a verdict: it starts a run all the same.
    """
    from ml.drift import DriftVerdict

    several = [event for asset, of_asset in events.items() if asset.name == DRIFT.name for event in of_asset]
    if not several:
        return None
    newest = max(several, key=lambda event: event.timestamp)
    try:
        return msgspec.convert(newest.extra, DriftVerdict)
    except msgspec.ValidationError as error:
        log.warning("the newest event of %s holds no verdict (%s): the run goes on without", DRIFT.name, error)
        return None


def told(record: StageRecord) -> dict[str, Any]:
    """What a task returns; what it has to tell a person goes into its log."""
    for line in (*getattr(record, "found", ()), *getattr(record, "told", ()), getattr(record, "sentence", "")):
        if line:
            log.info("%s", line)
    return record.to_dict()


def report_url(settings: Settings, verdict: DriftVerdict) -> str:
    """Where the service shows a check's report; empty when the check made none."""
    if not verdict.report:
        return ""
    base = settings.serving.public_url.rstrip("/") or f"http://127.0.0.1:{settings.serving_port}"
    return f"{base}/monitoring/report/{verdict.id}"
