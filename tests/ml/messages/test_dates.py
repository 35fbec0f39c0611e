"""Dates as the readers of a language write them, in messages too."""

from __future__ import annotations

import functools

import pytest

from ml.messages import dates, message
from ml.messages.message import fill


@pytest.mark.parametrize(
    ("date", "english", "vietnamese"),
    [
        ("2026-01-02T00:00:00.000000", "2 Jan 2026", "02/01/2026"),
        ("2026-12-31T23:59:59.5", "31 Dec 2026, 23:59:59", "31/12/2026 23:59:59"),
        ("2026-12-31 23:59", "31 Dec 2026, 23:59", "31/12/2026 23:59"),
        ("7", "7", "7"),
        ("1.5e+06", "1.5e+06", "1.5e+06"),
        ("", "", ""),
    ],
)
def test_a_date_is_told_in_the_readers_way(date: str, english: str, vietnamese: str) -> None:
    """What is no date stays: a time column may hold plain numbers."""
    assert (dates.told(date), dates.told(date, "vi")) == (english, vietnamese)


def test_a_message_with_a_date_has_it_in_the_readers_way() -> None:
    values = {"first": "2026-01-02T00:00:00.000000"}
    assert fill("since {first:date}", values) == "since 2 Jan 2026"
    assert fill("từ {first:date}", values, date=functools.partial(dates.told, language="vi")) == "từ 02/01/2026"
    made = message("card.time", first="2026-01-02T00:00:00.000000", last="7.5")
    assert str(made) == "time: 2 Jan 2026 to 7.5"
