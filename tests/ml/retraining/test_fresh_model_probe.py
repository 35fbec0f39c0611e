"""Would a newer model do better? Found where it is so, not where it is not, and never asked of a broken feed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml.drift import rule, verdict_history
from ml.drift.reference import Baseline
from ml.drift.verdict import DriftVerdict, FreshModelProbe, Performance, Signals
from ml.messages import code_of, message
from ml.retraining import blockers, fresh_model_probe
from ml.settings import Drift, Settings
from tests.ml import worlds
from tests.ml.worlds import check

HOUR = 3_600.0


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    """A home with the snapshot that the champion was made from."""
    return worlds.home(tmp_path, drift={"track": False, "report_rows": 0})


def window(found: Settings, hour: int, baseline: Baseline, *, n: int = 600, **world: Any) -> DriftVerdict:
    frame, y, p = worlds.draw(n, 200 + hour, **world)
    at = worlds.START + hour * HOUR
    worlds.serve(found, frame, p, at=at, labels=y)
    return check(found, now=at + 60, baseline=baseline)


def poor(concept: float) -> Baseline:
    """The reference of a champion that was no better when it was made: no bar that it could fall below."""
    frame, y, p = worlds.draw(2_000, 1, concept=concept)
    return Baseline("1", worlds.SCHEMA, frame, y, worlds.decide(p), np.column_stack([1 - p, p]))


def test_a_champion_that_never_was_good_is_outdone(found: Settings) -> None:
    """It has not dropped, and no input has moved: only the newer model shows it. Large, so it is told at once."""
    kept = poor(0.6)
    first, second = (window(found, hour, kept, concept=0.6) for hour in range(2))
    assert (first.verdict, first.fresh_model_probe.rows) == ("stable", 0)  # no older labelled rows to learn from yet
    assert not second.performance.degraded
    assert (second.verdict, second.signals.challenger_beats_champion, second.retrain) == ("drift", True, True)
    assert code_of(second.reasons[0]) == "drift.newer_model_better"
    assert second.decision == message("retraining.gain_large")
    assert second.fresh_model_probe.gain is not None
    assert second.fresh_model_probe.gain > second.fresh_model_probe.gain_at_least > found.drift.log_loss_margin  # type: ignore[operator]


def test_a_champion_that_holds_is_not_outdone(found: Settings) -> None:
    """Newer rows of the same world teach nothing new, however many windows are taken together."""
    verdicts = [window(found, hour, worlds.baseline()) for hour in range(6)]
    assert not any(v.signals.challenger_beats_champion or v.retrain for v in verdicts)
    assert verdicts[-1].fresh_model_probe.windows == 3  # 2,000 rows at most


def test_a_broken_feed_is_asked_about_and_retrained_for_by_nobody(found: Settings) -> None:
    """Its labels are heard; rows without new labels ask nothing more."""
    kept = poor(0.6)
    window(found, 0, kept, concept=0.6)
    frame, y, p = worlds.draw(600, 300, concept=0.6)
    worlds.serve(found, frame.assign(x1=np.nan), p, at=worlds.START + HOUR, labels=y)
    verdict = check(found, now=worlds.START + HOUR + 60, baseline=kept)
    assert (verdict.verdict, verdict.fresh_model_probe.rows, verdict.retrain) == ("broken data", 600, False)
    worlds.serve(found, *worlds.draw(600, 301)[::2], at=worlds.START + 2 * HOUR)
    assert check(found, now=worlds.START + 2 * HOUR + 60, baseline=kept).fresh_model_probe.rows == 0


def test_strange_older_rows_cost_the_question_and_not_the_verdict(
    found: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows that were logged before a column came, or with words in a number."""
    frame, y, p = worlds.draw(600, 200)
    worlds.serve(found, frame.drop(columns="x1").assign(x2="much"), p, at=worlds.START - HOUR, labels=y, version="0")
    verdict = window(found, 1, worlds.baseline())
    assert (verdict.verdict, verdict.fresh_model_probe.rows) == ("stable", 0)
    assert not_compared(verdict) is not None
    assert "no newer model could be tried" in caplog.text


def not_compared(verdict: DriftVerdict) -> Any:
    """Why, as the verdict's last reason tells it."""
    assert [code_of(reason) for reason in verdict.reasons] == ["drift.nothing_changed", "drift.probe_not_compared"]
    assert verdict.reasons[-1] == verdict.fresh_model_probe.problem
    return verdict.reasons[-1].values["why"]  # type: ignore[union-attr]


def test_without_a_snapshot_nothing_is_asked_and_that_is_told(tmp_path: Path) -> None:
    """The check stands without it."""
    found = worlds.settings(tmp_path)
    for hour in range(2):
        assert not_compared(window(found, hour, worlds.baseline())).code == "drift.probe_no_snapshot"


def test_a_snapshot_of_other_classes_is_no_silence(found: Settings) -> None:
    """The newest snapshot may be of a table that has been given another class since."""
    kept = worlds.baseline()
    schema = msgspec.structs.replace(kept.schema, classes=("no", "perhaps"))
    fresh = pd.DataFrame({"actual": ["no"] * 600})
    other = fresh_model_probe.examine(found, msgspec.structs.replace(kept, schema=schema), fresh)
    assert other.problem.values["why"].code == "drift.probe_other_classes"  # type: ignore[union-attr]


