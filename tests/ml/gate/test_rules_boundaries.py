"""The gate, rule by rule: each threshold exactly at its value, a hair to either side, and what is kept of it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from ml.evaluation.bounds import bound
from ml.evaluation.metrics import GATE_FLOOR
from ml.gate.rules import NAMED_SLICES, Servability, Verdict, judge
from ml.messages import Message, message
from ml.settings import Gate
from ml.storage.files import to_json

N = 200
Y = np.arange(N) % 2
HAIR = 1e-9


def sure(p: Any, y: Any = Y) -> Any:
    """Probabilities (n, 2) that give the true class of each row `p`: a number, or one a row."""
    p = np.broadcast_to(np.asarray(p, dtype=np.float64), len(y))
    return np.where(np.arange(2) == np.asarray(y)[:, None], p[:, None], 1 - p[:, None])


def ask(challenger: Any, champion: Any, *, y: Any = Y, gate: dict[str, Any] | None = None, **more: Any) -> Verdict:
    first = None if champion is None else sure(champion, y)
    return judge(sure(challenger, y), first, y, settings=Gate(**{"n_bootstrap": 500} | (gate or {})), **more)


def said(*messages: Message) -> list[tuple[str, dict[str, Any]]]:
    """Codes and values, to compare with `pytest.approx` in them."""
    return [(one.code, one.values) for one in messages]


def exact(mean: float, rows: int = N) -> dict[str, Any]:
    """The bounds of a value that is the same on every row: itself."""
    return {"mean": pytest.approx(mean), "lower": pytest.approx(mean), "upper": pytest.approx(mean), "rows": rows}


def other_rows(challenger: float, champion: float) -> tuple[Any, Any]:
    """Answers to twice the rows: on the first half a better challenger; on the second as given."""
    return np.repeat([0.8, challenger], N), np.repeat([0.6, champion], N)


TWICE = np.arange(2 * N) % 2
RECENT = np.arange(2 * N) < N
SECOND = {"recent": RECENT, "regression": ~RECENT}


def test_a_bound_that_is_not_known_is_null_in_gate_json() -> None:
    """One row bounds nothing, and JSON has no infinity."""
    verdict = ask(0.8, None, y=np.array([1]), prior=np.array([0.5, 0.5]))
    assert verdict.numbers.floor_gain.lower == -np.inf
    assert msgspec.json.decode(to_json(verdict.to_dict()))["numbers"]["floor_gain"]["lower"] is None


def test_all_numbers_of_a_promotion_are_kept() -> None:
    """The whole record, by name and value."""
    verdict = ask(0.8, 0.6, servability=Servability(latency_ms=3.0, bundle_mb=2.0))
    assert verdict.promote
    assert verdict.messages == [verdict.message]
    assert msgspec.to_builtins(verdict.numbers) == {
        "rows": N,
        "confidence": 0.95,
        "degraded": False,
        "policy": "gate",
        "servability": {"latency_ms": 3.0, "bundle_mb": 2.0, "problem": ""},
        "floor_gain": exact(np.log(0.8 / 0.5)),
        "gain": exact(np.log(0.8 / 0.6)),
        "accuracy_gain": exact(0.0),
        "log_loss": {"challenger": pytest.approx(-np.log(0.8)), "champion": pytest.approx(-np.log(0.6))},
        "slices_checked": 0,
        "slices_worse": {},
    }


def test_losses_of_both_models_are_said() -> None:
    """The champion's is its own, not the challenger's."""
    losses = {"loss": pytest.approx(-np.log(0.8)), "old": pytest.approx(-np.log(0.6))}
    gain = pytest.approx(np.log(0.8 / 0.6))
    assert said(ask(0.8, 0.6).message) == [
        ("gate.better", {"n": N, "gain": gain, "lower": gain, "sure": 0.95, **losses})
    ]


def test_the_record_has_the_english_beside_the_codes() -> None:
    """What gate.json holds."""
    verdict = ask(0.8, 0.8)
    kept = verdict.to_dict()
    assert set(kept) == {"promote", "message", "messages", "numbers", "sentence", "reasons"}
    assert (kept["sentence"], kept["reasons"]) == (str(verdict.message), [str(r) for r in verdict.messages])
    assert (kept["promote"], kept["numbers"]) == (False, msgspec.to_builtins(verdict.numbers))
    assert [reason["code"] for reason in kept["messages"]] == ["gate.indistinguishable"]


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (Servability(latency_ms=50.0, bundle_mb=200.0), 0),
        (Servability(latency_ms=50.0 + 1e-6), 1),
        (Servability(bundle_mb=200.0 + 1e-6), 1),
        (Servability(problem="does not load"), 1),
        (Servability(latency_ms=51.0, bundle_mb=201.0, problem="does not load"), 3),
    ],
    ids=["at both budgets", "slower", "larger", "does not load", "all three"],
)
def test_budgets_of_serving_hold_at_their_value(found: Servability, reasons: int) -> None:
    """What exceeds one is not compared with the champion at all."""
    verdict = ask(0.8, 0.6, servability=found)
    assert verdict.promote == (reasons == 0)
    assert (verdict.numbers.gain is not None) == (reasons == 0)
    assert len(verdict.messages) == max(reasons, 1)
    if reasons == 3:
        expected = [
            message("gate.not_servable", reason="does not load"),
            message("gate.too_slow", ms=51.0, allowed=50.0),
            message("gate.too_large", mb=201.0, allowed=200.0),
        ]
        assert verdict.messages == expected
        assert verdict.message == message("gate.refused", reasons=expected)


def test_a_champion_that_cannot_be_compared_is_kept() -> None:
    """Whatever the challenger is worth; the other reasons stand beside it, and a person's word above all of them."""
    why = [message("gate.columns_gone", names="age")]
    kept = message("gate.incomparable", why=why)
    verdict = ask(0.8, None, incomparable=why)
    assert (verdict.promote, verdict.messages) == (False, [kept])
    assert verdict.numbers.policy == "gate"
    slow = ask(0.4, 0.6, incomparable=why, servability=Servability(latency_ms=51.0))
    assert [reason.code for reason in slow.messages] == ["gate.too_slow", "gate.incomparable", "gate.below_floor"]
    assert slow.numbers.gain is None
    assert ask(0.8, None, incomparable=why, gate={"policy": "always"}).promote


