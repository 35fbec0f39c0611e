"""Would a newer model do better? Found where it is so, not where it is not, and never asked of a broken feed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import predictions
from ml.drift import backtest, rule, verdict_history
from ml.drift.reference import Baseline
from ml.drift.verdict import DriftVerdict, FreshModelProbe, Performance, Signals
from ml.messages import code_of, message
from ml.registry import ledger
from ml.retraining import blockers, fresh_model_probe, window_policy
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
    probe = second.fresh_model_probe
    assert (probe.windows, probe.labels, probe.model) == (1, 600, "sliding (logistic)")
    assert probe.evidence > found.drift.evidence_large_nats
    assert probe.gain == probe.gains[probe.model][0] == pytest.approx(probe.rehearsals[probe.model].gain / 600)


def test_a_champion_that_holds_is_not_outdone(found: Settings) -> None:
    """Newer rows of the same world teach nothing new, however many windows are taken together."""
    verdicts = [window(found, hour, worlds.baseline()) for hour in range(6)]
    assert not any(v.signals.challenger_beats_champion or v.retrain for v in verdicts)
    last = verdicts[-1].fresh_model_probe
    assert (last.windows, last.labels) == (5, 3_000)  # all since the promotion but the first, which had none before it
    assert last.evidence < 1


def test_a_broken_feed_is_asked_about_and_retrained_for_by_nobody(found: Settings) -> None:
    """Its labels are heard; rows without new labels ask nothing more, and what was shown is handed on."""
    kept = poor(0.6)
    window(found, 0, kept, concept=0.6)
    frame, y, p = worlds.draw(600, 300, concept=0.6)
    worlds.serve(found, frame.assign(x1=np.nan), p, at=worlds.START + HOUR, labels=y)
    verdict = check(found, now=worlds.START + HOUR + 60, baseline=kept)
    assert (verdict.verdict, verdict.fresh_model_probe.rows, verdict.retrain) == ("broken data", 600, False)
    worlds.serve(found, *worlds.draw(600, 301)[::2], at=worlds.START + 2 * HOUR)
    quiet = check(found, now=worlds.START + 2 * HOUR + 60, baseline=kept)
    assert (quiet.fresh_model_probe.rows, quiet.signals.challenger_beats_champion, quiet.retrain) == (0, False, False)
    assert quiet.fresh_model_probe.rehearsals == verdict.fresh_model_probe.rehearsals
    assert quiet.fresh_model_probe.evidence == verdict.fresh_model_probe.evidence > 4.6


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
    frame, _, p = worlds.draw(600, 200)
    worlds.serve(found, frame, p, labels=np.full(600, "no", dtype=object))
    changed = msgspec.structs.replace(kept, schema=schema)
    other = fresh_model_probe.examine(found, changed, now=worlds.START + HOUR, since=None)
    assert other.problem.values["why"].code == "drift.probe_other_classes"  # type: ignore[union-attr]


def test_older_rows_of_another_question_are_told_where_they_leave_too_few(
    found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that an earlier champion, of other columns, has answered."""
    window(found, 0, worlds.baseline())
    monkeypatch.setattr(fresh_model_probe.production, "same_question", lambda rows, _schema: (rows.iloc[:0], len(rows)))
    why = not_compared(window(found, 1, worlds.baseline()))
    assert (why.code, why.values["left"]) == ("drift.probe_other_question", 0)


def judged(found: Settings, gain: float, before: FreshModelProbe | None = None, rows: int = 100) -> FreshModelProbe:
    """The probe after one more check, in which the model of all rows gains so much on each row."""
    served = np.full(rows, 0.5)
    losses = {"all (logistic)": served - gain}
    return fresh_model_probe.judge(found, before or FreshModelProbe(), served, losses)


def test_small_gain_is_sure_over_several_windows(found: Settings) -> None:
    """Three nats a check, less what three models and a late beginning cost: the third check has 4.6."""
    one = judged(found, 0.03)
    two = judged(found, 0.03, one)
    three = judged(found, 0.03, two)
    assert [probe.challenger_beats_champion for probe in (one, two, three)] == [False, False, True]
    assert (three.windows, three.labels, three.rehearsals["all (logistic)"].gain) == (3, 300, pytest.approx(9.0))
    expected = {"evidence": three.evidence, "asked": 4.6, "model": "all (logistic)", "n": 300}
    assert three.reasons == [message("drift.newer_model_better", **expected)]
    assert two.reasons == []


def test_the_evidence_asked_for_is_a_setting(found: Settings) -> None:
    """It must be passed, not met."""
    evidence = judged(found, 0.2).evidence
    for asked, beats in [(evidence, False), (evidence - 1e-9, True)]:
        drift = msgspec.structs.replace(found.drift, evidence_nats=asked)
        assert judged(msgspec.structs.replace(found, drift=drift), 0.2).challenger_beats_champion is beats


def test_losses_of_today_are_taken_from_the_gains_of_the_past(found: Settings) -> None:
    before = judged(found, 0.06)
    assert judged(found, 0.06, before).challenger_beats_champion
    assert not judged(found, -0.06, before).challenger_beats_champion


def test_where_no_model_could_be_fitted_nothing_is_counted(found: Settings) -> None:
    before = judged(found, 0.06)
    assert fresh_model_probe.judge(found, before, np.full(100, 0.5), {}) is before


def test_two_checks_that_ran_at_a_time_count_their_labels_once(found: Settings) -> None:
    """Both went on from the same sums; the next goes on from the one that counted the latest label."""
    kept = poor(0.2)
    first, second = (window(found, hour, kept, concept=0.2) for hour in range(2))
    racing = msgspec.structs.replace(second, id=f"{second.id}-again", time=second.time + 1)
    verdict_history.save(found, racing)
    third = window(found, 2, kept, concept=0.2)
    assert [v.fresh_model_probe.labels for v in (first, second, third)] == [0, 600, 1_200]
    assert third.fresh_model_probe.windows == 2
    for sums in third.fresh_model_probe.rehearsals.values():
        assert sums.rows == 1_200


