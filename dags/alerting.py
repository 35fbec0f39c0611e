"""Alerts by Airflow's own notifiers (`schedule.notifiers`), beside the log and the webhook of `ml.alerts`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.module_loading import import_string

from dags.context import RETRY_POLICY, run_url, settings_of
from ml.errors import explained
from ml.settings import Settings

log = logging.getLogger(__name__)


@contextmanager
def notifying(settings: Settings, context: Mapping[str, Any]) -> Iterator[None]:
    """Whatever alert is sent inside also goes to the notifiers; their templates have it as `alert`."""
    from ml import alerts

    with alerts.heard(lambda message: _notify(settings, {**context, "alert": message["text"]})):
        yield


def _notify(settings: Settings, context: dict[str, Any]) -> None:
    for path, arguments in settings.schedule.notifiers.items():
        try:
            import_string(path)(**arguments)(context)
        except Exception as error:  # somebody else's code and network: as best effort as the webhook
            log.warning("the notifier %s did not take the alert: %s: %s", path, type(error).__name__, error)


class TaskFailed(BaseNotifier):  # type: ignore[misc]
    """Tells of a task that has failed for good: nobody may look at Airflow for days."""

    def notify(self, context: Any) -> None:
        """Send the alert, by every way that is set."""
        from ml import alerts
        from ml.messages import message

        settings, ti = settings_of(), context["ti"]
        where = f"{ti.dag_id}.{ti.task_id}"
        address = run_url(ti.dag_id, ti.run_id)
        error = context.get("exception")
        reason = explained(error) if isinstance(error, BaseException) else message("training.ended_outside")
        why = message("training.task_failed", task=where, error=reason, run=address)
        with notifying(settings, context):
            alerts.send(settings, "task failed", [why], task=where, run=address)


# What every task has.
TASK_DEFAULTS: dict[str, Any] = {
    "owner": "refit",
    "retries": 5,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=2),
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": TaskFailed(),
}
