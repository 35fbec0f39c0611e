"""hyperopt's ask side: which configuration trial k tries, given what earlier trials gave."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from ml.tuning.trials import Trial

# hyperopt logs two lines a suggestion at INFO.
logging.getLogger("hyperopt").setLevel(logging.WARNING)

STARTUP = 15  # random configurations before TPE models them; hyperopt's own default is 20 of more evaluations


class Space:
    """One choice of family, then that family's own space.

    Parameters
    ----------
    spaces
        Family name → hyperopt space (a mapping of parameter name to expression).
    """

    def __init__(self, spaces: dict[str, dict[str, Any]]) -> None:
        from hyperopt import hp
        from hyperopt.base import Domain

        branches = [{"family": name, "params": space} for name, space in spaces.items()]
        self.expression = hp.choice("family", branches)
        self._domain = Domain(lambda point: 0.0, self.expression)

    def suggest(
        self, number: int, finished: Sequence[Trial], *, seed: int
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Family, parameters, and hyperopt's own values of trial `number`.

        The same number, finished trials and seed give the same suggestion: the generator is seeded by
        (seed, number), not carried from one call to the next.
        """
        from hyperopt import space_eval, tpe
        from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW, STATUS_FAIL, STATUS_OK, Trials

        trials = Trials()
        docs = []
        for trial in finished:
            if trial.values is None:  # a baseline, which is not a point of the space
                continue
            done = trial.loss is not None
            result = {"status": STATUS_OK, "loss": trial.loss} if done else {"status": STATUS_FAIL}
            values = {label: [trial.values[label]] if label in trial.values else [] for label in self._domain.params}
            idxs = {label: [trial.number] * len(found) for label, found in values.items()}
            misc = {"tid": trial.number, "cmd": None, "workdir": None, "idxs": idxs, "vals": values}
            doc = trials.new_trial_docs([trial.number], [None], [result], [misc])[0]
            doc["state"] = JOB_STATE_DONE if done else JOB_STATE_NEW
            docs.append(doc)
        trials.insert_trial_docs(docs)
        trials.refresh()
        draw = int(np.random.default_rng([seed, number]).integers(2**31 - 1))
        made = tpe.suggest([number], self._domain, trials, draw, n_startup_jobs=STARTUP, verbose=False)[0]
        drawn = {label: _plain(v[0]) for label, v in made["misc"]["vals"].items() if v}
        point = space_eval(self.expression, drawn)
        return point["family"], _plain(point["params"]), drawn


def _plain(value: Any) -> Any:
    """NumPy scalars and tuples as JSON has them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
