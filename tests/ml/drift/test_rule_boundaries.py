"""The drift rule: the verdict of one window, and when verdicts make a retraining, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from ml.drift.rule import Blocker, retrain, verdict
from ml.drift.verdict import PREDICTION, Estimate, Finding, FreshModelProbe, Performance, Signals, Verdict
from ml.messages import Message, message
from ml.settings import Drift

DRIFT = Drift()
STEADY = Finding(column="a", kind="number", method="ks")
MOVED = Finding(column="b", kind="number", method="ks", drifted=True, reasons=["b moved"])
BROKEN = Finding(column="c", kind="number", method="ks", broken=True, reasons=["c is missing"])
SCORES = Finding(column=PREDICTION, kind=PREDICTION, method="ks", drifted=True, reasons=["scores moved"])
FELL = Performance(labels=500, judged=True, degraded=True, reasons=["accuracy fell"])
FINE = Performance(labels=500, judged=True)
GUESSED = Estimate(dropped=True, reasons=["estimate fell"])
OUTDONE = FreshModelProbe(challenger_beats_champion=True, reasons=["a newer model gains"])
NO = Estimate()


@pytest.mark.parametrize(
    ("findings", "performance", "estimate", "fresh_model_probe", "expected", "reasons"),
    [
        ([STEADY], FINE, NO, None, "stable", 1),
        ([], FINE, NO, None, "stable", 1),
        ([MOVED], FINE, NO, None, "drift", ["b moved"]),
        ([SCORES], FINE, NO, None, "drift", ["scores moved"]),
        ([STEADY], FINE, GUESSED, None, "drift", ["estimate fell"]),
        ([STEADY], FINE, NO, OUTDONE, "drift", ["a newer model gains"]),
        ([STEADY], FELL, NO, None, "degraded", ["accuracy fell"]),
        ([MOVED], FELL, GUESSED, OUTDONE, "degraded",
         ["accuracy fell", "a newer model gains", "b moved", "estimate fell"]),
        ([BROKEN, MOVED], FELL, GUESSED, OUTDONE, "broken data",
         ["c is missing", "accuracy fell", "a newer model gains"]),
    ],
    ids=["stable", "nothing", "input", "scores", "estimate", "outdone", "degraded", "all but broken", "broken"],
)  # fmt: skip
def test_the_worst_that_is_true_is_the_verdict(
    findings: list[Finding], performance: Performance, estimate: Estimate, fresh_model_probe: FreshModelProbe | None,
    expected: Verdict,
    reasons: Any,
) -> None:  # fmt: skip
    """With the reasons in order: labels, newer models, columns, the estimate."""
    found, told, _ = verdict(findings, performance, estimate, DRIFT, fresh_model_probe=fresh_model_probe)
    assert found == expected
    assert (len(told) if isinstance(reasons, int) else told) == reasons


@pytest.mark.parametrize("findings", [[STEADY], [BROKEN]], ids=["stable", "broken data"])
def test_a_probe_that_could_not_compare_is_told_last(findings: list[Finding]) -> None:
    """And changes no verdict."""
    problem = message("gate.columns_gone", names="score")
    probe = FreshModelProbe(problem=problem)
    plain, reasons, _ = verdict(findings, FINE, NO, DRIFT)
    assert verdict(findings, FINE, NO, DRIFT, fresh_model_probe=probe)[:2] == (plain, [*reasons, problem])


def test_a_reason_of_its_own_makes_stable_say_it() -> None:
    """Performance may have something to say without being degraded."""
    performance = Performance(labels=5, reasons=["few labels"])
    assert verdict([STEADY], performance, NO, DRIFT)[:2] == ("stable", ["few labels"])
    assert verdict([STEADY], FINE, NO, DRIFT)[1] == [message("drift.nothing_changed")]


@pytest.mark.parametrize(
    ("moved", "of", "many"), [(1, 5, True), (1, 6, False), (2, 10, True), (0, 5, False), (0, 0, False)]
)
def test_many_columns_are_a_fifth_of_them(moved: int, of: int, many: bool) -> None:
    """Exactly the share is enough; the finding about the scores is no column."""
    findings = [MOVED] * moved + [STEADY] * (of - moved)
    calm = Finding(column=PREDICTION, kind=PREDICTION, method="ks")
    assert verdict([*findings, calm], FINE, NO, DRIFT)[2] == Signals(drifted=many, judged=True)


def test_no_column_drifted_is_never_many() -> None:
    """Not even where the share that counts is zero."""
    assert not verdict([STEADY], FINE, NO, Drift(drifted_share=0.0))[2].drifted
    assert not verdict([], FINE, NO, Drift(drifted_share=0.0))[2].drifted


@pytest.mark.parametrize(
    ("findings", "performance", "estimate", "fresh_model_probe", "signals"),
    [
        ([SCORES, *[STEADY] * 9], FINE, NO, None, Signals(drifted=True, judged=True)),
        ([STEADY], FINE, GUESSED, None, Signals(drifted=True, judged=True)),
        ([STEADY], FELL, NO, None, Signals(degraded=True, judged=True)),
        ([STEADY], FINE, NO, OUTDONE, Signals(challenger_beats_champion=True, judged=True)),
        ([STEADY], Performance(labels=0), NO, None, Signals()),
        ([BROKEN, SCORES], FELL, GUESSED, OUTDONE, Signals(degraded=True, challenger_beats_champion=True, judged=True)),
        ([BROKEN], Performance(labels=0), NO, None, Signals()),
    ],
    ids=["scores", "estimate", "degraded", "outdone", "unjudged", "broken", "broken and unjudged"],
)
def test_signals_of_a_window(
    findings: list[Finding],
    performance: Performance,
    estimate: Estimate,
    fresh_model_probe: FreshModelProbe | None,
    signals: Signals,
) -> None:
    """What later windows count; of a broken feed, what the labels say alone."""
    assert verdict(findings, performance, estimate, DRIFT, fresh_model_probe=fresh_model_probe)[2] == signals


DEGRADED = Signals(degraded=True, judged=True)
OUTRUN = Signals(challenger_beats_champion=True, judged=True)
DRIFTED = Signals(drifted=True)
CALM = Signals(judged=True)


def ask(
    signals: Signals, *earlier: Signals, now: Verdict = "drift", performance: Performance = FINE, holds: Any = (),
    drift: Drift = DRIFT, **more: Any,
) -> tuple[bool, Message]:  # fmt: skip
    return retrain(now, signals, performance, earlier, holds, drift, **more)


@pytest.mark.parametrize("now", ["broken data", "insufficient data", "stable"])
def test_some_verdicts_never_retrain(now: Verdict) -> None:
    """Whatever the signals say; a broken feed says so."""
    assert ask(DEGRADED, DEGRADED, now=now)[0] is False
    code = "retraining.broken_data" if now == "broken data" else "retraining.no_reason"
    assert ask(DEGRADED, DEGRADED, now=now)[1].code == code


UNCONFIRMED = message("retraining.not_confirmed_yet", n=1, needed=2)
LABELS_COME = message("retraining.labels_show_no_loss")
CONFIRMED = message("retraining.drop_confirmed")
NEWER = message("retraining.gain_confirmed")
PERSISTS = message("retraining.drift_persists")
TOO_LITTLE = message("retraining.too_little_drift")


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([DEGRADED], UNCONFIRMED),
        ([DEGRADED, DEGRADED], CONFIRMED),
        ([DEGRADED, CALM, DEGRADED], CONFIRMED),
        ([DEGRADED, CALM, CALM, DEGRADED], UNCONFIRMED),
        ([DEGRADED, OUTRUN], CONFIRMED),
        ([DEGRADED, Signals(degraded=True)], UNCONFIRMED),
        ([DEGRADED, CALM], UNCONFIRMED),
        ([DEGRADED, CALM, OUTRUN], CONFIRMED),
        ([Signals(degraded=True, challenger_beats_champion=True, judged=True)], NEWER),
        ([OUTRUN], NEWER),
        ([Signals(challenger_beats_champion=True, drifted=True, judged=True), CALM], NEWER),
        ([DRIFTED], UNCONFIRMED),
        ([DRIFTED, DRIFTED], PERSISTS),
        ([DRIFTED, Signals(degraded=True)], PERSISTS),
        ([DRIFTED, Signals(), DRIFTED], PERSISTS),
        ([DRIFTED, Signals(), Signals(), DRIFTED], UNCONFIRMED),
        ([DRIFTED, DRIFTED, CALM], LABELS_COME),
        ([DRIFTED, DRIFTED, Signals(), CALM], PERSISTS),
        ([Signals(drifted=True, judged=True), DRIFTED], LABELS_COME),
        ([Signals(), DRIFTED], TOO_LITTLE),
        ([CALM, DRIFTED], TOO_LITTLE),
    ],
)
def test_m_of_n_windows(windows: list[Signals], expected: Message) -> None:
    """Two of the last three, newest first."""
    yes = expected in (CONFIRMED, NEWER, PERSISTS)
    assert ask(*windows) == (yes, expected)


@pytest.mark.parametrize(("hits", "windows", "yes"), [(1, 1, True), (2, 2, True), (3, 3, False), (2, 1, False)])
def test_m_and_n_are_settings(hits: int, windows: int, yes: bool) -> None:
    """Hits above the windows that are looked at are never reached."""
    assert ask(DEGRADED, DEGRADED, drift=Drift(confirm_hits=hits, confirm_windows=windows))[0] == yes


@pytest.mark.parametrize(
    ("fresh_model_probe", "yes"),
    [
        (None, True),
        (FreshModelProbe(), True),
        (FreshModelProbe(gain=0.1), True),
        (FreshModelProbe(gain=0.0), False),
        (FreshModelProbe(gain=-0.1), False),
        (FreshModelProbe(gain=-0.1, evidence=99.0), False),
    ],
    ids=["not asked", "no gain known", "gain", "no gain", "loss", "evidence that is no signal"],
)
def test_a_large_drop_does_not_wait(fresh_model_probe: FreshModelProbe | None, yes: bool) -> None:
    """Unless no newer model would do better: that is perhaps only a hard stretch."""
    large = Performance(labels=500, judged=True, degraded=True, large=True)
    expected = message("retraining.drop_large") if yes else UNCONFIRMED
    assert ask(DEGRADED, now="degraded", performance=large, fresh_model_probe=fresh_model_probe) == (yes, expected)


SPENT = Blocker(message("retraining.budget_spent", n=3, more=1))
COOLS = Blocker(message("retraining.cooldown", ago=60, seconds=900))


@pytest.mark.parametrize(
    ("evidence", "holds", "kept"),
    [
        (46.0, [SPENT], SPENT),
        (46.1, [SPENT], None),
        (46.1, [SPENT, COOLS], COOLS),
        (46.1, [COOLS, SPENT], COOLS),
        (46.0, [], None),
    ],
)
def test_large_evidence_waits_for_no_budget_and_for_all_else(
    evidence: float, holds: list[Blocker], kept: Blocker | None
) -> None:
    """One window suffices, as the evidence is of all; a drop beside it does not take that away."""
    probe = FreshModelProbe(challenger_beats_champion=True, evidence=evidence)
    why = message("retraining.gain_large" if evidence > 46 else "retraining.gain_confirmed")
    expected = message("retraining.blocked", why=why, reason=kept.reason) if kept else why
    for signals in (OUTRUN, Signals(degraded=True, challenger_beats_champion=True, judged=True)):
        assert ask(signals, holds=holds, fresh_model_probe=probe) == (kept is None, expected)


def test_large_evidence_that_a_retraining_has_not_mended_waits_for_the_budget() -> None:
    """Else each check would retrain, as long as the gate refuses what comes of it."""
    probe = FreshModelProbe(challenger_beats_champion=True, evidence=99.0)
    confirmed, large = message("retraining.gain_confirmed"), message("retraining.gain_large")
    blocked = message("retraining.blocked", why=confirmed, reason=SPENT.reason)
    assert ask(OUTRUN, holds=[SPENT], fresh_model_probe=probe, spent=49.5) == (False, blocked)
    assert ask(OUTRUN, holds=[SPENT], fresh_model_probe=probe, spent=49.4) == (True, large)
    assert ask(OUTRUN, fresh_model_probe=probe, spent=99.0) == (True, confirmed)
    little = FreshModelProbe(
        challenger_beats_champion=True, evidence=1.1
    )  # and nothing is spent, where nothing is said
    assert ask(OUTRUN, holds=[SPENT], fresh_model_probe=little, drift=Drift(evidence_large_nats=1.0)) == (True, large)


def test_how_much_evidence_is_large_is_a_setting() -> None:
    probe = FreshModelProbe(challenger_beats_champion=True, evidence=10.0)
    drift = Drift(evidence_large_nats=9.0)
    assert ask(OUTRUN, holds=[SPENT], fresh_model_probe=probe, drift=drift)[0]
    assert not ask(OUTRUN, holds=[SPENT], fresh_model_probe=probe)[0]
    assert ask(DEGRADED, DEGRADED, holds=[SPENT], fresh_model_probe=probe, drift=drift)[1].code == "retraining.blocked"


def test_a_hold_forbids_what_is_confirmed_and_is_named() -> None:
    """The first hold, after the reason; what is not confirmed says that instead."""
    first = message("retraining.cooldown", ago=60, seconds=900)
    holds = [Blocker(first), Blocker(message("retraining.under_way"))]
    assert ask(DEGRADED, DEGRADED, holds=holds) == (False, message("retraining.blocked", why=CONFIRMED, reason=first))
    assert ask(DEGRADED, holds=holds) == (False, UNCONFIRMED)
