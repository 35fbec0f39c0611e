"""What forbids a retraining now, each alone and at its very edge; and how often retrainings may start at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ml.drift import verdict_history
from ml.drift.rule import Blocker
from ml.drift.verdict import DriftVerdict, Verdict
from ml.messages import message
from ml.messages.templates.gate import TEMPLATES
from ml.registry import ledger
from ml.release import shadow_slot
from ml.retraining import blockers
from ml.settings import Settings
from tests.ml import worlds

START = worlds.START
COOLDOWN, LONGEST, TIMEOUT, RESET = 100.0, 400.0, 1_000.0, 5_000.0


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return worlds.settings(
        tmp_path, cooldown_s=COOLDOWN, cooldown_max_s=LONGEST, retrain_timeout_s=TIMEOUT, breaker_reset_s=RESET,
        breaker_refusals=3, budget_windows=4, budget_saved=2,
    )  # fmt: skip


@pytest.fixture
def happened(own: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds a row to the ledger, so many seconds after the start."""

    def add(what: str, at: float = 0.0, **more: Any) -> None:
        monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: START + at))
        ledger.append(own, what, **{"who": "ann", "from_version": "1", "to_version": "2", **more})

    return add


def checked(own: Settings, *retrain: bool, at: float = 0.0, verdict: Verdict = "drift", key: str = "c") -> None:
    """Checks a second apart, which asked for a retraining or not."""
    for i, asked in enumerate(retrain):
        made = DriftVerdict(
            id=f"{key}{at + i}", time=START + at + i, verdict=verdict, retrain=asked, reasons=[], model_version="1"
        )
        verdict_history.save(own, made)


def held(own: Settings, at: float, delay: float | None = None, **more: Any) -> list[Blocker]:
    return blockers.blockers(own, START + at, delay, **more)


def codes(found: list[Blocker]) -> list[str]:
    return [blocker.reason.code.removeprefix("retraining.") for blocker in found]


def test_nothing_forbids_the_first(own: Settings) -> None:
    assert held(own, 0.0) == []
    assert held(own, 0.0, 1e9, degraded=True) == []


ENDS = [ledger.SHADOW, ledger.REFUSED, ledger.PROMOTED, ledger.PROMOTION_FAILED, ledger.ROLLED_BACK]


@pytest.mark.parametrize("what", ENDS)
@pytest.mark.parametrize(
    ("delay", "cooldown"), [(None, COOLDOWN), (COOLDOWN - 1, COOLDOWN), (250.0, 250.0), (1_000.0, LONGEST)]
)
def test_the_cool_down_begins_where_a_retraining_ends(
    own: Settings, happened: Any, what: str, delay: float | None, cooldown: float
) -> None:
    """However it ends; it lasts a label's delay, between the least and the most that are set."""
    happened(what)
    if what == ledger.SHADOW:
        happened(ledger.REFUSED)
    (found,) = held(own, cooldown - 0.5, delay)
    assert found.reason == message("retraining.cooldown", ago=cooldown - 0.5, seconds=cooldown)
    assert held(own, cooldown, delay) == []


def test_without_a_cool_down_and_a_label_there_is_none(tmp_path: Path) -> None:
    own = worlds.settings(tmp_path, cooldown_s=0.0)
    ledger.append(own, ledger.PROMOTED, who="ann")
    assert blockers.blockers(own, ledger.events(own)[0].time + 0.5, None) == []


def test_the_cool_down_begins_anew_with_the_newest_end(own: Settings, happened: Any) -> None:
    happened(ledger.PROMOTED)
    happened(ledger.PROMOTED, 50.0)
    assert held(own, 149.0)[0].reason.values["ago"] == 99.0
    assert held(own, 150.0) == []


@pytest.mark.parametrize("what", [ledger.REGISTERED, ledger.QUARANTINED, ledger.RELEASED, ledger.ROLLBACK_FAILED])
def test_what_ends_no_retraining_forbids_none(own: Settings, happened: Any, what: str) -> None:
    happened(what)
    assert held(own, 1.0) == []


@pytest.mark.parametrize(
    ("known", "degraded", "waits"),
    [(False, False, True), (True, False, True), (False, True, False), (True, True, True)],
)
def test_one_that_waits_is_judged_first(own: Settings, happened: Any, known: bool, degraded: bool, waits: bool) -> None:
    """But for a champion that has dropped since it was made."""
    happened(ledger.SHADOW, numbers={"degraded": known})
    expected = [Blocker(message("retraining.shadow_first", version="2"))]
    assert held(own, COOLDOWN, degraded=degraded) == (expected if waits else [])
    if not degraded:
        assert held(own, COOLDOWN) == expected