def test_what_cannot_be_served_keeps_its_reason_beside_the_floors() -> None:
    """Neither reason hides the other."""
    assert len(ask(0.5, 0.6, servability=Servability(problem="does not load")).messages) == 2


def test_the_floor_must_be_passed_not_met() -> None:
    """By more than `floor_gain`."""
    gain = ask(0.6, None).numbers.floor_gain.lower
    assert not ask(0.6, None, gate={"floor_gain": gain}).promote
    assert ask(0.6, None, gate={"floor_gain": gain - HAIR}).promote


def test_the_floor_is_the_prior_where_one_is_given() -> None:
    """Else the shares of the classes in the rows."""
    prior = np.array([0.75, 0.25])
    gains = -np.log(prior[Y]) + np.log(0.6)
    assert ask(0.6, None, prior=prior).numbers.floor_gain.mean == pytest.approx(gains.mean())
    y = (np.arange(N) % 4 == 0).astype(np.int64)
    shares = np.array([0.75, 0.25])
    expected = (-np.log(shares[y]) + np.log(0.6)).mean()
    assert ask(0.6, None, y=y).numbers.floor_gain.mean == pytest.approx(expected)


def test_the_floor_also_holds_beside_a_champion() -> None:
    """Better than the champion, worse than the prior: refused for the floor, and for nothing else."""
    prior = np.array([0.5, 0.5])
    verdict = ask(0.45, 0.4, prior=prior)
    assert not verdict.promote
    assert len(verdict.messages) == 1
    assert ask(0.45, 0.4, prior=prior, degraded=True).promote
    # What the prior of rare classes is beaten by may still be worse than the shares of these rows.
    assert ask(0.45, 0.4, prior=np.array([0.9, 0.1])).promote


