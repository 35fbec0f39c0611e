"""The drift check: what it notices, what it leaves alone, what it decides, and what cannot stop it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from ml import drift, predictions
from ml.drift import features, performance, verdict_history
from ml.drift.reference import Baseline, canonical
from ml.drift.rule import Blocker, retrain, verdict
from ml.drift.verdict import DriftVerdict, Estimate, Finding, FreshModelProbe, Performance, Signals
from ml.errors import BundleError
from ml.evaluation import report
from ml.messages import Message, code_of, message
from ml.monitoring import check as checking
from ml.monitoring import evidently_report, retraining_decision
from ml.registry import ledger
from ml.retraining import blockers
from ml.settings import Drift, Settings
from ml.storage import database
from tests.ml import worlds
from tests.ml.worlds import check

HOUR = 3_600.0


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.settings(tmp_path)


def window(
    found: Settings,
    hour: int,
    *,
    n: int = 1_000,
    labelled: bool = True,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    baseline: Baseline | None = None,
    **world: Any,
) -> DriftVerdict:
    """Serve one window at an hour and check it."""
    frame, y, p = worlds.draw(n, 100 + hour, **world)
    frame = change(frame) if change else frame
    at = worlds.START + hour * HOUR
    worlds.serve(found, frame, p, at=at, labels=y if labelled else None, version=baseline.version if baseline else "1")
    return check(found, now=at + 60, baseline=baseline or worlds.baseline())


# What is noticed


def test_unchanged_traffic_is_stable(found: Settings) -> None:
    """And nothing is asked for."""
    verdict = window(found, 0)
    assert (verdict.verdict, verdict.retrain) == ("stable", False)
    assert verdict.performance.judged


def test_few_predictions_are_not_judged(found: Settings) -> None:
    """And checks that find nothing to judge do not fill the history."""
    for hour in range(3):
        verdict = window(found, hour, n=20)
        assert verdict.verdict == "insufficient data"
    assert len(drift.history(found)) == 1
    assert verdict.reasons == [message("drift.too_few_predictions", n=60, version="1", needed=found.drift.min_rows)]


def test_a_champion_that_cannot_be_read_is_not_a_missing_one(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails, and the pages tell why; not again at every check."""
    ledger.append(found, ledger.PROMOTED, who="vi", to_version="3")

    def damaged(_settings: Settings) -> Baseline | None:
        raise BundleError("reference.parquet is altered")

    monkeypatch.setattr(checking.champion_reference, "load", damaged)
    for minute in range(2):
        with pytest.raises(BundleError, match="altered"):
            checking.compare(found, now=worlds.START + 60 * minute)
    [kept] = drift.history(found)
    assert (kept.verdict, kept.model_version, kept.decided) == ("insufficient data", "3", False)
    assert kept.reasons == [message("drift.champion_not_readable", error="reference.parquet is altered")]


def test_false_alarms_are_rare() -> None:
    """At most 1 of 100 checks of unchanged data finds anything."""
    kept = worlds.baseline()
    alarms = 0
    for seed in range(200):
        frame, _, p = worlds.draw(400, 10_000 + seed)
        answers = np.column_stack([1 - p, p]), worlds.decide(p)
        findings = features.examine(kept, canonical(frame, worlds.SCHEMA)[0], {}, Drift(), answers=answers)
        alarms += any(f.drifted for f in findings)
    assert alarms <= 4  # 99.9% of the time for a true rate of 1%, less for a worse one


def named(verdict: DriftVerdict) -> set[tuple[str, str]]:
    """Column and code of each reason that is about a column."""
    about = [r.values for r in verdict.reasons if isinstance(r, Message) and r.code == "drift.column"]
    return {(str(values["column"]), code_of(values["reason"])) for values in about}  # type: ignore[arg-type]


