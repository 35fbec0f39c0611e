"""A whole replay of a table whose world turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import DataError
from ml.replay import comparison, report
from ml.replay.report import Replay
from tests.ml.replay.tables import WINDOWS, as_excel_writes_it, settings_of, turning


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = turning()
    frame.loc[frame.index[:7], "y"] = None
    place = tmp_path_factory.mktemp("past") / "past.parquet"
    frame.to_parquet(place)
    return place


@pytest.fixture(scope="module")
def result(file: Path) -> Replay:
    seen: list[tuple[str, int, int]] = []
    settings = settings_of(file, tune={"costs": [[0, 1], [3, 0]]})
    played = comparison.run(
        settings,
        label_delay="0",
        n_windows=WINDOWS,
        progress=lambda stage, done, total, _: seen.append((stage, done, total)),
    )
    assert {("loop", 7, 7), ("every", 6, 7)} <= set(seen)
    assert not settings.home.exists(), "a replay leaves nothing in the home"
    return played


def test_rows_and_windows_are_told(result: Replay) -> None:
    assert (result.table, result.rows, result.unlabelled) == ("past.parquet", 1993, 7)
    assert result.windows == sorted(result.windows)
    assert len(result.windows) == len(result.decisions) == WINDOWS - 3
    assert [decision.until for decision in result.decisions] == result.windows


def test_the_loop_gains_on_never_retraining(result: Replay) -> None:
    never, loop = result.strategy(report.NEVER), result.strategy(report.LOOP)
    assert never.accuracy < 0.5 < loop.accuracy
    assert loop.log_loss < never.log_loss
    assert never.cost is not None
    assert loop.cost is not None
    assert loop.cost < never.cost
    assert (never.retrainings, result.strategy(report.EVERY).retrainings) == (0, WINDOWS - 4)
    assert result.strategy(report.SCHEDULE).retrainings <= loop.retrainings


def test_figures_of_windows_make_those_of_all(result: Replay) -> None:
    for one in result.strategies:
        assert sum(one.accuracy_by_window) / 7 == pytest.approx(one.accuracy, abs=0.002)
        assert one.cost == pytest.approx(sum(one.cost_by_window or []))


def test_late_labels_cost_the_loop(file: Path, result: Replay) -> None:
    late = comparison.run(settings_of(file), label_delay="20d", n_windows=WINDOWS)
    assert late.strategy(report.LOOP).accuracy < result.strategy(report.LOOP).accuracy
    assert late.strategies[0].cost is None


def test_too_few_rows_are_refused(file: Path) -> None:
    with pytest.raises(DataError, match="1993 rows are too few for 30 windows of at least 100"):
        comparison.run(settings_of(file), label_delay="0", n_windows=30)


def test_a_table_as_excel_writes_it_is_played_too(tmp_path: Path) -> None:
    """Its cells are read as the first model's table says, when they are answered and when they are learned from."""
    file = tmp_path / "past.csv"
    file.write_text(as_excel_writes_it(turning()), encoding="utf-8")
    played = comparison.run(settings_of(file), label_delay="12h", n_windows=WINDOWS)
    assert played.strategy(report.EVERY).retrainings == WINDOWS - 5, "labels come half a day late"
    assert played.strategy(report.LOOP).accuracy > played.strategy(report.NEVER).accuracy
