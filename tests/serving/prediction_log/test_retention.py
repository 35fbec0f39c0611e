"""History outlives a clock that is wrong for a moment, ahead and behind, and what is past its days still goes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml import predictions
from ml.settings import Settings
from ml.storage import clock as clocks
from ml.storage import database
from serving.model.store import open_served
from serving.prediction_log.retention import DAY_S, Retention
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from serving.scoring import score
from tests.serving import tiny


class Time:
    """The machine's clocks: `wall` may leap, how long it has run cannot."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall, self.ran_s = time.time(), 1_000.0
        patch.setattr(time, "time", lambda: self.wall)
        patch.setattr(clocks, "ran_s", lambda: self.ran_s)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.ran_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path)


def answer(settings: Settings, n: int) -> None:
    """Log `n` answers and a label of each, as a worker does, and end it."""
    served = open_served(settings.var / "serving", tiny.publish(settings, "1"))
    log = PredictionLog(settings)
    for _ in range(n):
        scored = score.score(served, score.reader(served).records([tiny.row()]))
        log.append(served, scored)
        log.append_feedback([(scored.ids[0], "1")])
    log.close()


def pass_over(shipper: LogShipper) -> None:
    """What the log shipper does again and again."""
    shipper.step()
    shipper.retention.purge_daily()


def running(clock: Time, shipper: LogShipper, hours: float) -> None:
    """The log shipper runs for so long."""
    for _ in range(round(hours * 60)):
        clock.run(60)
        shipper.retention.tick()


def told(settings: Settings) -> list[str]:
    return (settings.var / "logs" / "alerts.jsonl").read_text().splitlines()


def times(settings: Settings) -> list[float]:
    with database.engine(settings).connect() as connection:
        labels = connection.execute(sa.select(predictions.feedback.c.received_at)).all()
        found = list(connection.execute(sa.select(predictions.predictions.c.time)).scalars())
    assert len(labels) == len(found), "a prediction keeps its label"
    return found


def test_a_year_ahead_for_a_moment_deletes_nothing(settings: Settings, clock: Time) -> None:
    """Neither in the process that sees the leap, nor in one that starts during it."""
    right = clock.wall
    answer(settings, 40)
    shipper = LogShipper(settings)
    pass_over(shipper)
    clock.run(DAY_S + 1)
    clock.wall += 400 * DAY_S
    pass_over(shipper)
    pass_over(LogShipper(settings))
    answer(settings, 2)
    running(clock, shipper, 6)
    pass_over(shipper)
    clock.wall -= 400 * DAY_S
    pass_over(LogShipper(settings))
    clock.run(DAY_S + 1)
    pass_over(shipper)
    found = times(settings)
    assert len(found) == 42
    assert sorted(found)[:40] == [right] * 40


def test_what_is_answered_in_1970_is_kept_when_the_clock_is_right_again(settings: Settings, clock: Time) -> None:
    answer(settings, 1)
    shipper = LogShipper(settings)
    pass_over(shipper)
    right = clock.wall
    clock.wall = 1_000.0
    answer(settings, 3)
    pass_over(shipper)
    answer(settings, 3)
    clock.wall = right + 60
    for _ in range(3):
        pass_over(LogShipper(settings))
        clock.run(DAY_S + 1)
    found = times(settings)
    assert len(found) == 7
    assert min(found) == right


def test_what_is_answered_with_the_clock_a_year_back_is_kept(settings: Settings, clock: Time) -> None:
    """Also where that is after Refit's first year, so that the moment alone looks right; labels too."""
    clock.wall += 3 * 365 * DAY_S
    answer(settings, 1)
    shipper = LogShipper(settings)
    pass_over(shipper)
    right = clock.wall
    clock.wall -= 400 * DAY_S
    answer(settings, 3)
    pass_over(shipper)
    pass_over(LogShipper(settings))
    answer(settings, 3)
    clock.wall = right + 60
    for _ in range(3):
        pass_over(LogShipper(settings))
        clock.run(DAY_S + 1)
    assert min(times(settings)) == right
    assert len(times(settings)) == 7
    assert sum("leapt by -400 days" in line for line in told(settings)) == 2  # each log shipper that saw it