def test_below_the_floor_a_tie_is_not_better() -> None:
    """A degraded champion below the floor gives way to a better one only."""
    verdict = ask(0.45, 0.45, degraded=True)
    assert not verdict.promote
    assert len(verdict.messages) == 1
    worse = ask(0.4, 0.45, degraded=True)
    assert len(worse.messages) == 2


@pytest.mark.parametrize("seed", [0, 7])
def test_absurd_answers_count_the_cap_and_no_more(seed: int) -> None:
    """One row's loss is at most -log(GATE_FLOOR), of the model and of the floor."""
    assert ask(0.0, 0.6, seed=seed).numbers.log_loss.challenger == pytest.approx(-np.log(GATE_FLOOR))
    assert ask(0.6, 0.0, seed=seed).numbers.log_loss.champion == pytest.approx(-np.log(GATE_FLOOR))
    prior = np.array([1.0, 0.0])
    gains = -np.log(np.clip(prior[Y], GATE_FLOOR, 1)) + np.log(0.6)
    assert ask(0.6, None, prior=prior).numbers.floor_gain.mean == pytest.approx(gains.mean())


def test_float32_answers_are_judged_in_double() -> None:
    """Services answer float32."""
    single = sure(0.8).astype(np.float32)
    verdict = judge(single, sure(0.6), Y, settings=Gate())
    assert verdict.numbers.log_loss.challenger == pytest.approx(-np.log(np.float64(np.float32(0.8))), rel=1e-12)


def test_class_codes_may_come_as_a_list() -> None:
    """They are made integers."""
    found = judge(sure(0.8), sure(0.6), Y.astype(float), settings=Gate())  # type: ignore[arg-type]
    assert found == ask(0.8, 0.6)


@pytest.mark.parametrize(("rows", "promote"), [(N - 1, True), (N, True), (N + 1, False)])
def test_a_champion_is_replaced_on_min_rows_not_on_fewer(rows: int, promote: bool) -> None:
    """`min_rows` themselves are enough."""
    verdict = ask(0.8, 0.6, gate={"min_rows": rows})
    assert verdict.promote == promote
    if not promote:
        assert verdict.messages == [message("gate.too_few_rows", n=N, needed=rows)]


@pytest.mark.parametrize(("rows", "few"), [(N, False), (N + 1, True)])
def test_the_floor_says_that_rows_are_few_below_min_rows_only(rows: int, few: bool) -> None:
    """The words follow the setting."""
    reason = ask(0.4, None, gate={"min_rows": rows}).messages[0]
    gain = pytest.approx(np.log(0.4 / 0.5))
    values = {"gain": gain, "lower": gain, "asked": 0.0}
    assert said(reason) == [("gate.below_floor_few", {"n": N, **values}) if few else ("gate.below_floor", values)]


def test_a_tie_keeps_the_champion_and_a_hair_does_not() -> None:
    """Better means a bound above zero; the tie is not called worse."""
    nothing = pytest.approx(0.0)
    tie = {"n": N, "gain": nothing, "lower": nothing, "upper": nothing}
    assert said(*ask(0.8, 0.8).messages) == [("gate.indistinguishable", tie)]
    assert ask(0.8 + HAIR, 0.8).promote
    verdict = ask(0.6, 0.8)
    assert said(*verdict.messages) == [("gate.worse", {"loss": pytest.approx(np.log(0.8 / 0.6))})]