@pytest.mark.parametrize("what", [*ENDS, None])
def test_one_under_way_is_waited_for(own: Settings, happened: Any, what: str | None) -> None:
    """Until it is answered, or its time is up; a rollback is no answer."""
    checked(own, True)
    if what is not None:
        happened(what)
    answered = what is not None and what != ledger.ROLLED_BACK
    assert ("under_way" in codes(held(own, TIMEOUT - 0.5))) == (not answered)
    assert "under_way" not in codes(held(own, TIMEOUT))


def test_what_happened_while_the_clock_was_a_year_ahead_holds_nothing_up(own: Settings, happened: Any) -> None:
    """Else no retraining would start until then."""
    checked(own, True, at=365 * 86_400.0)
    for _ in range(own.drift.breaker_refusals):
        happened(ledger.REFUSED, 365 * 86_400.0)
    assert not {"breaker", "under_way", "cooldown"} & set(codes(held(own, 0.0)))


def test_an_answer_of_before_it_was_asked_for_is_none(own: Settings, happened: Any) -> None:
    """And of the checks that asked, the newest counts."""
    checked(own, True, False, True)
    happened(ledger.PROMOTED, 1.5)
    assert "under_way" in codes(held(own, TIMEOUT + 1.5))
    assert "under_way" not in codes(held(own, TIMEOUT + 2.0))
    happened(ledger.PROMOTED, 2.0)
    assert "under_way" not in codes(held(own, TIMEOUT + 1.5))


@pytest.mark.parametrize("what", [ledger.REFUSED, ledger.PROMOTION_FAILED])
@pytest.mark.parametrize(("times", "opened"), [(2, False), (3, True), (4, True)])
def test_refusals_in_a_row_open_the_breaker(own: Settings, happened: Any, what: str, times: int, opened: bool) -> None:
    """It closes by itself some time after the newest of them."""
    for i in range(times):
        happened(what, i)
    last = times - 1
    expected = [Blocker(message("retraining.breaker", n=times, hours=RESET / 3_600))]
    assert held(own, last + COOLDOWN) == held(own, last + RESET - 0.5) == (expected if opened else [])
    assert held(own, last + RESET) == []


def test_the_breaker_looks_at_fifty_answers(own: Settings, happened: Any) -> None:
    """And at nothing else that is written in between."""
    for i in range(52):
        happened(ledger.REFUSED, i / 100)
    for i in range(60):
        happened(ledger.REGISTERED, 1 + i / 100)
    expected = [Blocker(message("retraining.breaker", n=50, hours=RESET / 3_600))]
    assert held(own, 2.0 + COOLDOWN) == expected
    assert held(own, 0.51 + RESET) == []


@pytest.mark.parametrize("what", [ledger.PROMOTED, ledger.ROLLED_BACK])
def test_a_promotion_or_a_rollback_closes_the_breaker(own: Settings, happened: Any, what: str) -> None:
    """Refusals of before do not count."""
    for i in range(3):
        happened(ledger.REFUSED, i)
    happened(what, 3.0)
    assert held(own, 3.0 + COOLDOWN) == []
    for i in range(2):
        happened(ledger.REFUSED, 4.0 + i)
    assert held(own, 5.0 + COOLDOWN) == []
    happened(ledger.REFUSED, 6.0)
    assert codes(held(own, 6.0 + COOLDOWN)) == ["breaker"]


def test_a_refusal_that_says_nothing_of_quality_does_not_count(own: Settings, happened: Any) -> None:
    """Nor does it break the row; one in shadow that ended is passed over too."""
    happened(ledger.REFUSED)
    happened(ledger.REFUSED, 1.0, numbers={shadow_slot.UNJUDGED: True})
    happened(ledger.REFUSED, 2.0, numbers={shadow_slot.UNJUDGED: False})
    assert held(own, 2.0 + COOLDOWN) == []
    happened(ledger.SHADOW, 3.0)
    happened(ledger.REFUSED, 4.0)
    assert codes(held(own, 4.0 + COOLDOWN)) == ["breaker"]


@pytest.mark.parametrize(
    ("codes_", "counts"),
    [
        (["gate.below_floor"], False), (["gate.below_floor_few", "gate.too_few_rows"], False),
        (sorted(blockers.WANT_OF_EVIDENCE), False),
        (["gate.worse"], True), (["gate.below_floor", "gate.worse"], True), (["gate.worse_than_degraded"], True),
        ([], True), (["gate.no_rows"], False),
    ],
)  # fmt: skip
def test_a_refusal_for_want_of_evidence_alone_does_not_count(
    own: Settings, happened: Any, codes_: list[str], counts: bool
) -> None:
    """With rare positives the floor is not reached for many windows, and says nothing against the next challenger."""
    for i in range(3):
        happened(ledger.REFUSED, i, numbers={"codes": codes_})
    assert codes(held(own, 2.0 + COOLDOWN)) == (["breaker"] if counts else [])