def test_older_rows_of_another_question_are_told_where_they_leave_too_few(
    found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that an earlier champion, of other columns, has answered."""
    window(found, 0, worlds.baseline())
    monkeypatch.setattr(fresh_model_probe.production, "same_question", lambda rows, _schema: (rows.iloc[:0], len(rows)))
    why = not_compared(window(found, 1, worlds.baseline()))
    assert (why.code, why.values["left"]) == ("drift.probe_other_question", 0)


def judged(
    found: Settings, gain: float, error: float, earlier: list[FreshModelProbe] | None = None, rows: int = 500
) -> FreshModelProbe:
    return fresh_model_probe.judge(found, {"all (logistic)": (gain, error)}, rows, earlier or [])


def test_small_gain_is_sure_over_several_windows(found: Settings) -> None:
    """In one window it could be chance."""
    one = judged(found, 0.025, 0.012)
    assert not one.challenger_beats_champion
    two = judged(found, 0.025, 0.012, [one])
    four = judged(found, 0.025, 0.012, [two, one, one])
    assert (four.challenger_beats_champion, four.large, four.windows) == (True, False, 4)
    assert four.gain_at_least == pytest.approx(0.025 - 2.326 * 0.012 / 2, abs=1e-4)


def test_gain_of_the_past_is_none_of_today(found: Settings) -> None:
    """The newest window must be among those that show it."""
    before = judged(found, 0.2, 0.01)
    assert before.large
    assert not judged(found, -0.01, 0.01, [before]).challenger_beats_champion


def test_the_best_of_many_models_pays_for_their_number(found: Settings) -> None:
    """What is sure of one model alone is not sure of the best of four."""
    gain = 0.005 + 2.4 * 0.01
    assert judged(found, gain, 0.01).challenger_beats_champion
    assert not fresh_model_probe.judge(found, {str(i): (gain, 0.01) for i in range(4)}, 500).challenger_beats_champion


def test_chance_outdoes_nobody(found: Settings) -> None:
    """Equal models, new noise in each of four windows: at most 1 of 100 are called outdone."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(500):
        earlier: list[FreshModelProbe] = []
        for _ in range(4):
            gains = {str(i): (float(rng.normal(0, 0.02)), 0.02) for i in range(4)}
            earlier.insert(0, fresh_model_probe.judge(found, gains, 500, earlier))
        alarms += earlier[0].challenger_beats_champion
    assert alarms <= 10


@pytest.mark.parametrize(
    ("renewed", "spare", "asked", "code"),
    [
        (FreshModelProbe(challenger_beats_champion=True, large=True), False, True, "gain_large"),
        (FreshModelProbe(challenger_beats_champion=True, windows=2), True, True, "gain_confirmed"),
        (FreshModelProbe(challenger_beats_champion=True, windows=1), True, False, "not_confirmed_yet"),
        (FreshModelProbe(challenger_beats_champion=True, windows=3), False, False, "small_gain"),
    ],
    ids=["large", "over two windows", "over one", "small and no budget to spare"],
)
def test_when_an_outdone_champion_is_replaced(renewed: FreshModelProbe, spare: bool, asked: bool, code: str) -> None:
    """Large at once; small when sure over windows, and when a retraining can be spared for it."""
    signals = Signals(challenger_beats_champion=True, judged=True)
    answer = rule.retrain(
        "drift", signals, Performance(labels=500), [], [], Drift(), fresh_model_probe=renewed, spare=spare
    )
    assert answer[0] is asked
    assert answer[1].code == f"retraining.{code}"


def test_large_drop_that_no_newer_model_mends_waits_for_a_second_window() -> None:
    """A hard stretch is hard for every model."""
    fell = Performance(labels=500, degraded=True, large=True, judged=True)
    signals = Signals(degraded=True, judged=True)
    hard = FreshModelProbe(gain=-0.01, gain_at_least=-0.03)
    assert not rule.retrain("degraded", signals, fell, [], [], Drift(), fresh_model_probe=hard)[0]
    assert rule.retrain("degraded", signals, fell, [signals], [], Drift(), fresh_model_probe=hard)[0]
    assert rule.retrain("degraded", signals, fell, [], [], Drift(), fresh_model_probe=FreshModelProbe())[0]


def checked(found: Settings, hour: int, *, retrain: bool, verdict: str = "drift") -> None:
    word: Any = verdict
    verdict_history.save(
        found,
        DriftVerdict(
            id=f"{hour:03d}", time=worlds.START + hour * HOUR, verdict=word, retrain=retrain, decision="", reasons=[],
            model_version="1",
        ),
    )  # fmt: skip


def test_budget_is_earned_by_windows_and_saved_up(found: Settings) -> None:
    """Two at first, one more in three windows, never more than two; a check without a window earns nothing."""
    drift = found.drift
    assert blockers.budget(found) == drift.budget_saved == 2
    checked(found, 0, retrain=True)
    checked(found, 1, retrain=True)
    assert blockers.budget(found) == pytest.approx(2 / 3)
    held = blockers.blockers(found, worlds.START + 90 * HOUR, None)
    assert [h.reason for h in held] == [message("retraining.budget_spent", n=3, more=1)]
    checked(found, 2, retrain=False, verdict="insufficient data")
    assert blockers.budget(found) == pytest.approx(2 / 3)
    checked(found, 3, retrain=False)
    assert blockers.budget(found) == pytest.approx(1.0)
    assert not blockers.blockers(found, worlds.START + 90 * HOUR, None)
    for hour in range(4, 20):
        checked(found, hour, retrain=False)
    assert blockers.budget(found) == 2


def test_renewal_is_kept_with_the_verdict(found: Settings) -> None:
    """Later checks take it together with theirs, and so does the gate, through the event."""
    kept = poor(0.6)
    window(found, 0, kept, concept=0.6)
    verdict = window(found, 1, kept, concept=0.6)
    again = verdict_history.latest(found)
    assert again is not None
    assert again.fresh_model_probe == verdict.fresh_model_probe
    event = json.loads(json.dumps(verdict.to_dict()))
    assert event["signals"]["challenger_beats_champion"] is True
    assert event["fresh_model_probe"]["rows"] == 600