def test_a_degraded_champion_is_matched_within_the_margin_not_at_it() -> None:
    """And the sentence says by which rule it was replaced."""
    gain = ask(0.6, 0.61, degraded=True).numbers.gain.lower
    at = ask(0.6, 0.61, degraded=True, gate={"margin": -gain})
    assert not at.promote
    assert (at.messages[0].code, at.messages[0].values["asked"]) == ("gate.worse_than_degraded", gain)
    within = ask(0.6, 0.61, degraded=True, gate={"margin": -gain + HAIR})
    assert within.promote
    assert within.message.code == "gate.not_worse_than_degraded"
    assert ask(0.6, 0.6, degraded=True).message.code == "gate.not_worse_than_degraded"  # a tie is not better
    assert within.numbers.degraded is True
    assert ask(0.62, 0.61, degraded=True).message.code == "gate.better"


def accuracies(gate: dict[str, Any] | None = None, lost: int = 10, **more: Any) -> Verdict:
    """A challenger that is surer, and wrong by a hair on `lost` rows of which the champion is right by a hair."""
    miss = np.arange(N) < lost
    return ask(np.where(miss, 0.49, 0.9), np.where(miss, 0.51, 0.6), gate=gate, **more)


def test_accuracy_may_not_be_lost_by_more_than_its_margin() -> None:
    """A lower log-loss does not pay for it: the rule alone refuses."""
    verdict = accuracies(lost=30)
    assert not verdict.promote
    assert said(*verdict.messages) == [("gate.accuracy_lower", {"points": pytest.approx(15.0)})]
    assert verdict.numbers.accuracy_gain.mean == pytest.approx(-0.15)


def test_accuracy_margin_at_its_value() -> None:
    """Exactly the margin is allowed, a hair more is not; a loss below it is no reason."""
    upper = accuracies(lost=30).numbers.accuracy_gain.upper
    assert upper < -0.01
    assert accuracies(lost=30, gate={"accuracy_margin": -upper}).promote
    assert not accuracies(lost=30, gate={"accuracy_margin": -upper - HAIR}).promote
    assert accuracies(lost=1).promote


def test_accuracy_gained_is_a_gain() -> None:
    """Right where the champion is wrong counts for the challenger, the other way round against it."""
    wrong = np.arange(N) < N // 4
    found = ask(0.9, np.where(wrong, 0.4, 0.6))
    assert found.numbers.accuracy_gain.mean == pytest.approx(0.25)


@pytest.mark.parametrize("degraded", [False, True])
def test_the_golden_margin_at_its_value(degraded: bool) -> None:
    """Old rows may lose the margin itself; more is forgetting, unless the world has changed."""
    challenger, champion = other_rows(0.6, 0.7)
    found = ask(challenger, champion, y=TWICE, parts=SECOND)
    loss = found.numbers.regression_gain.upper
    assert msgspec.to_builtins(found.numbers.regression_gain) == exact(np.log(0.6 / 0.7))
    lost = pytest.approx(-loss)
    assert said(*found.messages) == [("gate.forgets", {"n": N, "loss": lost, "lower": lost, "allowed": 0.05})]
    margins = {-loss: True, -loss - HAIR: degraded}
    for margin, promote in margins.items():
        verdict = ask(challenger, champion, y=TWICE, parts=SECOND, degraded=degraded, gate={"golden_margin": margin})
        assert verdict.promote == promote


@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_golden_rows_that_gain_are_not_forgotten(margin: float) -> None:
    """Nor those that lose less than the margin."""
    challenger, champion = other_rows(0.61, 0.6)
    assert ask(challenger, champion, y=TWICE, parts=SECOND, gate={"golden_margin": margin}).promote
    challenger, champion = other_rows(0.6, 0.61)
    assert ask(challenger, champion, y=TWICE, parts=SECOND).promote


def test_without_golden_rows_nothing_is_remembered() -> None:
    """Neither a number nor a reason."""
    assert ask(0.8, 0.6, parts={"recent": np.ones(N, bool)}).numbers.regression_gain is None


@pytest.mark.parametrize(
    "known", [{"degraded": True}, {"challenger_beats_champion": True}], ids=["degraded", "challenger_beats_champion"]
)
def test_forgetting_is_excused_by_a_better_one_only(known: dict[str, bool]) -> None:
    """A tie on the recent rows excuses nothing."""
    champion = np.full(2 * N, 0.8)
    challenger = np.where(RECENT, 0.8, 0.6)
    reasons = ask(challenger, champion, y=TWICE, parts=SECOND, **known).messages  # type: ignore[arg-type]
    assert [reason.code for reason in reasons].count("gate.forgets") == 1


