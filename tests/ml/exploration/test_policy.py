"""What follows an answer: the same at every repetition, at random in the share that was set, with a true propensity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.errors import SettingsError
from ml.exploration.policy import Action, Policy, told
from ml.settings import from_values
from ml.settings.sections import Explore

LENDER = {"no": "approve", "yes": "decline"}


def test_without_a_share_the_policy_alone_decides() -> None:
    policy = Policy(Explore(policy=LENDER, labelled=("approve",)))
    assert policy.act("no", "a") == Action("approve", 1.0, 1.0)
    assert policy.act("yes", "a") == Action("decline", 1.0, 0.0)
    assert policy.act("perhaps", "a") is None


def test_a_prediction_gets_its_action_again_and_another_seed_another() -> None:
    ids = [f"row {i}" for i in range(500)]
    policies = [Policy(Explore(policy=LENDER, share=0.5, seed=seed)) for seed in (42, 42, 7)]
    first, again, other = ([policy.act("no", key) for key in ids] for policy in policies)
    assert first == again
    assert first != other


@pytest.mark.parametrize("actions", [(), ("approve",), ("approve", "call", "decline")], ids=str)
def test_propensities_are_how_often_each_action_comes(actions: tuple[str, ...]) -> None:
    """And the chances of a label are how often one of the actions comes after which there can be one."""
    n = 20_000
    labelled = ("approve", "decline")[: len(actions) or 1]
    policy = Policy(Explore(policy=LENDER, share=0.3, actions=actions, labelled=labelled))
    drawn = [policy.act("yes", f"{i}") for i in range(n)]
    names = np.array([action.name for action in drawn if action])
    for action in {action for action in drawn if action}:
        assert action.propensity == pytest.approx(float((names == action.name).mean()), abs=0.015)
    may = [action for action in drawn if action and action.label_propensity]
    [chance] = {action.label_propensity for action in may}
    assert chance == pytest.approx(len(may) / n, abs=0.015)


def test_inverse_propensities_make_the_labelled_rows_stand_for_all() -> None:
    """The mean over all rows of what is only seen after an approval."""
    rng = np.random.default_rng(0)
    policy = Policy(Explore(policy=LENDER, share=0.1, labelled=("approve",)))
    answers = np.where(rng.random(40_000) < 0.4, "yes", "no")
    value = np.where(answers == "yes", 1.0, 0.2)
    actions = [policy.act(label, f"{i}") for i, label in enumerate(answers)]
    weight = np.array([1 / a.label_propensity if a and a.label_propensity else 0.0 for a in actions])
    assert float((weight * value).sum() / weight.sum()) == pytest.approx(value.mean(), abs=0.03)
    assert value[weight > 0].mean() < value.mean() - 0.2


def test_what_a_caller_does_not_know_stays_unknown() -> None:
    assert told("approve", None, ("approve",)) == Action("approve", None, None)
    assert told("decline", 0.4, ("approve",)) == Action("decline", 0.4, 0.0)
    assert told("approve", 0.4, ()).label_propensity == 1.0


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"share": 0.1}, "explore.policy"),
        ({"share": 1.5, "policy": LENDER}, "between 0 and 1"),
        ({"share": -0.1, "policy": LENDER}, "between 0 and 1"),
        ({"share": "nan", "policy": LENDER}, "between 0 and 1"),
        ({"policy": {"no": ""}}, "printable"),
        ({"policy": {"no": "x" * 101}}, "printable"),
        ({"policy": LENDER, "labelled": ["aprove"]}, "aprove"),
        ({"actions": ["approve"]}, "explore.policy"),
        ({"policy": LENDER, "max_weight": 0.5}, "max_weight"),
    ],
    ids=str,
)
def test_settings_that_make_no_policy_are_refused(section: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        from_values({"explore": section})


def test_a_caller_may_name_the_actions_without_a_policy() -> None:
    assert from_values({"explore": {"labelled": ["approve"]}}).explore.labelled == ("approve",)
