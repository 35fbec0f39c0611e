"""What starts a drift check between two moments of its schedule."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ml import predictions
from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict
from ml.errors import StoreUnavailable
from ml.registry import ledger
from ml.settings import Settings, load
from ml.storage import database


@pytest.fixture
def settings(airflow: Any, home: Path) -> Settings:
    return load()


def _promoted(settings: Settings, version: str) -> int:
    return ledger.append(settings, ledger.PROMOTED, who="a person", to_version=version)


def _checked(settings: Settings, when: float) -> None:
    verdict = DriftVerdict(
        id=f"c{when}", time=when, verdict="insufficient data", retrain=False, reasons=[], model_version="1"
    )
    verdict_history.save(settings, verdict)


class _Seen(Exception):
    """The way out of an endless watch."""


def _fired(looks: int, before: Any = lambda number: None) -> list[dict[str, Any]]:
    """What the trigger yields in so many looks; `before` is called with the number of each."""
    from dags import triggers

    events: list[dict[str, Any]] = []
    numbers = iter(range(looks))
    look = triggers.look

    def counted(settings: Settings, since: float) -> Any:
        number = next(numbers, None)
        if number is None:
            raise _Seen
        before(number)
        return look(settings, since)

    async def watch() -> None:
        async for event in triggers.NewPredictions(0.0).run():
            events.append(event.payload)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(triggers, "look", counted)
        with pytest.raises(_Seen):
            asyncio.run(watch())
    return events


def test_a_version_that_no_check_has_looked_at_starts_one_once(settings: Settings) -> None:
    move = _promoted(settings, "1")
    [event] = _fired(3)
    assert (event["promoted"], event["move"], event["predictions"]) == ("1", move, 0)


def test_a_version_that_a_check_has_looked_at_starts_none(settings: Settings) -> None:
    _promoted(settings, "1")
    _checked(settings, time.time() + 1)
    assert _fired(2) == []


def test_each_change_of_what_serves_starts_one(settings: Settings) -> None:
    _checked(settings, time.time() - 60)

    def before(number: int) -> None:
        if number in (1, 3):
            _promoted(settings, str(number))

    assert [event["promoted"] for event in _fired(5, before)] == ["1", "3"]


def test_nothing_served_and_nothing_answered_starts_none(settings: Settings) -> None:
    assert _fired(2) == []


def test_a_database_that_does_not_answer_is_asked_again(settings: Settings) -> None:
    _promoted(settings, "1")

    def before(number: int) -> None:
        if number == 0:
            raise StoreUnavailable("away")

    assert [event["promoted"] for event in _fired(3, before)] == ["1"]


def test_enough_new_predictions_start_one_each_time(settings: Settings) -> None:
    needed = settings.drift.min_rows

    def before(number: int) -> None:
        if number in (0, 1, 2):
            _answered(settings, needed if number != 1 else needed - 1, when=float(number + 1))

    # the second look has one too few, which the third counts too
    assert [event["predictions"] for event in _fired(4, before)] == [needed, 2 * needed - 1]


def _answered(settings: Settings, rows: int, when: float) -> None:
    one = {"time": when, "model_version": "1", "inputs": {}, "label": "Yes", "probability": 1.0, "probabilities": {}}
    predictions.insert(database.engine(settings), [one | {"prediction_id": f"{when}-{i}"} for i in range(rows)])