def test_a_label_that_is_put_right_later_counts_once_and_a_late_one_when_it_comes(found: Settings) -> None:
    kept = worlds.baseline()
    window(found, 0, kept)
    frame, y, p = worlds.draw(900, 201)
    ids = worlds.serve(found, frame, p, at=worlds.START + HOUR)
    worlds.answer(found, ids[:600], y[:600], worlds.START + HOUR + 10)
    assert check(found, now=worlds.START + HOUR + 60, baseline=kept).fresh_model_probe.labels == 600
    worlds.answer(found, ids[:300], np.where(y[:300] == "1", "0", "1"), worlds.START + HOUR + 70)
    worlds.answer(found, ids[600:], y[600:], worlds.START + HOUR + 80)
    third = window(found, 2, kept)
    assert (third.fresh_model_probe.rows, third.fresh_model_probe.labels) == (900, 1_500)


def test_more_labels_than_performance_looks_at_are_counted(tmp_path: Path) -> None:
    """Without a limit of pooling."""
    found = worlds.home(tmp_path, drift={"track": False, "report_rows": 0, "label_rows": 200})
    for hour in range(2):
        verdict = window(found, hour, worlds.baseline())
    assert verdict.fresh_model_probe.labels == 600


def test_evidence_begins_anew_with_each_promotion(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another version, and of an old one that was taken back: rows of its first time do not count again."""

    def moved(what: str, at: float, to: str) -> None:
        monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: at))
        ledger.append(found, what, who="ann", to_version=to)

    kept = poor(0.2)
    moved(ledger.PROMOTED, worlds.START - 1, "1")
    for hour in range(3):
        verdict = window(found, hour, kept, concept=0.2)
    assert verdict.fresh_model_probe.labels == 1_200
    moved(ledger.PROMOTED, worlds.START + 2.5 * HOUR, "2")
    assert window_policy.shown(found, "2")[0] is None
    moved(ledger.ROLLED_BACK, worlds.START + 2.8 * HOUR, "1")
    assert window_policy.shown(found, "1") == (None, worlds.START + 2.8 * HOUR)
    again = window(found, 3, kept, concept=0.2)
    assert (again.fresh_model_probe.windows, again.fresh_model_probe.labels) == (1, 600)


def test_rehearsals_are_fitted_on_what_was_labelled_before(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the moment of the labels: a straggler among the new ones does not take all older rows away."""
    frame, y, p = worlds.draw(700, 200)
    ids = worlds.serve(found, frame, p, at=worlds.START)
    worlds.answer(found, ids[1:], y[1:], worlds.START + 10)
    check(found, now=worlds.START + 60, baseline=worlds.baseline())
    worlds.answer(found, ids[:1], y[:1], worlds.START + HOUR)
    asked: dict[str, int] = {}
    fit = backtest.losses

    def seen(settings: Settings, source: Any, windows: Any, held: pd.DataFrame) -> Any:
        asked.update({"held": len(held)} | {name: len(rows) for name, rows in windows.items()})
        return fit(settings, source, windows, held)

    monkeypatch.setattr(backtest, "losses", seen)
    assert window(found, 1, worlds.baseline()).fresh_model_probe.rows == 601
    assert asked == {"held": 601, "all": 699, "sliding": 699}


def test_large_drop_that_no_newer_model_mends_waits_for_a_second_window() -> None:
    """A hard stretch is hard for every model."""
    fell = Performance(labels=500, degraded=True, large=True, judged=True)
    signals = Signals(degraded=True, judged=True)
    hard = FreshModelProbe(gain=-0.01)
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


def test_evidence_that_a_retraining_has_had_does_not_break_the_budget_again(tmp_path: Path) -> None:
    """It takes as much again: a gate that refuses is asked at ever longer intervals."""
    drift = {"track": False, "report_rows": 0, "budget_windows": 9, "budget_saved": 0, "retrain_timeout_s": 0.0}
    found, kept = worlds.home(tmp_path, drift=drift), poor(0.3)
    verdicts = [window(found, hour, kept, concept=0.3) for hour in range(4)]
    first, second, third = (v.fresh_model_probe.evidence for v in verdicts[1:])
    assert first > 46
    assert second > 2 * first
    assert second < third < 2 * second
    assert [v.retrain for v in verdicts] == [False, True, True, False]
    assert verdicts[3].decision.values["reason"].code == "retraining.budget_spent"  # type: ignore[union-attr]


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


def test_quick_models_answer_in_probabilities_that_are_floored_and_sum_to_one(found: Settings) -> None:
    """Else a bet on them could gain on average (`ml.retraining.e_process`)."""
    frame, y, p = worlds.draw(600, 200)
    worlds.serve(found, frame, p, labels=y)
    rows = predictions.labelled(found)
    source = backtest.base(found)
    assert source is not None
    rows["y"] = np.where(rows["x0"] > 0, "1", "0")
    held = rows.iloc[-200:].assign(y="0")
    of_zero = backtest.losses(found, source, {"sliding": rows.iloc[:400]}, held)["sliding (logistic)"]
    of_one = backtest.losses(found, source, {"sliding": rows.iloc[:400]}, held.assign(y="1"))["sliding (logistic)"]
    assert np.exp(-of_zero) + np.exp(-of_one) == pytest.approx(np.ones(200))
    assert max(of_zero.max(), of_one.max()) == pytest.approx(-np.log(1e-4 / (1 + 1e-4)))
