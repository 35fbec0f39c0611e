"""Telling people: each alert goes to the log, to `var/logs/alerts.jsonl`, and to a webhook where one is set.

In Airflow's tasks it also goes to Airflow's notifiers (`dags/alerting.py`); the webhook works where Airflow is what
broke. Sending is best effort: an address that does not answer costs a warning, never a verdict.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from ml import http
from ml.messages import Message, Text
from ml.settings import Settings

log = logging.getLogger(__name__)

Alert = dict[str, Any]
_listeners: list[Callable[[Alert], None]] = []


@contextmanager
def heard(listener: Callable[[Alert], None]) -> Iterator[None]:
    """Give each alert that is sent inside to `listener` too, in this process: its `kind`, `text`, `time`, and facts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def send(settings: Settings, kind: str, sentences: Sequence[Text], **facts: Any) -> bool:
    """Send one alert.

    Parameters
    ----------
    kind
        What happened, for example "degraded", "broken data", "rolled back".
    sentences
        Make up the alert's `text`; those of ours are in its `messages` too, with code and values.
    facts
        JSON-able details: the model version, the check's id.

    Returns
    -------
    False where a webhook is set and did not take it.
    """
    message = {
        "kind": kind,
        "text": f"Refit: {kind}. " + " ".join(map(str, sentences)),
        "time": time.time(),
        "messages": [msgspec.to_builtins(item) for item in sentences if isinstance(item, Message)],
        **facts,
    }
    log.warning("%s", message["text"])
    _keep(settings, message)
    for listener in _listeners:
        listener(message)
    return not settings.drift.webhook_url or _post(
        settings.drift.webhook_url, message, settings.drift.webhook_timeout_s
    )


def _keep(settings: Settings, message: Alert) -> None:
    folder = settings.var / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "alerts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(message, default=str) + "\n")
    except OSError as error:
        log.warning("the alert could not be kept in %s: %s", folder, error)


def _post(url: str, message: Alert, timeout_s: float) -> bool:
    # `text` is the field that Slack, Mattermost, Teams and Google Chat show.
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        log.warning("drift.webhook_url is not an http(s) address: the alert was not posted")
        return False
    try:
        http.exchange("POST", url, json.loads(json.dumps(message, default=str)), timeout_s=timeout_s)
        return True
    except http.HttpError as error:
        # The address may hold a token, and an answer may repeat it: only the host and the status are named.
        why = f"it answers {error.status}" if error.status else error.reason
        log.warning("the webhook at %s did not take the alert: %s", urllib.parse.urlsplit(url).hostname, why)
        return False
