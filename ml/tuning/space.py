"""The search space in hyperopt's TPE: which configuration trial k tries, given what earlier trials gave."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ml.models.base import Params, SearchSpace
from ml.tuning.trial import HyperoptValues, Trial

# hyperopt logs two lines a suggestion at INFO.
logging.getLogger("hyperopt").setLevel(logging.WARNING)

STARTUP = 8  # random configurations of a family before TPE models them; hyperopt's own default is 20, of many more


class Suggestion(NamedTuple):
    """What to try next, and hyperopt's own values of that point."""

    params: Params
    values: HyperoptValues


class Space:
    """The search space: each family's own; which family is next is decided elsewhere (`ask_and_tell.Shares`).

    Parameters
    ----------
    spaces
        Family name → hyperopt space (a mapping of parameter name to expression).
    starts
        Family name → the point that its first suggestion is, where it has one.
    """

    def __init__(self, spaces: dict[str, SearchSpace], starts: Mapping[str, Params] | None = None) -> None:
        from hyperopt.base import Domain

        self._spaces, self._starts = spaces, starts or {}
        self._domains = {name: Domain(lambda point: 0.0, space) for name, space in spaces.items()}
        self.expressions = {name: domain.expr for name, domain in self._domains.items()}

    def parameters(self, family: str) -> int:
        """How many parameters a family's space has, those of a choice counted with it."""
        return len(self._domains[family].params)

    def suggest(
        self,
        number: int,
        family: str,
        known: Sequence[Trial],
        pending: Sequence[tuple[int, HyperoptValues]] = (),
        *,
        seed: int,
    ) -> Suggestion:
        """Suggest a trial of a family: its start, if it has one, then by TPE.

        Parameters
        ----------
        number
            Of the trial.
        family
            Of the trial.
        known
            The family's finished trials.
        pending
            Number and values of its trials under way, which count as bad, so that one idea is not tried eight times
            before its first result.
        seed
            Of the search. The same arguments give the same suggestion: the generator is seeded by (seed, number), not
            carried from one call to the next.

        **Source** Bergstra et al. 2011, "Algorithms for hyper-parameter optimization".
        """
        from hyperopt import space_eval, tpe
        from hyperopt.base import Trials

        domain, trials = self._domains[family], Trials()
        if family in self._starts and not pending and all(trial.values is None for trial in known):
            started = self._located(family, self._starts[family])
            if started is not None:
                return Suggestion(_plain(space_eval(domain.expr, started)), started)
        docs = []
        for trial in known:
            values = self.locate(trial) if trial.values is None else trial.values
            if values is not None:
                docs.append(_doc(trials, domain, (trial.number, values), trial.loss))
        docs += [_doc(trials, domain, one, None) for one in pending]
        trials.insert_trial_docs(docs)
        trials.refresh()
        draw = int(np.random.default_rng([seed, number]).integers(2**31 - 1))
        suggestion = tpe.suggest([number], domain, trials, draw, n_startup_jobs=STARTUP, verbose=False)[0]
        drawn = {label: _plain(v[0]) for label, v in suggestion["misc"]["vals"].items() if v}
        return Suggestion(_plain(space_eval(domain.expr, drawn)), drawn)

    def locate(self, trial: Trial) -> HyperoptValues | None:
        """A baseline as a point of the space, so that the search learns from it too; None where it is none.

        Options are found by their value (an option that is a mapping by what it says of each parameter in it);
        a number outside of its range counts as its nearest end.
        """
        return self._located(trial.family, {**trial.resolved, **trial.params})

    def _located(self, family: str, params: Params) -> HyperoptValues | None:
        values: HyperoptValues = {}
        for name, expression in self._spaces[family].items():
            located = _locate(expression, params.get(name, params))
            if located is None:
                return None
            values.update(located)
        return values


def _doc(trials: Any, domain: Any, one: tuple[int, HyperoptValues], loss: float | None) -> Any:
    """A trial, by its number and values, as hyperopt keeps it; without a loss it is one that runs or failed."""
    from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW, STATUS_FAIL, STATUS_OK

    number, values = one
    lists = {label: [values[label]] if label in values else [] for label in domain.params}
    idxs = {label: [number] * len(value) for label, value in lists.items()}
    misc = {"tid": number, "cmd": None, "workdir": None, "idxs": idxs, "vals": lists}
    result = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
    doc = trials.new_trial_docs([number], [None], [result], [misc])[0]
    doc["state"] = JOB_STATE_NEW if loss is None else JOB_STATE_DONE
    return doc


def _locate(expression: Any, value: Any) -> HyperoptValues | None:
    """Label → hyperopt's value of the parameters in `expression` that make it `value`; None where none do.

    `value` is the parameter's own, or, where several parameters are chosen together, a mapping with all of them.
    """
    from hyperopt import pyll

    if expression.name == "switch":
        for number, option in enumerate(expression.pos_args[1:]):
            inner = _locate(option, value)
            if inner is not None:
                return {expression.pos_args[0].pos_args[0].obj: number, **inner}
        return None
    if expression.name == "dict":
        located: HyperoptValues = {}
        for name, part in expression.named_args:
            inner = _locate(part, value[name]) if isinstance(value, dict) and name in value else None
            if inner is None:
                return None
            located.update(inner)
        return located
    drawn = [n for n in pyll.dfs(expression) if n.name == "hyperopt_param"]
    if not drawn:
        return {} if _plain(pyll.rec_eval(expression)) == _plain(value) else None
    if isinstance(value, (dict, str)) or value is None:
        return None
    return {drawn[0].pos_args[0].obj: _inside(drawn[0].pos_args[1], float(value))}


def _inside(node: Any, value: float) -> float:
    """`value` moved into the support of a uniform distribution (of its logarithm); a normal one has no ends."""
    if "normal" in node.name:
        return max(value, 1e-300) if "log" in node.name else value
    low, high = (float(bound.obj) for bound in node.pos_args[:2])
    if "log" in node.name:
        return float(np.exp(min(max(np.log(max(value, 1e-300)), low), high)))
    return min(max(value, low), high)


def _plain(value: Any) -> Any:
    """NumPy scalars and tuples as JSON has them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