def test_parts_may_be_masks_or_row_numbers() -> None:
    """Both name the same rows."""
    challenger, champion = other_rows(0.6, 0.7)
    numbers = {name: np.flatnonzero(mask).astype(np.int32) for name, mask in SECOND.items()}
    asked = [ask(challenger, champion, y=TWICE, parts=parts) for parts in (SECOND, numbers)]
    assert asked[0] == asked[1]
    zeros = {"recent": np.arange(N), "regression": np.arange(N)}  # row 0 is a row
    assert ask(challenger, champion, y=TWICE, parts=zeros).numbers.regression_gain.rows == N
    listed = {"recent": [float(i) for i in range(N)]}
    assert ask(challenger, champion, y=TWICE, parts=listed).promote  # type: ignore[arg-type]


def sliced(rows: int, n: int = 2 * N, gate: dict[str, Any] | None = None, more: int = 0) -> Verdict:
    """Better everywhere but on the first `rows`, which are a slice; `more` slices of as many rows lie beside it."""
    y = np.arange(n) % 2
    bad = np.arange(n) < rows
    slices = {"bad": bad} | {f"good {i}": np.roll(bad, rows + i) for i in range(more)}
    return ask(np.where(bad, 0.6, 0.95), np.where(bad, 0.7, 0.6), y=y, slices=slices, gate=gate)


@pytest.mark.parametrize(("rows", "n", "guarded"), [(99, 400, 0), (100, 400, 1), (109, 2_200, 0), (110, 2_200, 1)])
def test_slices_are_guarded_from_100_rows_and_5_percent_on(rows: int, n: int, guarded: int) -> None:
    """The larger of both, and exactly that many are enough."""
    verdict = sliced(rows, n)
    assert verdict.numbers.slices_checked == guarded
    assert verdict.promote == (not guarded)


def test_slice_min_rows_is_a_setting() -> None:
    """Smaller slices are guarded where it is smaller."""
    assert sliced(40, gate={"slice_min_rows": 40}).numbers.slices_checked == 1
    assert sliced(40, gate={"slice_min_rows": 41}).numbers.slices_checked == 0


def test_slice_margin_at_its_value() -> None:
    """Exactly the margin is allowed."""
    found = sliced(100)
    loss = found.numbers.slices_worse["bad"].upper
    assert msgspec.to_builtins(found.numbers.slices_worse) == {"bad": exact(np.log(0.6 / 0.7), rows=100)}
    assert said(*found.messages) == [("gate.worse_slice", {"where": "bad", "n": 100, "loss": pytest.approx(-loss)})]
    assert sliced(100, gate={"slice_margin": -loss}).promote
    assert not sliced(100, gate={"slice_margin": -loss - HAIR}).promote


def test_a_slice_that_loses_less_than_the_margin_is_no_reason() -> None:
    """A small loss of a slice is not material."""
    bad = np.arange(N) < N // 2
    found = ask(np.where(bad, 0.6, 0.9), np.where(bad, 0.61, 0.6), slices={"bad": bad})
    assert found.promote
    assert found.numbers.slices_worse == {}


def test_slices_share_the_confidence() -> None:
    """Bonferroni: beside more slices the same slice is bounded more widely; row numbers and masks are the same."""
    rng = np.random.default_rng(0)
    half = np.arange(2 * N) < N
    challenger = np.where(half, rng.uniform(0.3, 0.7, 2 * N), 0.95)
    champion = np.where(half, 0.8, 0.6)

    def upper(more: int) -> float:
        slices: dict[str, Any] = {"bad": half} | {f"good {i}": np.flatnonzero(~half) for i in range(more)}
        found = ask(challenger, champion, y=TWICE, slices=slices).numbers
        assert found.slices_checked == 1 + more
        return float(found.slices_worse["bad"].upper)

    assert upper(0) < upper(3)
    alone = ask(challenger, champion, y=TWICE, parts={"recent": ~half, "regression": half}).numbers.regression_gain
    assert upper(0) == alone.upper  # one slice alone is one test