def test_want_of_evidence_is_named_by_codes_that_there_are() -> None:
    assert set(TEMPLATES) >= blockers.WANT_OF_EVIDENCE


def test_the_most_telling_comes_first(own: Settings, happened: Any) -> None:
    """Breaker, the one that waits, the one under way, the budget, the cool-down."""
    for i in range(3):
        happened(ledger.REFUSED, i)
    happened(ledger.SHADOW, 3.0, to_version="7")
    checked(own, True, True, True, True, at=5.0)
    assert codes(held(own, 50.0)) == ["breaker", "shadow_first", "under_way", "budget_spent", "cooldown"]


@pytest.mark.parametrize(
    ("windows", "left", "more"),
    [
        ("", 2.0, 0), ("-", 2.0, 0), ("r", 1.25, 0), ("rr", 0.5, 2), ("r-", 1.5, 0), ("r----", 2.0, 0),
        ("r-----", 2.0, 0), ("rr-", 0.75, 1), ("rr--", 1.0, 0), ("rrr", -0.25, 5), ("----r", 1.25, 0),
    ],
)  # fmt: skip
def test_windows_earn_retrainings(own: Settings, windows: str, left: float, more: int) -> None:
    """A quarter each, two saved at most, and with the window that is being decided."""
    checked(own, *(w == "r" for w in windows))
    assert blockers.budget(own) == pytest.approx(left)
    spent = Blocker(message("retraining.budget_spent", n=4, more=more))
    assert held(own, 1e6) == ([spent] if more else [])


def test_windows_that_say_nothing_earn_nothing(own: Settings) -> None:
    checked(own, True, True)
    before = blockers.budget(own)
    checked(own, False, False, at=10.0, verdict="insufficient data")
    assert blockers.budget(own) == before
    checked(own, False, at=20.0, verdict="stable")
    assert blockers.budget(own) == before + 0.25


def test_the_check_that_is_decided_counts_once(own: Settings) -> None:
    """Where it is recorded already; the others still count."""
    checked(own, True, True)
    before = blockers.budget(own)
    checked(own, False, at=10.0, key="now")
    assert blockers.budget(own, judged="now10.0") == before
    assert blockers.budget(own) == before + 0.25
    assert held(own, 1e6, judged="now10.0") == [Blocker(message("retraining.budget_spent", n=4, more=2))]
    checked(own, False, at=11.0)
    assert blockers.budget(own, judged="now10.0") == before + 0.25
    assert held(own, 1e6) == []


def test_as_many_checks_count_as_are_looked_at(own: Settings) -> None:
    few = msgspec.structs.replace(own, drift=msgspec.structs.replace(own.drift, history=2))
    checked(own, True, True, True, False, False)
    assert blockers.budget(few) == 2.0
    assert blockers.budget(own) == pytest.approx(0.25)


@pytest.mark.parametrize("windows", [3, 7, 10])
def test_thirds_add_up(tmp_path: Path, windows: int) -> None:
    """After so many windows one is earned, whatever floating point makes of the sum."""
    own = worlds.settings(tmp_path, budget_windows=windows, budget_saved=1, cooldown_s=0.0)
    checked(own, True, *[False] * (windows - 2))
    assert len(held(own, 1e6)) == 1
    checked(own, False, at=100.0)
    assert held(own, 1e6) == []


@pytest.mark.parametrize(
    ("verdict", "opened", "told"),
    [
        ("broken data", False, 1), ("degraded", False, 1), ("drift", False, 0), ("stable", False, 0),
        ("insufficient data", False, 0), ("stable", True, 1), ("degraded", True, 2),
    ],
)  # fmt: skip
def test_who_is_told(own: Settings, happened: Any, verdict: Verdict, opened: bool, told: int) -> None:
    """Of a broken feed, of a champion that fails (the first five reasons), of an open breaker; of no other blocker."""
    happened(ledger.SHADOW)
    for i in range(3):
        happened(ledger.REFUSED, i, to_version="9", **({} if opened else {"numbers": {shadow_slot.UNJUDGED: True}}))
    found = held(own, 2.0 + COOLDOWN)
    assert len(found) == 1 + opened
    reasons = [message("retraining.not_confirmed_yet", n=i, needed=9) for i in range(9)]
    expected = [message("drift.alert", verdict=verdict, reasons=reasons[:5])] if told > opened else []
    assert blockers.alerts(verdict, [*reasons], found) == expected + [found[0].reason] * opened
