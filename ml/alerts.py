"""Telling people: each alert goes to the log, to `var/logs/alerts.jsonl`, and to a webhook where one is set.

Where machines share a database (`database_url`) it goes there too: a service shows what a task alerted of elsewhere.
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
import sqlalchemy as sa

from ml import http
from ml.errors import RefitError
from ml.messages import Message, Text
from ml.settings import Settings
from ml.storage import database

log = logging.getLogger(__name__)

KEPT = 1_000  # newest rows in the database, or about so many; our choice

table = sa.Table(
    "alerts",
    database.metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("model_name", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),  # JSON: a line of `alerts.jsonl`
)

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


@contextmanager
def unlogged() -> Iterator[None]:
    """Alerts within are not logged: those of a past that is played would be taken for today's."""
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


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


def newest(settings: Settings, n: int) -> list[str]:
    """The newest alerts of all machines that share the database, newest first, each as JSON; none where none do.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    if not settings.database_url:
        return []
    mine = table.c.model_name == settings.registry.model_name
    query = sa.select(table.c.content).where(mine).order_by(table.c.id.desc()).limit(n)
    with database.unavailable_as_transient(), database.engine(settings).connect() as connection:
        return list(connection.execute(query).scalars())


def _keep(settings: Settings, message: Alert) -> None:
    folder, content = settings.var / "logs", json.dumps(message, default=str)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "alerts.jsonl").open("a", encoding="utf-8") as file:
            file.write(content + "\n")
    except OSError as error:
        log.warning("the alert could not be kept in %s: %s", folder, error)
    if settings.database_url:
        try:
            _keep_shared(settings, content)
        except (RefitError, sa.exc.SQLAlchemyError) as error:
            log.warning("the alert could not be kept in the database: %s", error)


def _keep_shared(settings: Settings, content: str) -> None:
    row = table.insert().values(model_name=settings.registry.model_name, content=content)
    with database.unavailable_as_transient(), database.engine(settings).begin() as connection:
        key = connection.execute(row).inserted_primary_key
        assert key is not None  # an INSERT of one row has one
        connection.execute(table.delete().where(table.c.id <= int(key[0]) - KEPT))


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