@pytest.mark.parametrize(("bad", "more"), [(NAMED_SLICES, 0), (NAMED_SLICES + 1, 1), (NAMED_SLICES + 3, 3)])
def test_the_worst_slices_are_named_and_the_rest_counted(bad: int, more: int) -> None:
    """Worst first, three by name; the numbers have all."""
    rows = 100
    n = rows * (bad + 4)
    part = np.arange(n) // rows  # the parts below `bad` get worse with their number
    challenger = np.where(part < bad, 0.6 - 0.02 * part, 0.99)
    champion = np.where(part < bad, 0.7, 0.6)
    slices = {f"part {i}": part == i for i in range(bad)}
    found = ask(challenger, champion, y=np.arange(n) % 2, slices=slices, gate={"accuracy_margin": 1.0})
    named = [reason.values["where"] for reason in found.messages if reason.code == "gate.worse_slice"]
    assert named == [f"part {bad - 1 - i}" for i in range(3)]
    assert found.messages[3:] == ([message("gate.more_worse_slices", n=more)] if more else [])
    assert len(found.numbers.slices_worse) == bad


def test_the_policy_never_refuses_and_keeps_reasons_and_numbers() -> None:
    """Whatever the challenger is worth."""
    better = ask(0.8, 0.6, gate={"policy": "never"})
    assert (better.promote, better.messages, better.message) == (False, [], message("gate.never"))
    assert better.numbers.policy == "never"
    assert better.numbers.gain is not None
    assert len(ask(0.6, 0.8, gate={"policy": "never"}).messages) == 1


def test_the_policy_always_promotes_and_keeps_reasons_and_numbers() -> None:
    """The sentence says what spoke against it, where something did."""
    better = ask(0.8, 0.6, gate={"policy": "always"})
    assert (better.promote, better.messages, better.message) == (True, [], message("gate.always"))
    worse = ask(0.4, 0.6, gate={"policy": "always"})
    assert worse.promote
    assert len(worse.messages) == 3
    assert worse.message == message("gate.always_although", reasons=worse.messages)
    assert worse.numbers.policy == "always"
    assert worse.numbers.gain is not None


def test_the_first_champion_has_no_comparison() -> None:
    """The floor's number, and nothing of a champion."""
    verdict = ask(0.8, None)
    assert verdict.promote
    assert set(msgspec.to_builtins(verdict.numbers)) == {"rows", "confidence", "degraded", "floor_gain", "policy"}
    gain = pytest.approx(np.log(1.6))
    assert said(verdict.message) == [("gate.first", {"gain": gain, "lower": gain, "n": N, "sure": 0.95})]


def test_without_recent_rows_there_is_one_reason() -> None:
    """And no number is made up."""
    verdict = ask(0.8, 0.6, parts={"recent": np.zeros(N, bool)})
    assert verdict.messages == [message("gate.no_rows")]
    assert verdict.numbers.floor_gain is None
    assert verdict.numbers.gain is None


def noisy(**more: Any) -> Verdict:
    """A few answers are very wrong: on skewed differences the resamples decide, so the seed shows."""
    rng = np.random.default_rng(1)
    few = rng.random((2, 2 * N)) < 0.03
    challenger = np.where(few[0], 0.001, np.where(RECENT, rng.uniform(0.7, 0.9, 2 * N), rng.uniform(0.2, 0.4, 2 * N)))
    champion = np.where(few[1], 0.001, np.where(RECENT, rng.uniform(0.5, 0.7, 2 * N), rng.uniform(0.5, 0.9, 2 * N)))
    slices = {"second": ~RECENT, "first": RECENT}
    return ask(challenger, champion, y=TWICE, parts=SECOND, slices=slices, **more)


