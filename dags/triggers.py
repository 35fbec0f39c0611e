"""The event behind `new_predictions`: enough predictions have come for another drift check."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class NewPredictions(BaseEventTrigger):
    """Fires each time that `drift.min_rows` further predictions lie in the log.

    Parameters
    ----------
    poll_interval_s
        Seconds between two looks; one indexed COUNT each.
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
        while True:
            try:
                settings = load()
                count, newest = await asyncio.to_thread(arrived, settings, since)
            except RefitError as error:  # an unreachable database, settings being edited: neither ends the watch
                self.log.warning("%s", error)
            else:
                if count >= settings.drift.min_rows:
                    yield TriggerEvent({"predictions": count, "until": newest, "seen_at": time.time()})
                    since = newest
            await asyncio.sleep(self.poll_interval_s)


def arrived(settings: Any, since: float) -> tuple[int, float]:
    """Number of predictions answered after `since`, and the moment of the newest; seconds.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    import sqlalchemy as sa

    from ml import predictions
    from ml.storage import database

    when = predictions.predictions.c.time
    query = sa.select(sa.func.count(), sa.func.max(when)).where(when > since)
    engine = database.engine(settings)
    with database.unavailable_as_transient(), engine.connect() as connection:
        count, newest = connection.execute(query).one()
    return int(count), float(newest or since)