def blank(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[np.random.default_rng(0).random(len(frame)) < 0.2, "x1"] = np.nan
    return frame


def relabel(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[np.random.default_rng(0).random(len(frame)) < 0.06, "c"] = "never seen"
    return frame


def mix(frame: pd.DataFrame) -> pd.DataFrame:
    frame["c"] = np.random.default_rng(0).choice(worlds.LEVELS, len(frame), p=[0.3, 0.3, 0.4])
    return frame


def widen(frame: pd.DataFrame) -> pd.DataFrame:
    frame["x3"] *= 2
    return frame


@pytest.mark.parametrize(
    ("change", "world", "column", "code"),
    [
        (None, {"shift": 0.5, "columns": 1}, "x0", "drift.distance"),
        (widen, {}, "x3", "drift.distance"),
        (mix, {}, "c", "drift.share_moved"),
        (blank, {}, "x1", "drift.missing"),
        (relabel, {}, "c", "drift.new_values"),
    ],
    ids=["mean", "variance", "category mix", "missing", "new category"],
)
def test_drift_of_one_column_is_noticed_and_named(
    found: Settings,
    change: Callable[[pd.DataFrame], pd.DataFrame] | None,
    world: dict[str, Any],
    column: str,
    code: str,
) -> None:
    """A warning: with labels that show no loss, one moved column replaces no model."""
    verdict = window(found, 0, change=change, **world)
    assert verdict.verdict == "drift"
    assert (column, code) in named(verdict)
    assert not verdict.retrain


def test_concept_drift_is_seen_by_labels_alone(found: Settings) -> None:
    """The inputs are as ever; accuracy is not."""
    verdict = window(found, 0, concept=0.6)
    assert verdict.verdict == "degraded"
    assert not any(f.drifted for f in verdict.findings)
    assert code_of(verdict.reasons[0]) == "drift.accuracy_fell"


def test_estimate_is_marked_as_an_estimate() -> None:
    """Without labels, scores that are less sure than they were are told, and told as a guess."""
    kept = worlds.baseline()
    _, _, p = worlds.draw(1_000, 3)
    unsure = 0.5 + (p - 0.5) * 0.6
    found = performance.estimate(kept, np.column_stack([1 - unsure, unsure]), Drift())
    assert found.dropped
    assert [code_of(reason) for reason in found.reasons] == ["drift.estimated_drop"]


BROKEN = Finding(column="a", kind="number", method="", broken=True, reasons=["broken"])
MOVED = Finding(column="a", kind="number", method="", drifted=True, reasons=["moved"])
FELL = Performance(labels=500, judged=True, degraded=True, reasons=["fell"])
HOLDS = Performance(labels=500, judged=True)
GUESS = Estimate(dropped=True, reasons=["estimate"])
OUTDONE = FreshModelProbe(challenger_beats_champion=True, reasons=["outdone"])


@pytest.mark.parametrize(
    ("finding", "measured", "guessed", "fresh_model_probe", "word", "reasons"),
    [
        (BROKEN, FELL, GUESS, OUTDONE, "broken data", ["broken", "fell", "outdone"]),
        (MOVED, FELL, GUESS, OUTDONE, "degraded", ["fell", "outdone", "moved", "estimate"]),
        (MOVED, HOLDS, Estimate(), FreshModelProbe(), "drift", ["moved"]),
        (None, HOLDS, GUESS, FreshModelProbe(), "drift", ["estimate"]),
        (None, HOLDS, Estimate(), OUTDONE, "drift", ["outdone"]),
        (None, HOLDS, Estimate(), FreshModelProbe(), "stable", None),
    ],
    ids=["broken feed", "measured drop", "moved column", "estimate alone", "outdone alone", "nothing"],
)
def test_the_gravest_finding_names_the_verdict(
    finding: Finding | None,
    measured: Performance,
    guessed: Estimate,
    fresh_model_probe: FreshModelProbe,
    word: str,
    reasons: Any,
) -> None:
    """And an estimate alone never says that the champion is degraded, which is what eases the gate."""
    findings = [finding] if finding else []
    found, told, signals = verdict(findings, measured, guessed, Drift(), fresh_model_probe=fresh_model_probe)
    assert found == word
    assert reasons is None or told == reasons
    assert signals.degraded == measured.degraded


def test_a_verdict_alone_promotes_nothing(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check reads the registry and writes verdicts: whatever it finds, no alias moves."""
    from ml import registry

    for name in ("promote", "rollback"):
        monkeypatch.setattr(registry, name, lambda *_, **__: pytest.fail("an alias was moved"))
    assert window(found, 0, concept=1.0).retrain


# Broken feeds


def stuck(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(x2=7.25)


def text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"x2": object}).assign(x2=lambda f: f["x2"].where(f.index % 2 == 0, "n/a?"))


@pytest.mark.parametrize(
    ("change", "column", "code"),
    [
        (lambda f: f.drop(columns="x1"), "x1", "drift.column_gone"),
        (lambda f: f.assign(x1=np.nan), "x1", "drift.feed_broken"),
        (stuck, "x2", "drift.feed_stuck"),
        (text, "x2", "drift.not_numbers"),
    ],
    ids=["column gone", "all missing", "stuck", "text in a number"],
)
def test_broken_feed_alerts_and_blocks_retraining(
    found: Settings, change: Callable[[pd.DataFrame], pd.DataFrame], column: str, code: str
) -> None:
    """Even when accuracy fell at the same time, which is told: retraining on it would make things worse."""
    verdict = window(found, 0, change=change, concept=1.0)
    assert verdict.verdict == "broken data"
    assert (column, code) in named(verdict)
    assert any(code_of(reason) == "drift.accuracy_fell" for reason in verdict.reasons)
    assert (verdict.retrain, verdict.signals.degraded) == (False, True)
    sent = [json.loads(line) for line in (found.var / "logs" / "alerts.jsonl").read_text().splitlines()]
    assert [alert["kind"] for alert in sent] == ["broken data"]


def test_common_value_may_fill_a_window(found: Settings) -> None:
    """A light sensor at night is no broken feed."""
    frame, y, p = worlds.draw(2_000, 1)
    frame["x3"] = frame["x3"].where(np.arange(2_000) % 2 == 0, 0.0)
    kept = Baseline("1", worlds.SCHEMA, frame, y, worlds.decide(p), np.column_stack([1 - p, p]))
    verdict = window(found, 0, change=lambda f: f.assign(x3=0.0), baseline=kept)
    assert verdict.verdict == "drift"


def test_a_value_that_moves_with_time_may_fill_a_window(found: Settings) -> None:
    """A year: what the champion learnt of, the next one, and after windows of one year each. Drift, never broken."""
    frame, y, p = worlds.draw(2_000, 1)
    frame["x3"] = np.repeat([2021.0, 2022, 2023, 2024, 2025], 400)
    kept = Baseline("1", worlds.SCHEMA, frame, y, worlds.decide(p), np.column_stack([1 - p, p]))
    for hour, year in enumerate([2025.0, 2025, 2026, 2027]):
        verdict = window(found, hour, change=lambda f, year=year: f.assign(x3=year), baseline=kept)
        assert verdict.verdict == "drift"
        assert any("'x3': the distribution changed" in str(reason) for reason in verdict.reasons)


def test_a_whole_number_that_varied_and_stands_still_is_stuck(found: Settings) -> None:
    frame, y, p = worlds.draw(2_000, 1)
    levels = np.random.default_rng(0).integers(0, 12, 4_000).astype(float)
    kept = Baseline(
        "1", worlds.SCHEMA, frame.assign(x3=levels[:2_000]), y, worlds.decide(p), np.column_stack([1 - p, p])
    )
    varied = window(found, 0, change=lambda f: f.assign(x3=levels[: len(f)]), baseline=kept)
    assert varied.verdict == "stable"
    assert window(found, 1, change=lambda f: f.assign(x3=5.0), baseline=kept).verdict == "broken data"


def test_labels_count_once_the_feed_is_mended(tmp_path: Path) -> None:
    """A drop that was measured while another column was broken is confirmed by the first window without."""
    found = worlds.settings(tmp_path, large_drop=1.0)
    broken = window(found, 0, concept=0.6, change=stuck)
    assert (broken.verdict, broken.retrain) == ("broken data", False)
    mended = window(found, 1, concept=0.6)
    assert (mended.verdict, mended.retrain) == ("degraded", True)


# When to retrain


def test_large_drop_retrains_at_once(found: Settings) -> None:
    """Waiting for a second window would cost more than a false alarm."""
    verdict = window(found, 0, concept=1.0)
    assert verdict.performance.large
    assert verdict.retrain


def test_smaller_drop_is_confirmed_by_a_second_window(tmp_path: Path) -> None:
    """m of the last n windows, the newest among them."""
    found = worlds.settings(tmp_path, large_drop=1.0)
    first, second = window(found, 0, concept=0.6), window(found, 1, concept=0.6)
    assert (first.retrain, second.retrain) == (False, True)
    assert first.decision == message("retraining.not_confirmed_yet", n=1, needed=2)


def test_confirmation_needs_new_labels(tmp_path: Path) -> None:
    """The same labels judged twice confirm nothing."""
    found = worlds.settings(tmp_path, large_drop=1.0)
    window(found, 0, concept=0.6)
    verdict = window(found, 1, labelled=False)
    assert verdict.verdict == "degraded"
    assert not verdict.performance.judged
    assert not verdict.retrain


def test_drift_does_not_retrain_while_labels_show_no_loss(found: Settings) -> None:
    """However often it is seen: any-column drift fires for ever on real streams."""
    assert not any(window(found, hour, shift=0.5).retrain for hour in range(4))


def test_persistent_drift_retrains_where_labels_never_come(found: Settings) -> None:
    """Confirmed by a second window."""
    verdicts = [window(found, hour, labelled=False, shift=0.5) for hour in range(2)]
    assert [v.retrain for v in verdicts] == [False, True]
    assert verdicts[1].decision == message("retraining.drift_persists")


def test_noise_never_retrains(found: Settings) -> None:
    """Eight windows of the same world."""
    assert not any(window(found, hour).retrain for hour in range(8))


def test_one_retraining_at_a_time(found: Settings) -> None:
    """A second request waits until the first was answered in the ledger."""
    first = window(found, 0, concept=1.0)
    second = window(found, 1, concept=1.0)
    assert (first.retrain, second.retrain) == (True, False)
    assert code_of(second.decision) == "retraining.blocked"
    assert second.decision.values["reason"] == message("retraining.under_way")  # type: ignore[union-attr]


def at(monkeypatch: pytest.MonkeyPatch, moment: float) -> None:
    monkeypatch.setattr("ml.registry.ledger.clock.now", lambda _: moment)


def test_cool_down_lasts_at_least_as_long_as_a_label_takes(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that, a new model cannot have been judged."""
    at(monkeypatch, worlds.START)
    ledger.append(found, ledger.PROMOTED, who="test", to_version="1")
    assert blockers.blockers(found, worlds.START + 600, 900.0)[0].reason.values["seconds"] == 900
    assert not blockers.blockers(found, worlds.START + 901, 900.0)
    assert blockers.blockers(found, worlds.START + found.drift.cooldown_s - 1, None)


def test_breaker_opens_after_repeated_refusals(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alerts a person, and closes by itself later or with the next promotion."""
    at(monkeypatch, worlds.START)
    for _ in range(found.drift.breaker_refusals):
        ledger.append(found, ledger.REFUSED, who="test")
    later = worlds.START + HOUR
    held = blockers.blockers(found, later, None)
    assert held[0].reason.code == "retraining.breaker"
    assert [code_of(alert) for alert in blockers.alerts("degraded", ["x"], held)] == [
        "drift.alert",
        "retraining.breaker",
    ]
    assert not blockers.blockers(found, worlds.START + found.drift.breaker_reset_s, None)
    ledger.append(found, ledger.PROMOTED, who="test", to_version="2")
    assert not blockers.blockers(found, later, None)


def test_a_hold_blocks_a_confirmed_drop() -> None:
    """And says which."""
    yes = Signals(degraded=True, judged=True)
    asked = retrain(
        "degraded", yes, Performance(labels=500), [yes], [Blocker(message("retraining.under_way"))], Drift()
    )
    assert (asked[0], str(asked[1])) == (
        False,
        "the drop in labelled performance is confirmed, but a retraining that was asked for is still under way",
    )


# Killed between two steps, and run again


def told(found: Settings) -> list[dict[str, Any]]:
    file = found.var / "logs" / "alerts.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


@pytest.mark.parametrize("again", ["nothing", "compare", "request"])
def test_a_step_done_again_comes_to_the_same_end(found: Settings, again: str) -> None:
    """As after a kill: one record, one alert, one retraining of the budget; and no window is lost."""
    frame, y, p = worlds.draw(1_000, 100, concept=1.0)
    worlds.serve(found, frame, p, labels=y)
    now = worlds.START + 60
    compared = checking.compare(found, now=now, baseline=worlds.baseline())
    assert (compared.decided, compared.retrain, compared.decision, told(found)) == (False, False, "", [])
    if again == "compare":
        later = checking.compare(found, now=now + 30, baseline=worlds.baseline())
        assert later == compared
    verdict = retraining_decision.decide(found, compared, now=now)
    if again == "request":
        assert retraining_decision.decide(found, compared, now=now + 30) == verdict
    assert (verdict.retrain, verdict.decision) == (True, message("retraining.drop_large"))
    assert drift.history(found) == [verdict]
    assert [alert["check"] for alert in told(found)] == [verdict.id]
    assert blockers.budget(found) == pytest.approx(2 - 1 + 1 / 3), "one is spent, and the next window is earned"
    assert verdict.numbers["retrain"] == 1.0


def test_a_verdict_cut_short_on_its_way_is_decided_on_whole(found: Settings) -> None:
    """Airflow carries the telling part of it; the record keeps all."""
    frame, y, p = worlds.draw(1_000, 100, concept=1.0)
    worlds.serve(found, frame, p, labels=y)
    compared = checking.compare(found, now=worlds.START + 60, baseline=worlds.baseline())
    carried = msgspec.structs.replace(compared, findings=compared.findings[:1])
    assert retraining_decision.decide(found, carried, now=worlds.START + 60).findings == compared.findings


def test_what_was_left_undecided_of_a_former_champion_is_let_be(found: Settings) -> None:
    frame, y, p = worlds.draw(1_000, 100, concept=1.0)
    worlds.serve(found, frame, p, labels=y)
    checking.compare(found, now=worlds.START + 60, baseline=worlds.baseline())
    verdict = window(found, 1, baseline=worlds.baseline("2"))
    assert (verdict.model_version, verdict.verdict, verdict.decided) == ("2", "stable", True)


# Windows, labels, versions


def test_windows_do_not_overlap(found: Settings) -> None:
    """Each prediction is looked at once: m of n counts independent windows."""
    assert window(found, 0).window.rows == 1_000
    assert window(found, 1, n=600).window.rows == 600
    assert check(found, now=worlds.START + 5 * HOUR, baseline=worlds.baseline()).verdict == "insufficient data"


def test_a_new_champion_starts_anew(found: Settings) -> None:
    """Its own reference, its own predictions, its own history."""
    window(found, 0, concept=0.6)
    verdict = window(found, 1, baseline=worlds.baseline("2"))
    assert verdict.verdict == "stable"
    assert verdict.window.rows == 1_000
    assert verdict.performance.labels == 1_000


@pytest.mark.parametrize(("recent", "chosen"), [(199, "test"), (200, "recent")])
def test_a_retrained_champion_is_compared_with_the_new_world(found: Settings, recent: int, chosen: str) -> None:
    """Its reference is the newest held-out rows, where they are enough."""
    from types import SimpleNamespace
    from typing import cast

    from ml.data.snapshot import Snapshot
    from ml.gate import evidence

    parts = {"recent": SimpleNamespace(y=np.zeros(recent)), "test": SimpleNamespace(y=np.zeros(900))}
    snapshot = cast(Snapshot, SimpleNamespace(part=parts.__getitem__))
    assert evidence.reference_part(found, snapshot) is parts[chosen]


def test_late_labels_count_when_they_come(found: Settings) -> None:
    """Labels of an earlier window are judged by the check after their arrival."""
    frame, y, p = worlds.draw(1_000, 5, concept=1.0)
    ids = worlds.serve(found, frame, p)
    kept = worlds.baseline()
    assert not check(found, now=worlds.START + 60, baseline=kept).performance.judged
    worlds.answer(found, ids, y, worlds.START + HOUR)
    verdict = window(found, 2, labelled=False)
    assert verdict.verdict == "degraded"
    assert verdict.performance.delay_s is None or verdict.performance.delay_s > 0


def test_labels_that_are_no_classes_are_left_out_and_told(found: Settings) -> None:
    """A wrong label is not a wrong prediction."""
    frame, y, p = worlds.draw(1_000, 5)
    y[:300] = "maybe"
    worlds.serve(found, frame, p, labels=y)
    verdict = check(found, now=worlds.START + 60, baseline=worlds.baseline())
    assert verdict.verdict == "stable"
    assert (verdict.performance.labels, verdict.performance.unknown_labels) == (700, 300)


def test_labels_that_come_twice_count_once(found: Settings) -> None:
    """The later one."""
    frame, y, p = worlds.draw(1_000, 5)
    ids = worlds.serve(found, frame, p, labels=np.where(y == "1", "0", "1"))
    worlds.answer(found, ids, y, worlds.START + 20)
    verdict = check(found, now=worlds.START + 60, baseline=worlds.baseline())
    assert (verdict.verdict, verdict.performance.labels) == ("stable", 1_000)


def test_verdict_is_kept_and_read_back(found: Settings) -> None:
    """Pages, Airflow and the next check read what was decided."""
    verdict = window(found, 0, concept=1.0)
    assert drift.latest(found) == verdict
    assert verdict_history.last_retrain(found) == verdict
    assert json.loads(msgspec.json.encode(verdict.to_dict()))["verdict"] == "degraded"


def test_many_columns_keep_the_event_small() -> None:
    """What goes through Airflow is bounded; the report has everything."""
    findings = [drift.verdict.Finding(column=f"x{i}", kind="number", method="", effect=i / 900) for i in range(900)]
    verdict = DriftVerdict(
        id="a", time=0.0, verdict="drift", retrain=False, decision="", reasons=["r"] * 900, model_version="1",
        findings=findings,
    )  # fmt: skip
    assert len(msgspec.json.encode(verdict.to_dict())) < 20_000
    assert verdict.to_dict()["findings"][0]["column"] == "x899"


# Strange columns, reports


STRANGE = {
    "empty": lambda n, _: np.full(n, np.nan),
    "constant": lambda n, _: np.full(n, 3.0),
    "huge": lambda n, rng: rng.normal(size=n) * 1e300,
    "infinite": lambda n, rng: np.where(rng.random(n) < 0.5, np.inf, 1.0),
    "one value": lambda n, rng: np.where(np.arange(n) == 0, 1.0, np.nan),
    "boolean": lambda n, rng: rng.random(n) < 0.5,
}


def strange_baseline(names: list[str], seed: int = 0) -> tuple[Baseline, pd.DataFrame]:
    from ml.schema.schema import Column, Schema

    schema = Schema(
        target="y",
        classes=("0", "1"),
        positive_label="1",
        columns=(
            *(Column(name=name, kind="number") for name in names),
            Column(name="many", kind="category"),
            Column(name="<img src=x onerror=alert(1)>", kind="category"),
            Column(name="usual", kind="number"),
        ),
    )

    def draw(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({name: STRANGE[name](n, rng) for name in names})
        frame["many"] = rng.integers(0, 500, n).astype(str).astype(object)
        frame["<img src=x onerror=alert(1)>"] = rng.choice(["</script><script>alert(2)</script>", "b & c", ""], n)
        frame["usual"] = rng.normal(size=n)
        return frame

    p = np.random.default_rng(seed).random(500)
    y = np.where(p > 0.5, "1", "0").astype(object)
    held, _ = canonical(draw(500, 1), schema)
    return Baseline("1", schema, held, y, y, np.column_stack([1 - p, p])), draw(400, 2)


def test_strange_columns_never_stop_a_check(found: Settings) -> None:
    """Empty, constant, huge, infinite, nearly empty, 500 levels: each is judged or left, and nothing has drifted."""
    kept, frame = strange_baseline(list(STRANGE))
    worlds.serve(found, frame, np.linspace(0, 1, len(frame)))
    verdict = check(found, now=worlds.START + 60, baseline=kept)
    assert verdict.verdict == "stable"
    assert len(verdict.findings) == len(STRANGE) + 4


def test_report_is_drawn_whatever_the_columns(found: Settings) -> None:
    """With the rule's own findings as Evidently's tests, and no markup from the data in the page."""
    found = msgspec.structs.replace(found, drift=msgspec.structs.replace(found.drift, report_rows=20_000))
    kept, frame = strange_baseline(list(STRANGE))
    frame["usual"] += 2
    worlds.serve(found, frame, np.linspace(0, 1, len(frame)), labels=np.array(["0", "1"] * 200, dtype=object))
    verdict = check(found, now=worlds.START + 60, baseline=kept)
    page = Path(verdict.report["html"]).read_text(encoding="utf-8")
    assert len(page) > 1_000_000, page[:2_000]
    assert "alert(2)</script>" not in page
    assert "onerror=alert(1)>" not in page
    numbers = json.loads(Path(verdict.report["json"]).read_text(encoding="utf-8"))
    failed = {test["name"] for test in numbers["tests"] if test["status"] == "FAIL"}
    assert any("usual" in name for name in failed)
    assert "empty" in numbers["left_out"]
    _opens_in_evidentlys_workspace(verdict.report["json"], found.home / "workspace")


def test_a_column_may_have_any_name_that_the_report_uses(found: Settings) -> None:
    """A feature called `prediction` is judged and drawn beside the model's own scores."""
    found = msgspec.structs.replace(found, drift=msgspec.structs.replace(found.drift, report_rows=20_000))
    names = {"usual": "prediction", "constant": "actual label", "boolean": "predicted label", "huge": "confidence"}
    kept, frame = strange_baseline(list(STRANGE))
    columns = tuple(msgspec.structs.replace(c, name=names.get(c.name, c.name)) for c in kept.schema.columns)
    schema = msgspec.structs.replace(kept.schema, columns=columns)
    kept = msgspec.structs.replace(kept, schema=schema, frame=kept.frame.rename(columns=names))
    frame["usual"] += 2
    labels = np.array(["0", "1"] * 200, dtype=object)
    worlds.serve(found, frame.rename(columns=names), np.linspace(0, 1, len(frame)), labels=labels)
    verdict = check(found, now=worlds.START + 60, baseline=kept)
    told = [reason for reason in verdict.reasons if code_of(reason) == "drift.column"]
    assert [reason.values["column"] for reason in told] == ["prediction"]  # type: ignore[union-attr]
    assert "drift.predictions" not in map(code_of, verdict.reasons)
    assert {f.of_predictions: f.drifted for f in verdict.findings if f.column == "prediction"} == {
        False: True, True: False,
    }  # fmt: skip
    numbers = json.loads(Path(verdict.report["json"]).read_text(encoding="utf-8"))
    status = {test["name"].split("column ")[-1]: test["status"] for test in numbers["tests"]}
    assert numbers["left_out"] == ["empty"], status
    assert [s for name, s in sorted(status.items()) if "prediction" in name] == ["FAIL", "SUCCESS"], status
    assert (verdict.effects["prediction"] < 0.1, verdict.effects["prediction_"] > 0.5) == (True, True)


def _opens_in_evidentlys_workspace(file: str, folder: Path) -> None:
    """By Evidently's own API: the run is there, with its metrics and a page."""
    from evidently.core.report import Snapshot
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(folder))
    project = workspace.create_project("refit")
    snapshot = Snapshot.load(file)
    workspace.add_run(project.id, snapshot)
    assert len(workspace.list_runs(project.id)) == 1
    assert snapshot.dict()["metrics"]
    assert "<html" in snapshot.get_html_str(as_iframe=False)


def test_a_report_that_fails_costs_nothing_but_itself(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict stands, and the page says what it could not draw."""
    found = msgspec.structs.replace(found, drift=msgspec.structs.replace(found.drift, report_rows=100))

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("<script>")

    monkeypatch.setattr(evidently_report, "_draw", broken)
    verdict = window(found, 0)
    page = Path(verdict.report["html"]).read_text(encoding="utf-8")
    assert verdict.verdict == "stable"
    assert "could not be drawn" in page
    assert "<script>" not in page


def test_old_reports_are_deleted(tmp_path: Path) -> None:
    """All but the newest ones; other files are left alone."""
    import os

    for i in range(5):
        for kind in ("html", "json"):
            file = tmp_path / f"{i}.{kind}"
            file.write_text("x")
            os.utime(file, (i, i))
    (tmp_path / "notes.html").write_text("mine")
    assert evidently_report.prune(tmp_path, keep=2) == 3
    assert sorted(f.name for f in tmp_path.iterdir()) == ["3.html", "3.json", "4.html", "4.json", "notes.html"]


def test_check_without_mlflow_still_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tracking is best effort."""
    found = worlds.settings(tmp_path, track=True)
    found = msgspec.structs.replace(
        found, registry=msgspec.structs.replace(found.registry, tracking_uri="http://127.0.0.1:9")
    )
    verdict = window(found, 0)
    assert drift.latest(found) == verdict
    assert "MLflow did not take its figures" in caplog.text


def test_check_reads_nothing_of_another_version(found: Settings) -> None:
    """Predictions of a version that was rolled away from do not count for the one that serves."""
    frame, y, p = worlds.draw(1_000, 5, shift=3.0)
    worlds.serve(found, frame, p, version="9", labels=y)
    assert window(found, 1).verdict == "stable"
    assert len(predictions.window(database.engine(found))) == 2_000


# Labels that are no sample


def lent(found: Settings, *, share: float, logged: bool, worse: float = 0.0) -> DriftVerdict:
    """A window of which only the rows that were answered "0" have a label, and a share of the others.

    Of the others' labels `worse` are turned around.
    """
    frame, y, p = worlds.draw(4_000, 7)
    rng = np.random.default_rng(0)
    answered = worlds.decide(p)
    y = np.where((answered == "1") & (rng.random(4_000) < worse), "0", y).astype(object)
    chance = np.where(answered == "0", 1.0, share)
    seen = rng.random(4_000) < chance
    ids = worlds.serve(found, frame, p)
    engine = database.engine(found)
    predictions.insert_feedback(
        engine,
        [{"prediction_id": ids[i], "label": y[i], "received_at": worlds.START + 30} for i in np.flatnonzero(seen)],
    )
    if logged:
        told = [("lend" if seen[i] else "decline", chance[i], chance[i] if seen[i] else 0.0) for i in range(4_000)]
        predictions.insert_actions(
            engine,
            [
                {"prediction_id": k, "action": a, "propensity": e, "label_propensity": c, "told_at": worlds.START + 1}
                for k, (a, e, c) in zip(ids, told, strict=True)
            ],
        )
    return check(found, now=worlds.START + 60, baseline=worlds.baseline())


def test_labels_that_an_answer_decides_on_are_told_in_every_verdict(found: Settings) -> None:
    verdict = lent(found, share=0.0, logged=False)
    assert [code_of(note) for note in verdict.notes] == ["exploration.no_sample"]
    assert "not a sample of the answered ones" in verdict.sentence
    assert verdict.coverage.bins[0].labelled == verdict.coverage.bins[0].rows
    assert verdict.coverage.bins[-1].labelled == 0
    assert verdict_history.latest(found) == verdict, "it is kept"


def test_an_even_share_of_labels_is_not_told(found: Settings) -> None:
    frame, y, p = worlds.draw(2_000, 7)
    ids = worlds.serve(found, frame, p)
    worlds.answer(found, ids[::3], y[::3], worlds.START + 30)
    verdict = check(found, now=worlds.START + 60, baseline=worlds.baseline())
    assert verdict.notes == []
    assert sum(b.labelled for b in verdict.coverage.bins) == 667


def test_what_only_explored_rows_show_is_seen_by_weight(found: Settings) -> None:
    """Half of the "1" answers are wrong by now. The accuracy on the labels hardly moves; the weighed one falls."""
    verdict = lent(found, share=0.03, logged=True, worse=0.5)
    assert verdict.performance.degraded
    assert verdict.performance.effective_labels is not None
    assert verdict.performance.effective_labels < verdict.performance.labels
    assert [code_of(note) for note in verdict.notes] == ["exploration.weighed"]


def test_without_propensities_the_same_labels_hide_it(found: Settings) -> None:
    verdict = lent(found, share=0.03, logged=False, worse=0.5)
    assert not verdict.performance.degraded
    assert [code_of(note) for note in verdict.notes] == ["exploration.no_sample"]


def test_labels_without_a_chance_are_left_out_and_told(found: Settings) -> None:
    frame, y, p = worlds.draw(1_000, 7)
    ids = worlds.serve(found, frame, p, labels=y)
    told = [
        {"prediction_id": key, "action": "decline", "propensity": 1.0, "label_propensity": 0.0, "told_at": 1.0}
        for key in ids[:300]
    ]
    predictions.insert_actions(database.engine(found), told)
    verdict = check(found, now=worlds.START + 60, baseline=worlds.baseline())
    assert verdict.performance.labels == 700
    [note] = [note for note in verdict.notes if code_of(note) == "exploration.without_chance"]
    assert isinstance(note, Message)
    assert note.values["n"] == 300


# Estimates without labels


def test_every_headline_metric_and_money_is_estimated(tmp_path: Path) -> None:
    """Of true probabilities each is what the labels then show; before any came nothing is said of its error."""
    base = worlds.settings(tmp_path)
    found = msgspec.structs.replace(base, tune=msgspec.structs.replace(base.tune, costs=((0.0, 1.0), (5.0, 0.0))))
    frame, y, p = worlds.draw(4_000, 7)
    ids = worlds.serve(found, frame, p)
    before = check(found, now=worlds.START + 60, baseline=worlds.baseline(n=4_000)).estimate
    assert set(before.metrics) == {*report.HEADLINE, "cost"}
    assert before.labels == 0
    assert all(one.guessed is None and one.measured is None for one in before.metrics.values())
    worlds.answer(found, ids[:2_000], y[:2_000], worlds.START + 90)
    worlds.serve(found, frame, p, at=worlds.START + 100)
    after = check(found, now=worlds.START + 160, baseline=worlds.baseline(n=4_000)).estimate
    assert after.labels == 2_000
    for name, one in after.metrics.items():
        assert one.guessed is not None
        assert one.measured is not None
        assert one.guessed == pytest.approx(one.measured, abs=0.05), name
        assert one.value == pytest.approx(one.reference, abs=0.05), name


def test_an_estimate_is_corrected_by_what_it_was_off_by_on_the_reference(found: Settings) -> None:
    """Twice too sure of itself: the reference shows it, and the guess is not fooled."""
    frame, y, p = worlds.draw(4_000, 7)
    sure = p**3 / (p**3 + (1 - p) ** 3)
    kept = msgspec.structs.replace(
        worlds.baseline(n=4_000), probabilities=_sure(worlds.baseline(n=4_000).probabilities)
    )
    worlds.serve(found, frame, sure, labels=y)
    found_estimate = check(found, now=worlds.START + 60, baseline=kept).estimate
    for name in ("accuracy", "precision", "recall", "f1"):
        one = found_estimate.metrics[name]
        assert one.value == pytest.approx(one.measured, abs=0.04), name


def _sure(p: np.ndarray) -> np.ndarray:
    powers = np.asarray(p) ** 3
    return powers / powers.sum(axis=1, keepdims=True)


def test_costs_of_another_task_are_passed_over(found: Settings) -> None:
    costs = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
    other = msgspec.structs.replace(found, tune=msgspec.structs.replace(found.tune, costs=costs))
    assert "cost" not in window(other, 0).estimate.metrics
