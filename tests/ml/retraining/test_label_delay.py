"""How late labels are, in rows; and what that does to rehearsals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.drift import backtest
from ml.messages import code_of
from ml.retraining import label_delay
from ml.settings import Settings
from tests.ml import worlds

HOUR = 3_600.0


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    """A home with the snapshot that the champion was made from."""
    return worlds.home(tmp_path, drift={"track": False, "report_rows": 0})


def hours(found: Settings, n: int, *, late: int, labelled: float = 1.0, after: bool = True) -> list[Any]:
    """So many windows of 300 rows, of which that share gets a label, so many windows late; the check of each."""
    served, verdicts = [], []
    for hour in range(n):
        frame, y, p = worlds.draw(300, 700 + hour)
        served.append((worlds.serve(found, frame, p, at=worlds.START + hour * HOUR), y))
        if hour >= late:
            ids, truth = served[hour - late]
            some = round(labelled * len(ids))
            worlds.answer(found, ids[:some], truth[:some], worlds.START + (hour + 0.1) * HOUR)
        if after:
            now = worlds.START + (hour + 0.5) * HOUR
            verdicts.append(worlds.check(found, now=now, baseline=worlds.baseline()))
    return verdicts


def test_labels_that_come_at_once_leave_nothing_out(found: Settings) -> None:
    assert label_delay.rows(found) == 0
    hours(found, 3, late=0, after=False)
    assert label_delay.rows(found) == 0


def test_the_rows_whose_labels_are_still_out_are_counted(found: Settings) -> None:
    hours(found, 5, late=2, after=False)
    assert label_delay.rows(found) == 600
    assert label_delay.rows(found, now=worlds.START + 3.5 * HOUR) == 300, "later answers do not count"


def test_answers_that_never_get_a_label_are_no_delay(found: Settings) -> None:
    """Of a third that is labelled, two windows are 200 rows; the unlabelled ones after the last label are as late."""
    hours(found, 6, late=2, labelled=1 / 3, after=False)
    # 800 answers came after the newest labelled one, and of the 1,000 before and with it 400 have a label.
    assert label_delay.rows(found) == round(800 * 400 / 1_000)


def test_without_a_label_there_is_no_delay(found: Settings) -> None:
    hours(found, 2, late=5, after=False)
    assert label_delay.rows(found) == 0


def test_newer_models_are_rehearsed_as_late_as_labels_come(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the sixth window the labels of the fourth are new: a model of then knew those of the first alone."""
    asked: dict[str, int] = {}
    fit = backtest.losses

    def seen(settings: Settings, source: Any, windows: Any, held: pd.DataFrame) -> Any:
        asked.update({name: len(rows) for name, rows in windows.items()} | {"held": len(held)})
        return fit(settings, source, windows, held)

    monkeypatch.setattr(backtest, "losses", seen)
    *early, last = hours(found, 6, late=2)
    assert asked == {"all": 300, "sliding": 300, "held": 300}
    assert last.fresh_model_probe.rows == 300
    assert [check.fresh_model_probe.rows for check in early] == [0] * 5


def test_that_labels_are_too_late_for_a_rehearsal_is_told(found: Settings) -> None:
    fifth = hours(found, 5, late=2)[-1]
    [why] = [reason.values["why"] for reason in fifth.reasons if code_of(reason) == "drift.probe_not_compared"]
    assert code_of(why) == "drift.probe_labels_late"
    assert (why.values["late"], why.values["left"]) == (600, 0)
