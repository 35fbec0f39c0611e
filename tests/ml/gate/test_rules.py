"""The gate: who may replace the champion, and how often it errs."""

import msgspec
import numpy as np
import pytest

from ml.decision import softmax
from ml.gate.rules import Servability, Verdict, judge
from ml.messages import message
from ml.settings import Gate

GATE = Gate(n_bootstrap=500)


def codes(verdict: Verdict) -> list[str]:
    """Of its reasons."""
    return [reason.code for reason in verdict.messages]


def world(n, seed=0, *, champion=0.0, challenger=0.0):
    """Labels drawn from true probabilities, and two models that know them up to their own noise."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 2)) * 1.2
    y = (rng.random(n) < softmax(logits)[:, 1]).astype(np.int64)
    first = softmax(logits + rng.normal(size=(n, 2)) * champion)
    second = softmax(logits + rng.normal(size=(n, 2)) * challenger)
    return first, second, y


def test_a_clearly_better_challenger_is_promoted_with_the_numbers():
    """The message has both losses and the rows."""
    champion, challenger, y = world(1_000, champion=1.0)
    verdict = judge(challenger, champion, y, settings=GATE)
    assert verdict.promote
    assert (verdict.message.code, verdict.message.values["n"]) == ("gate.better", 1_000)
    assert verdict.message.values["old"] == verdict.numbers.log_loss.champion
    msgspec.json.encode(verdict)  # gate.json


def test_the_same_model_again_is_indistinguishable():
    """A tie keeps the champion."""
    champion, _, y = world(1_000)
    verdict = judge(champion, champion, y, settings=GATE)
    assert not verdict.promote
    assert codes(verdict) == ["gate.indistinguishable"]


def test_a_worse_challenger_is_called_worse():
    """Not merely indistinguishable."""
    champion, challenger, y = world(1_000, challenger=1.0)
    assert "gate.worse" in codes(judge(challenger, champion, y, settings=GATE))


def test_where_the_champion_is_degraded_as_good_is_good_enough():
    """Non-inferiority within the margin."""
    champion, challenger, y = world(3_000, champion=0.3, challenger=0.3)
    assert not judge(challenger, champion, y, settings=GATE).promote
    verdict = judge(challenger, champion, y, settings=GATE, degraded=True)
    assert verdict.promote
    assert verdict.message.code == "gate.not_worse_than_degraded"


def test_degraded_does_not_let_a_worse_one_through():
    """Worse by more than the margin stays out."""
    champion, challenger, y = world(3_000, challenger=1.0)
    assert not judge(challenger, champion, y, settings=GATE, degraded=True).promote


def test_the_first_champion_only_needs_the_floor():
    """There is nothing to compare with yet."""
    _, challenger, y = world(200)
    verdict = judge(challenger, None, y, settings=GATE)
    assert verdict.promote
    assert verdict.message.code == "gate.first"


@pytest.mark.parametrize("n", [8, 40])
def test_a_model_that_knows_nothing_is_stopped_by_the_floor(n):
    """Even as the first one, and the sentence says that the rows are few."""
    y = np.arange(n) % 2
    p = np.random.default_rng(0).dirichlet([5, 5], n)
    verdict = judge(p, None, y, settings=GATE)
    assert not verdict.promote
    assert codes(verdict) == ["gate.below_floor_few"]


def test_too_few_rows_keep_the_champion_and_say_so():
    """A perfect challenger on 50 rows is not yet evidence."""
    champion, challenger, y = world(50, champion=2.0)
    verdict = judge(challenger, champion, y, settings=GATE)
    assert not verdict.promote
    assert message("gate.too_few_rows", n=50, needed=100) in verdict.messages


def test_no_rows_at_all_is_a_refusal():
    """An empty recent part is answered in words."""
    champion, challenger, y = world(300)
    verdict = judge(challenger, champion, y, settings=GATE, parts={"recent": np.zeros(300, bool)})
    assert not verdict.promote
    assert codes(verdict) == ["gate.no_rows"]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Servability(problem="examples differ by 0.2"), "gate.not_servable"),
        (Servability(latency_ms=80), "gate.too_slow"),
        (Servability(bundle_mb=900), "gate.too_large"),
    ],
)
@pytest.mark.parametrize("policy", ["gate", "always"])
def test_what_cannot_be_served_is_never_promoted(found, code, policy):
    """Not even by policy, and not as the first champion."""
    _, challenger, y = world(300)
    verdict = judge(challenger, None, y, settings=Gate(policy=policy), servability=found)
    assert not verdict.promote
    assert code in codes(verdict)


def test_policies_never_and_always():
    """A person's word is above the numbers, which are kept all the same."""
    champion, challenger, y = world(1_000, champion=1.0)
    assert not judge(challenger, champion, y, settings=Gate(policy="never")).promote
    worse = judge(champion, challenger, y, settings=Gate(policy="always"))
    assert worse.promote
    assert worse.message == message("gate.always_although", reasons=worse.messages)


