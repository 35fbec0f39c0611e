"""What became of windows of training rows under all champions, and that a choice minds it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict, FreshModelProbe, Rehearsal, Window, WindowRecord
from ml.messages import code_of
from ml.retraining import window_policy, window_record
from ml.settings import Settings
from tests.ml import worlds

HOUR = 3_600.0


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.home(tmp_path)


def test_each_window_is_held_against_all_rows_by_its_best_family() -> None:
    losses = {
        "all (logistic)": np.array([1.0, 1.0]),
        "all (hist_gradient_boosting)": np.array([0.5, 0.6]),
        "sliding (logistic)": np.array([0.2, 0.3]),
        "sliding (hist_gradient_boosting)": np.array([2.0, 2.0]),
        "since drift (logistic)": np.array([1.0, 1.1]),
    }
    made = window_record.add({}, losses, half_life=20_000)
    assert made.keys() == {"sliding", "since drift"}
    assert made["sliding"] == WindowRecord(rows=2, over_all=pytest.approx(0.6))
    assert made["since drift"] == WindowRecord(rows=2, over_all=pytest.approx(-1.0))


def test_rows_are_weighed() -> None:
    losses = {"all (logistic)": np.array([1.0, 1.0]), "sliding (logistic)": np.array([0.0, 3.0])}
    made = window_record.add({}, losses, np.array([1.0, 0.25]), half_life=20_000)
    assert made["sliding"].over_all == pytest.approx(1.0 - 0.5)


def test_without_all_rows_beside_it_nothing_is_known() -> None:
    before = {"sliding": WindowRecord(rows=8, over_all=2)}
    assert window_record.add(before, {"sliding (logistic)": np.ones(4)}, half_life=10**9) == {
        "sliding": WindowRecord(rows=pytest.approx(8), over_all=pytest.approx(2))
    }


def test_old_records_fade() -> None:
    losses = {"all (logistic)": np.zeros(100), "sliding (logistic)": np.zeros(100)}
    before = {"sliding": WindowRecord(rows=400, over_all=-8.0), "since drift": WindowRecord(rows=40, over_all=6.0)}
    made = window_record.add(before, losses, half_life=100)
    assert made["sliding"] == WindowRecord(rows=300, over_all=-4.0)
    assert made["since drift"] == WindowRecord(rows=20, over_all=3.0)


def save(found: Settings, hour: int, version: str, **probe: object) -> None:
    at = worlds.START + hour * HOUR
    verdict = DriftVerdict(
        id=f"{hour:03d}", time=at, verdict="stable", retrain=False, decision="", reasons=[], model_version=version,
        window=Window(start=at, end=at + 1, rows=1), fresh_model_probe=FreshModelProbe(**probe),  # type: ignore[arg-type]
    )  # fmt: skip
    verdict_history.save(found, verdict)


def test_the_newest_record_is_that_of_the_newest_labels_whichever_champion_had_them(found: Settings) -> None:
    assert window_record.newest(found) == {}
    newest = {"sliding": WindowRecord(rows=9, over_all=1)}
    save(found, 0, "1", labels_until=5.0, record={"sliding": WindowRecord(rows=3, over_all=2)})
    save(found, 1, "2", labels_until=7.0, record=newest)
    save(found, 2, "3", labels_until=0.0)  # its first check: no label yet
    assert window_record.newest(found) == newest


def test_a_window_that_lost_to_all_rows_is_not_chosen_and_that_is_told(found: Settings) -> None:
    """The evidence since the promotion is for it, as it was each time before."""
    frame, y, p = worlds.draw(900, 400)
    worlds.serve(found, frame, p, labels=y)
    rehearsals = {
        "all (logistic)": Rehearsal(rows=600, gain=1.0, log_wealth=1.0),
        "sliding (logistic)": Rehearsal(rows=600, gain=90.0, log_wealth=80.0),
    }
    proved = {"rehearsals": rehearsals, "model": "sliding (logistic)", "evidence": 70.0, "labels": 600, "windows": 2}
    chosen = lambda: window_policy.select(found, version="1", created=worlds.START - HOUR)  # noqa: E731
    save(found, 1, "1", labels_until=1.0, record={"sliding": WindowRecord(rows=600, over_all=2.0)}, **proved)
    assert chosen().policy == "sliding"
    lost = {"sliding": WindowRecord(rows=600, over_all=-2.0)}
    save(found, 2, "1", labels_until=2.0, record=lost, **proved)
    assert (chosen().policy, code_of(chosen().reason)) == ("all", "retraining.window_lost")
    fixed = msgspec.structs.replace(found, retrain=msgspec.structs.replace(found.retrain, policy="sliding"))
    assert window_policy.select(fixed, version="1", created=worlds.START - HOUR).policy == "sliding", (
        "as was configured"
    )


def test_checks_hand_the_record_on_from_one_champion_to_the_next(tmp_path: Path) -> None:
    found = worlds.home(tmp_path, drift={"track": False, "report_rows": 0})
    for hour in range(3):
        version = "1" if hour < 2 else "2"
        frame, y, p = worlds.draw(600, 200 + hour)
        worlds.serve(found, frame, p, at=worlds.START + hour * HOUR, labels=y, version=version)
        now = worlds.START + hour * HOUR + 60
        verdict = worlds.check(found, now=now, baseline=worlds.baseline(version))
    assert verdict.model_version == "2"
    assert verdict.fresh_model_probe.record["sliding"].rows == pytest.approx(600 + 600, rel=0.05)
