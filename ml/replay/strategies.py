"""What the loop is held against: never retraining, on a schedule, after every window, and by accuracy alone.

None of these holds rows back for a gate, and none asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from ml import settings as settings_module
from ml.data import generate
from ml.exploration.policy import Policy
from ml.models.base import UntrainableError
from ml.replay.loop import FIRST, Model, Outcome, Stream, fit
from ml.schema.frame_coerce import canonical
from ml.schema.schema import ANSWERED, PREDICTION_ID

T = TypeVar("T")


class Every:
    """Makes the model after a window, fitted on what is labelled by then; the windows in any order.

    Parameters
    ----------
    newest
        Only so many rows, or windows if a float, and not what the first model was made from; None: everything.
    """

    def __init__(self, stream: Stream, first: Model, newest: float | None = None) -> None:
        self.stream, self.first, self._newest = stream, first, newest
        values = {**stream.values, "data": {**stream.values["data"], "recent_share": 0.0}}
        self._settings = settings_module.from_values(values)
        self._answered: dict[int, pd.DataFrame] = {}

    def model(self, window: int) -> Model | None:
        """None where no labels came at its end, or nothing can be learned from them."""
        if not came(self.stream.arrives, window):
            return None
        newest, rows = self._newest, [self._of(w) for w in known(self.stream.arrives, window)]
        labelled = pd.concat(rows[-int(newest) :] if isinstance(newest, float) else rows, ignore_index=True)
        labelled = labelled.iloc[-newest:] if isinstance(newest, int) else labelled
        whole = newest is None or (isinstance(newest, int) and len(labelled) < newest)  # not yet a window of its own
        snapshot = generate(self._settings, labelled=labelled, train_on_base=whole)
        try:
            return fit(self._settings, snapshot, str(window))
        except UntrainableError:  # one class alone in the newest rows: nobody would serve a model of them
            return None

    def _of(self, window: int) -> pd.DataFrame:
        if window not in self._answered:
            self._answered[window] = _answered(self.stream, self.first, window)
        return self._answered[window]


def known(arrives: Sequence[int], window: int) -> list[int]:
    """Windows whose labels have come at the end of one, without those that the first model was made from.

    >>> known([0, 1, 2, 4, 5, 6], 5), came([0, 1, 2, 4, 5, 6], 3)
    ([3, 4], False)
    """
    return [w for w in range(FIRST, window + 1) if arrives[w] <= window]


def came(arrives: Sequence[int], window: int) -> bool:
    """Whether labels came at the end of a window."""
    return len(known(arrives, window)) > len(known(arrives, window - 1))


def always(
    stream: Stream, first: Model, newest: float | None = None, done: Callable[[int], None] = lambda _: None
) -> list[Model]:
    """The model after each window, as `Every` makes it; the one before where it makes none.

    Parameters
    ----------
    newest
        As in `Every`.
    done
        Called with the number of windows behind it.
    """
    every, models = Every(stream, first, newest), [first]
    for window in range(FIRST, len(stream.windows) - 1):
        done(window - FIRST + 1)
        models.append(every.model(window) or models[-1])
    return models


def by_accuracy(stream: Stream, first: Model, done: Callable[[int], None] = lambda _: None) -> tuple[Outcome, int]:
    """Retrain at every window on all that is labelled; replace where accuracy on the newest labels is not lower.

    Labels come only after the actions that the stream's policy lets have one. The newest of them are not trained on.

    Parameters
    ----------
    done
        Called with the number of windows behind it.

    Returns
    -------
    The outcome, and how many of the retrainings replaced the model.
    """
    outcome, champion, replaced = Outcome(), first, 0
    values = {**stream.values, "data": {**stream.values["data"], "recent_share": 0.0}}
    s, policy = settings_module.from_values(values), Policy(stream.settings.explore)
    waiting, rows = list[tuple[int, np.ndarray]](), list[pd.DataFrame]()
    for window in range(FIRST, len(stream.windows)):
        p = champion.probabilities(stream.windows[window].drop(columns=[stream.target]))
        outcome.add(stream, champion, window, p)
        actions = [policy.act(str(one), f"{window}-{i}") for i, one in enumerate(outcome.predicted[-1])]
        waiting.append((window, np.array([action is None or action.label_propensity != 0 for action in actions])))
        come = [one for one in waiting if stream.arrives[one[0]] <= window]
        waiting = waiting[len(come) :]
        rows += [_answered(stream, first, one)[seen] for one, seen in come]
        done(window - FIRST + 1)
        if not come or len(rows) < 2 or window == len(stream.windows) - 1:
            continue
        outcome.retrainings += 1
        challenger = fit(s, generate(s, labelled=pd.concat(rows[:-1], ignore_index=True)), str(window))
        newest, seen = come[-1]
        frame, actual = stream.windows[newest].drop(columns=[stream.target])[seen], stream.labels(newest)[seen]
        theirs, ours = (m.classes[m.probabilities(frame).argmax(axis=1)] for m in (champion, challenger))
        if (ours == actual).mean() >= (theirs == actual).mean():
            champion, replaced = challenger, replaced + 1
    return outcome, replaced


def _answered(stream: Stream, first: Model, window: int) -> pd.DataFrame:
    """Rows with their labels as the log has them: canonical, as the first model's table says they are written."""
    raw = stream.windows[window]
    part = canonical(raw, first.snapshot.schema)[0].assign(**{stream.target: stream.labels(window)})
    moments = pd.Timestamp("2030-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(part)) + window * 1e6, unit="s")
    ids = [f"{window}-{i}" for i in range(len(part))]
    return part.assign(**{PREDICTION_ID: ids}).assign(**{ANSWERED: moments})


def schedule(n_windows: int, budget: int) -> list[int]:
    """Scored windows (from 1) before which an evenly spaced schedule retrains.

    >>> schedule(9, 2)
    [3, 6]
    """
    return [round((i + 1) * n_windows / (budget + 1)) for i in range(budget)]


def on_schedule(models: Sequence[T], due: Sequence[int]) -> list[T]:
    """The model of each scored window where one of `models` is taken up at the windows that are due.

    >>> on_schedule("abcde", [2, 4])
    ['a', 'a', 'c', 'c', 'e']
    """
    return [models[max([d for d in due if d <= i], default=0)] for i in range(len(models))]


def follow(stream: Stream, models: list[Model]) -> Outcome:
    """Predictions where scored window i is answered by `models[i]`."""
    outcome = Outcome(retrainings=len({id(model) for model in models}) - 1)
    for model, window in zip(models, range(FIRST, len(stream.windows)), strict=True):
        answer(stream, outcome, model, window)
    return outcome


def answer(stream: Stream, outcome: Outcome, model: Model, window: int) -> None:
    """Add to an outcome what a model answers to `stream.windows[window]`."""
    outcome.add(stream, model, window, model.probabilities(stream.windows[window].drop(columns=[stream.target])))