def halves(n):
    return {"recent": np.arange(n) < n // 2, "regression": np.arange(n) >= n // 2}


def test_forgetting_the_golden_rows_is_refused():
    """Better on the newest rows, much worse on the old ones."""
    champion, challenger, y = world(2_000, champion=1.0)
    champion[1_000:], challenger[1_000:] = challenger[1_000:].copy(), 1 - challenger[1_000:]
    verdict = judge(challenger, champion, y, settings=GATE, parts=halves(2_000))
    assert not verdict.promote
    assert "gate.forgets" in codes(verdict)


def test_a_changed_world_may_forget_the_old_one():
    """The champion is degraded, the challenger better on what comes in now."""
    champion, challenger, y = world(2_000, champion=1.0)
    champion[1_000:], challenger[1_000:] = challenger[1_000:].copy(), 1 - challenger[1_000:]
    assert judge(challenger, champion, y, settings=GATE, parts=halves(2_000), degraded=True).promote


def test_golden_rows_give_way_where_newer_models_were_shown_to_do_better():
    """But only to a challenger that is better on the recent rows, and nothing else is eased."""
    champion, challenger, y = world(2_000, champion=1.0)
    champion[1_000:], challenger[1_000:] = challenger[1_000:].copy(), 1 - challenger[1_000:]
    assert judge(challenger, champion, y, settings=GATE, parts=halves(2_000), challenger_beats_champion=True).promote
    same = champion.copy()
    same[1_000:] = challenger[1_000:]
    verdict = judge(same, champion, y, settings=GATE, parts=halves(2_000), challenger_beats_champion=True)
    assert not verdict.promote
    assert codes(verdict)[-1] == "gate.forgets"
    assert "gate.indistinguishable" not in codes(verdict)  # the question is not asked twice


def test_a_large_slice_that_gets_much_worse_is_refused_by_name():
    """Better on average, but not for one in five."""
    champion, challenger, y = world(3_000, champion=1.2)
    part = np.arange(3_000) < 600
    champion[part], challenger[part] = challenger[part].copy(), champion[part].copy()
    verdict = judge(challenger, champion, y, settings=GATE, slices={"city = Huế": part, "city = rare": ~part})
    assert not verdict.promote
    [slice_] = [reason.values for reason in verdict.messages if reason.code == "gate.worse_slice"]
    assert (slice_["where"], slice_["n"]) == ("city = Huế", 600)


def test_a_degraded_champion_below_the_floor_may_be_replaced_by_a_better_one():
    """Neither knows more than the class shares, but the new one does less harm."""
    champion, challenger, y = world(1_000, champion=4.0, challenger=2.0)
    assert not judge(challenger, champion, y, settings=GATE).promote
    assert not judge(challenger, None, y, settings=GATE).promote
    assert judge(challenger, champion, y, settings=GATE, degraded=True).promote


def test_same_seed_same_verdict():
    """A verdict can be repeated."""
    champion, challenger, y = world(400, champion=0.4)
    assert judge(challenger, champion, y, settings=GATE) == judge(challenger, champion, y, settings=GATE)


@pytest.mark.parametrize("n", [150, 600])
def test_a_challenger_that_is_no_better_wins_at_most_one_time_in_twenty(n):
    """The stated error rate: both models are noisy to the same degree, so neither is truly better."""
    wins = 0
    for seed in range(300):
        champion, challenger, y = world(n, seed, champion=0.7, challenger=0.7)
        wins += judge(challenger, champion, y, settings=GATE, seed=seed).promote
    # Binomial(300, 0.05): more than 26 comes once in a thousand.
    assert wins <= 26


def test_a_worse_challenger_hardly_ever_wins():
    """True loss higher by about 0.03 nats: fewer than one in a hundred at 300 rows."""
    wins = sum(
        judge(challenger, champion, y, settings=GATE, seed=seed).promote
        for seed in range(200)
        for champion, challenger, y in [world(300, seed, champion=0.4, challenger=0.7)]
    )
    assert wins <= 2


def test_a_much_better_challenger_nearly_always_wins():
    """Power: loss lower by about 0.15 nats, 600 rows."""
    wins = sum(
        judge(challenger, champion, y, settings=GATE, seed=seed).promote
        for seed in range(100)
        for champion, challenger, y in [world(600, seed, champion=1.2)]
    )
    assert wins >= 95


def test_a_challenger_that_is_better_on_what_is_seen_alone_is_refused_by_weight():
    """Better by a little where labels come, and worse by much where one in twenty has one: blind to the declined."""
    rng = np.random.default_rng(0)
    n = 6_000
    declined = rng.random(n) < 0.4
    true = np.where(declined, 0.7, 0.15)
    y = (rng.random(n) < true).astype(np.int64)
    chance = np.where(declined, 0.05, 1.0)
    seen = rng.random(n) < chance
    champion = np.where(declined, 0.7, 0.3)[seen]
    challenger = np.where(declined, 0.2, 0.15)[seen]
    pair = [np.column_stack([1 - p, p]) for p in (challenger, champion)]
    assert judge(*pair, y[seen], settings=GATE).promote
    weighed = judge(*pair, y[seen], settings=GATE, weight=1 / chance[seen])
    assert not weighed.promote
    assert "gate.worse" in codes(weighed)
    assert weighed.numbers.log_loss.challenger > weighed.numbers.log_loss.champion


def test_weights_that_are_alike_change_nothing():
    champion, challenger, y = world(600, champion=0.5)
    plain = judge(challenger, champion, y, settings=GATE)
    weighed = judge(challenger, champion, y, settings=GATE, weight=np.full(600, 3.0))
    assert weighed.sentence == plain.sentence
