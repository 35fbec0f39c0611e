"""What is decided by time goes by the machine's clock while it has not leapt, and by the log shipper's where it has."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from ml.registry import ledger
from ml.release import bake
from ml.settings import Settings, from_values
from ml.storage import clock
from ml.storage.clock import DAY_S, Clock
from ml.storage.files import write_bytes

RIGHT = 1_900_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The log shipper kept its time a minute ago, in this boot."""
    own = from_values({"home": str(tmp_path), "registry": {"model_name": "M"}})
    keep(own, Clock(now=RIGHT - 60, boot=clock.boot(), ran_s=clock.ran_s() - 60))
    return own


def keep(settings: Settings, kept: Clock) -> None:
    write_bytes(clock.file(settings), msgspec.json.encode(kept))


@pytest.mark.parametrize(("wall", "now"), [
    (RIGHT, RIGHT), (RIGHT - 6 * DAY_S, RIGHT - 6 * DAY_S), (RIGHT + 6 * DAY_S, RIGHT + 6 * DAY_S),
    (RIGHT - 365 * DAY_S, RIGHT), (RIGHT + 365 * DAY_S, RIGHT), (0.0, RIGHT),
])  # fmt: skip
def test_a_leap_of_more_than_a_week_is_not_followed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, wall: float, now: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: wall)
    assert clock.now(settings) == pytest.approx(now, abs=10)


@pytest.mark.parametrize(("wall", "now"), [(RIGHT + 365 * DAY_S, RIGHT + 365 * DAY_S), (RIGHT - 365 * DAY_S, RIGHT)])
def test_a_machine_that_was_off_for_a_year_is_right_and_one_whose_clock_ran_back_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, wall: float, now: float
) -> None:
    keep(settings, Clock(now=RIGHT, boot="another", ran_s=0.0))
    monkeypatch.setattr(time, "time", lambda: wall)
    assert clock.now(settings) == now


@pytest.mark.parametrize("content", [None, b"{", b'{"now": "x"}'])
def test_without_the_log_shippers_time_the_machines_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    clock.file(settings).unlink() if content is None else clock.file(settings).write_bytes(content)
    monkeypatch.setattr(time, "time", lambda: 5.0)
    assert clock.now(settings) == 5.0


@pytest.mark.parametrize("days", [-365, 365])
def test_a_promotion_while_the_clock_is_wrong_is_watched_when_it_is_right(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: RIGHT + days * DAY_S)
    ledger.append(settings, ledger.PROMOTED, who="ann", from_version="1", to_version="2")
    monkeypatch.setattr(time, "time", lambda: RIGHT + 60)
    watched = bake.promotion(settings, clock.now(settings))
    assert watched is not None
    assert watched.time == pytest.approx(RIGHT, abs=10)
