"""Order, windows, and when labels had come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.errors import DataError, SettingsError
from ml.replay import history
from tests.ml.replay.tables import settings_of, turning

DATES = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[us]")


def test_rows_come_in_the_order_of_their_moments(tmp_path: Path) -> None:
    file = tmp_path / "past.csv"
    turning().to_csv(file, index=False)
    past = history.read(settings_of(file))
    assert (np.diff(past.moments) > np.timedelta64(0)).all()
    assert past.frame["t"].tolist() == sorted(past.frame["t"])


@pytest.mark.parametrize("column", ["t", "y"])
def test_a_column_that_is_not_there_is_named(column: str, tmp_path: Path) -> None:
    file = tmp_path / "past.csv"
    turning().drop(columns=[column]).to_csv(file, index=False)
    with pytest.raises(DataError, match=column):
        history.read(settings_of(file))


@pytest.mark.parametrize(
    ("text", "days"), [("30d", 30.0), ("12h", 0.5), ("2w", 14.0), ("0", 0.0), ("1.5d", 1.5), ("90m", 0.0625)]
)
def test_a_delay_of_dates_has_a_unit(text: str, days: float) -> None:
    assert history.delay(text, DATES) == np.timedelta64(round(days * 86_400e6), "us")


@pytest.mark.parametrize("text", ["30", "30 days", "-1d", "d", "", "1d2h"])
def test_what_is_no_delay_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="label delay"):
        history.delay(text, DATES)


def test_numbers_have_a_delay_of_numbers() -> None:
    assert history.delay("5", np.array([0.0, 1.0])) == 5.0
    with pytest.raises(SettingsError, match="100"):
        history.delay("5d", np.array([0.0, 1.0]))


def test_labels_of_a_window_are_there_when_its_newest_has_come() -> None:
    moments = np.arange(12.0)
    edges = history.bounds(12, 4)  # ends at 2, 5, 8, 11
    assert history.arrivals(moments, edges, 0.0) == [0, 1, 2, 3]
    assert history.arrivals(moments, edges, 3.0) == [1, 2, 3, 4]
    assert history.arrivals(moments, edges, 3.5) == [2, 3, 4, 4]