def test_every_bound_repeats_with_its_seed_and_depends_on_it() -> None:
    """Floor, gain, regression rows and slices; without a word the seed is 0."""
    first, again, other = noisy(), noisy(seed=0), noisy(seed=1)
    assert msgspec.to_builtins(first) == msgspec.to_builtins(again)
    for name in ("floor_gain", "gain", "regression_gain"):
        assert getattr(first.numbers, name) != getattr(other.numbers, name)
    assert first.numbers.slices_worse["second"] != other.numbers.slices_worse["second"]


def test_a_proved_gain_asks_for_no_more_than_the_margin() -> None:
    """As for a degraded champion, in other words."""
    challenger, champion = 0.79, 0.8
    assert not ask(challenger, champion).promote
    verdict = ask(challenger, champion, challenger_beats_champion=True)
    assert (verdict.promote, verdict.message.code) == (True, "gate.not_worse_than_outdone")
    both = ask(challenger, champion, challenger_beats_champion=True, degraded=True)
    assert both.message.code == "gate.not_worse_than_degraded"
    loss = -float(np.log(challenger / champion))
    for margin, promote in {loss: False, loss + HAIR: True}.items():
        found = ask(challenger, champion, challenger_beats_champion=True, gate={"margin": margin})
        assert found.promote == promote


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"degraded": True}, "gate.worse_than_degraded"),
        ({"challenger_beats_champion": True}, "gate.worse_than_outdone"),
        ({"degraded": True, "challenger_beats_champion": True}, "gate.worse_than_degraded"),
    ],
)
def test_worse_is_not_the_same_as_not_shown_to_be_as_good(known: dict[str, bool], code: str) -> None:
    """The second says nothing against the next challenger: the breaker does not count it."""
    worse = ask(0.7, 0.8, **known)  # type: ignore[arg-type]
    assert [reason.code for reason in worse.messages] == [code]
    assert worse.messages[0].values["asked"] == -0.02
    noisy = np.where(np.arange(N) % 2, 0.95, 0.66)  # as good on average, and far from sure
    found = ask(noisy, 0.8, **known)  # type: ignore[arg-type]
    assert [reason.code for reason in found.messages] == ["gate.not_shown_as_good"]
    assert found.messages[0].values == {
        "gain": found.numbers.gain.mean,
        "lower": found.numbers.gain.lower,
        "asked": -0.02,
    }


def test_the_floor_may_be_asked_of_more_rows_than_decide() -> None:
    """The class shares are told apart on all of them."""
    challenger, champion = other_rows(0.9, 0.9)
    challenger = np.where(RECENT, 0.5, challenger)
    champion = np.where(RECENT, 0.4, champion)
    parts = {"recent": RECENT, "floor": np.ones(2 * N, bool)}
    assert not ask(challenger, champion, y=TWICE, parts={"recent": RECENT}).promote
    verdict = ask(challenger, champion, y=TWICE, parts=parts)
    assert verdict.promote
    assert (verdict.numbers.floor_gain.rows, verdict.numbers.gain.rows) == (2 * N, N)
    nothing = ask(challenger, champion, y=TWICE, parts={"recent": ~np.ones(2 * N, bool), "floor": RECENT})
    assert [reason.code for reason in nothing.messages] == ["gate.no_rows"]


def test_few_rows_of_a_changed_world_may_show_the_floor_by_themselves() -> None:
    """What was learned of it is wrong on the rows of before, which are held out too."""
    challenger, champion = other_rows(0.1, 0.9)
    challenger = np.where(RECENT, 0.85, challenger)
    champion = np.where(RECENT, 0.15, champion)
    parts = {"recent": RECENT, "floor": np.ones(2 * N, bool)}
    verdict = ask(challenger, champion, y=TWICE, parts=parts, degraded=True, challenger_beats_champion=True)
    assert verdict.promote
    assert verdict.numbers.floor_gain.rows == N
    bad = ask(np.where(RECENT, 0.4, 0.1), champion, y=TWICE, parts=parts, challenger_beats_champion=True)
    assert codes_of(bad) == ["gate.below_floor"]
    assert bad.numbers.floor_gain.rows == 2 * N


