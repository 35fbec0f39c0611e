"""The event behind `new_predictions`: there is something for a drift check to look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class News(msgspec.Struct, frozen=True):
    """What has come since the last look.

    Parameters
    ----------
    predictions
        How many were answered.
    until
        When the newest of them was; seconds.
    promoted
        The version that has come to serve and that no check has looked at; "" where there is none.
    move
        Row of the ledger that brought it.
    """

    predictions: int
    until: float
    promoted: str = ""
    move: int = 0


class NewPredictions(BaseEventTrigger):
    """Fires each time that `drift.min_rows` further predictions lie in the log, and after each change of what serves.

    Parameters
    ----------
    poll_interval_s
        Seconds between two looks; three indexed queries each.
    """

    def __init__(self, poll_interval_s: float) -> None:
        super().__init__()
        self.poll_interval_s = poll_interval_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return "dags.triggers.NewPredictions", {"poll_interval_s": self.poll_interval_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and yield an event when enough has come. A database that does not answer is asked again."""
        from ml.errors import RefitError
        from ml.settings import load

        since = 0.0  # the first look counts everything: what came while nothing watched is not lost
        move = 0  # told once: a check that fails is Airflow's to tell and try again
        while True:
            try:
                settings = load()
                news = await asyncio.to_thread(look, settings, since)
            except RefitError as error:  # an unreachable database, settings being edited: neither ends the watch
                self.log.warning("%s", error)
            else:
                if news.predictions >= settings.drift.min_rows or news.move > move:
                    yield TriggerEvent({**msgspec.to_builtins(news), "seen_at": time.time()})
                    move = max(move, news.move)
                    if news.predictions >= settings.drift.min_rows:
                        since = news.until
            await asyncio.sleep(self.poll_interval_s)


def look(settings: Any, since: float) -> News:
    """What was answered after `since` (seconds), and what has come to serve since the newest check.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    import sqlalchemy as sa

    from ml import predictions
    from ml.drift import verdict_history
    from ml.registry import ledger
    from ml.storage import database

    when = predictions.predictions.c.time
    query = sa.select(sa.func.count(), sa.func.max(when)).where(when > since)
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.connect() as connection:
        count, newest = connection.execute(query).one()
    news = News(int(count), float(newest or since))
    move, checked = ledger.newest_move(settings), verdict_history.latest(settings)
    if move is None or (checked is not None and checked.time >= move.time):
        return news
    return msgspec.structs.replace(news, promoted=move.to_version, move=move.id)