def test_what_waited_for_the_database_keeps_its_moment(settings: Settings, clock: Time) -> None:
    """A month without the database, over restarts of everything: what waits is old, and no clock was wrong."""
    answer(settings, 1)
    pass_over(LogShipper(settings))
    asked = []
    for _ in range(5):
        clock.run(6 * DAY_S)
        asked.append(clock.wall)
        answer(settings, 1)
        LogShipper(settings).retention.purge_daily()
    pass_over(LogShipper(settings))
    assert sorted(times(settings))[1:] == asked


def test_after_a_month_off_only_deleting_waits(
    settings: Settings, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's clock is ahead of the log shipper's, and right: nobody is told that it is not."""
    answer(settings, 1)
    pass_over(LogShipper(settings))
    monkeypatch.setattr(clocks, "boot", lambda: "the next")
    clock.wall, clock.ran_s = clock.wall + 30 * DAY_S, 60.0
    shipper = LogShipper(settings)
    for _ in range(3):
        answer(settings, 1)
        pass_over(shipper)
        assert clocks.now(settings) == clock.wall == max(times(settings))
        running(clock, shipper, 2)
    assert shipper.retention.clock.differed_s
    assert not (settings.var / "logs" / "alerts.jsonl").exists()


def test_a_stack_that_was_stopped_for_a_month_on_a_running_machine_knows_it(settings: Settings, clock: Time) -> None:
    pass_over(LogShipper(settings))
    clock.run(30 * DAY_S)
    assert clocks.now(settings) == clock.wall
    shipper = LogShipper(settings)
    assert shipper.retention.clock.now == clock.wall
    assert not shipper.retention.clock.differed_s


def test_the_first_purge_of_a_home_comes_after_a_day(settings: Settings, clock: Time) -> None:
    """A backup that is put back on a machine whose clock is a year ahead."""
    answer(settings, 2)
    LogShipper(settings).step()
    clock.wall += 400 * DAY_S
    pass_over(LogShipper(settings))
    assert len(times(settings)) == 2


def test_a_moment_in_the_future_becomes_the_moves(settings: Settings, clock: Time) -> None:
    """Else it would be the newest row, in every window, for a year."""
    right = clock.wall
    Retention(settings)
    clock.wall += 400 * DAY_S
    answer(settings, 1)
    clock.wall = right
    pass_over(LogShipper(settings))
    assert times(settings) == [right]


def test_what_is_past_its_days_goes_once_a_day(settings: Settings, clock: Time) -> None:
    answer(settings, 2)
    shipper = LogShipper(settings)
    pass_over(shipper)
    for _ in range(364):
        clock.run(DAY_S + 60)
        pass_over(shipper)
    assert len(times(settings)) == 2
    clock.run(DAY_S + 60)
    pass_over(shipper)
    assert times(settings) == []


def test_a_leap_that_stays_is_believed_after_a_day_of_running(settings: Settings, clock: Time) -> None:
    """The machine was off for a year; the day counts over restarts."""
    answer(settings, 2)
    pass_over(LogShipper(settings))
    clock.wall += 400 * DAY_S
    for hours in (0, 10, 10):
        shipper = LogShipper(settings)
        running(clock, shipper, hours)
        pass_over(shipper)
        assert len(times(settings)) == 2
    shipper = LogShipper(settings)
    running(clock, shipper, 5)
    pass_over(shipper)
    assert times(settings) == []


def test_old_days_go_to_the_archive_once_a_day(tmp_path: Path, clock: Time) -> None:
    """By a process of its own, by the log shipper's careful clock; a leap of the machine's moves nothing."""
    settings = tiny.settings_for(tmp_path, log={"archive_after_days": 2})
    answer(settings, 3)
    shipper = LogShipper(settings)
    pass_over(shipper)
    clock.run(DAY_S + 1)
    clock.wall += 300 * DAY_S
    pass_over(shipper)
    assert finished(shipper)
    assert len(times(settings)) == 3
    clock.wall -= 300 * DAY_S
    shipper.retention.tick()
    clock.run(3 * DAY_S)
    pass_over(shipper)
    assert finished(shipper)
    assert len(list((settings.var / "archive").glob("*.parquet"))) == 1
    window = predictions.window(database.engine(settings))
    assert len(window) == 3
    assert window["actual"].tolist() == ["1"] * 3


def finished(shipper: LogShipper) -> bool:
    """Wait for the archive's process; whether it ended well."""
    process = shipper.retention._archiving
    assert process is not None
    process.join(60)
    return process.exitcode == 0
