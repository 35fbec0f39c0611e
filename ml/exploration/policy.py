"""Actions: what follows an answer, by a policy with some exploration, and how likely it was (its propensity).

Where an answer decides who gets a chance to have a label (a loan, an offer, a review), the labelled rows are no sample
of the answered ones. A share of the actions drawn at random makes every row's chance known and above zero, and one
over that chance is the weight that makes the labelled rows stand for all (`ml.exploration.weights`).

Light: the service draws here, for each row that it answers.

**Source** Horvitz and Thompson 1952; Bottou et al. 2013, "Counterfactual reasoning and learning systems".
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from ml.settings.sections import Explore


class Action(NamedTuple):
    """What followed one answer.

    `propensity` is the probability, in (0, 1], of this action for this row; None where it is not known.
    `label_propensity` is the probability that the row got an action after which a label can come, 0 where none can
    come after this one; None where it is not known.
    """

    name: str
    propensity: float | None
    label_propensity: float | None


class Policy:
    """Gives each answer its action. Built once from the settings.

    With the probability `explore.share` the action is drawn from `explore.actions`, each as likely; else it is the one
    that `explore.policy` has for the label. The draw depends on nothing but `explore.seed` and the prediction's id: a
    repeated prediction gets its action again, on whichever machine.

    >>> policy = Policy(Explore(policy={"no": "approve", "yes": "decline"}, share=0.2, labelled=("approve",)))
    >>> [policy.act("yes", f"row {i}").name for i in range(8)]
    ['decline', 'approve', 'decline', 'approve', 'decline', 'decline', 'decline', 'approve']
    >>> policy.act("yes", "row 7")
    Action(name='approve', propensity=0.1, label_propensity=0.1)
    """

    def __init__(self, explore: Explore) -> None:
        self._seed = f"{explore.seed}\0".encode()
        self._share = explore.share
        self._drawn = explore.actions or tuple(sorted(set(explore.policy.values())))
        self._actions = {label: self._of(name, explore) for label, name in explore.policy.items()}
        self._usual = {label: self._actions[label][name] for label, name in explore.policy.items()}

    def _of(self, usual: str, explore: Explore) -> dict[str, Action]:
        """Every action that may follow a label, whose `usual` one is given, with its chances."""
        each = explore.share / len(self._drawn)
        chance = {name: each * (name in self._drawn) + (1 - explore.share) * (name == usual) for name in self._drawn}
        chance.setdefault(usual, 1 - explore.share)
        labelled = explore.labelled or tuple(chance)
        some = min(sum(p for name, p in chance.items() if name in labelled), 1.0)
        return {name: Action(name, p, some if name in labelled else 0.0) for name, p in chance.items()}

    def act(self, label: str, prediction_id: str) -> Action | None:
        """What follows; None where the policy has nothing for this label.

        Parameters
        ----------
        label
            As answered.
        prediction_id
            Of the row.
        """
        usual = self._usual.get(label)
        if usual is None or not self._share:
            return usual
        digest = blake2b(self._seed + prediction_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if int.from_bytes(digest[:8]) >= self._share * 2.0**64:
            return usual
        return self._actions[label][self._drawn[int.from_bytes(digest[8:]) * len(self._drawn) >> 64]]


def told(name: str, propensity: float | None, labelled: Iterable[str]) -> Action:
    """What a caller says that followed.

    Parameters
    ----------
    propensity
        In (0, 1]; None where the caller does not know it.
    labelled
        `explore.labelled`: the actions after which a label can come; none: every one.

    >>> told("decline", 0.97, ["approve"])
    Action(name='decline', propensity=0.97, label_propensity=0.0)
    >>> told("approve", None, ["approve"])
    Action(name='approve', propensity=None, label_propensity=None)
    """
    some = tuple(labelled)
    if not some:
        return Action(name, propensity, 1.0)
    return Action(name, propensity, propensity if name in some else 0.0)