def test_two_looks_at_the_floor_are_paid_for() -> None:
    """Each is asked with half of the chance of error that one look has, of the shares that are given, by the seed."""
    noisy = np.where(np.arange(2 * N) % 4 < 2, 0.93, 0.31)
    prior = np.array([0.7, 0.3])
    of_label = np.log(sure(noisy, TWICE)[np.arange(2 * N), TWICE]) - np.log(prior[TWICE])
    for rows, challenger in ((RECENT, noisy), (np.ones(2 * N, bool), np.where(RECENT, 0.05, noisy))):
        found = ask(
            challenger,
            challenger,
            y=TWICE,
            parts={"recent": RECENT, "floor": np.ones(2 * N, bool)},
            prior=prior,
            seed=5,
        ).numbers.floor_gain
        gains = of_label if challenger is noisy else np.log(challenger) - np.log(prior[TWICE])
        expected = bound(gains[rows], confidence=0.95, n_bootstrap=500, seed=5, tests=2)
        assert found == expected
        assert found != bound(gains[rows], confidence=0.95, n_bootstrap=500, seed=6, tests=2)


def test_bounds_are_drawn_by_the_seed_and_one_look_is_one() -> None:
    noisy = np.where(np.arange(2 * N) % 4 < 2, 0.93, 0.31)
    other = np.where(np.arange(2 * N) % 3 < 2, 0.6, 0.7)
    numbers = ask(noisy, other, y=TWICE, parts=SECOND, seed=5).numbers
    shares, gain = np.log(noisy) - np.log(0.5), np.log(noisy) - np.log(other)
    of = {"confidence": 0.95, "n_bootstrap": 500, "seed": 5}
    assert numbers.floor_gain == bound(shares[RECENT], **of)
    assert numbers.regression_gain == bound(gain[~RECENT], **of)


def test_what_was_shown_before_is_not_shown_by_the_very_floor() -> None:
    """Above it, not at it."""
    at = ask(0.8, 0.7).numbers.floor_gain.upper
    assert codes_of(ask(0.8, 0.7, gate={"floor_gain": at}, floor_known=True)) == ["gate.below_floor"]
    assert ask(0.8, 0.7, gate={"floor_gain": at - HAIR}, floor_known=True).promote


def test_as_good_to_a_hair_is_not_worse() -> None:
    found = ask(0.8, 0.8, degraded=True, gate={"margin": 0.0})
    assert codes_of(found) == ["gate.not_shown_as_good"]


def test_what_is_forgotten_is_told_beside_the_other_reasons() -> None:
    challenger, champion = other_rows(0.5, 0.9)
    verdict = ask(np.where(RECENT, 0.4, challenger), champion, y=TWICE, parts=SECOND)
    assert codes_of(verdict) == ["gate.below_floor", "gate.worse", "gate.accuracy_lower", "gate.forgets"]


def test_the_floor_is_not_asked_again_where_its_like_has_shown_it() -> None:
    """But only where the rows do not show the contrary, and the champion does not lose by it."""
    unsure = np.where(np.arange(N) % 2, 0.93, 0.28)  # as good as the shares on average, and far from sure
    champion = unsure * 0.9
    assert codes_of(ask(unsure, champion)) == ["gate.below_floor"]
    found = ask(unsure, champion, floor_known=True)
    assert (found.promote, found.numbers.floor_known) == (True, True)
    assert not ask(0.8, 0.7, floor_known=True).numbers.floor_known
    below = ask(0.45, 0.44, floor_known=True)
    assert codes_of(below) == ["gate.below_floor"]
    assert not below.numbers.floor_known
    assert codes_of(ask(unsure, None, floor_known=True)) == ["gate.below_floor"]


def codes_of(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.messages]
