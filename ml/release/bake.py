"""The bake, the watch after a promotion: a new champion that proves worse than its predecessor goes back by itself.

Both are compared on the same labelled rows, those that the new champion has answered: the predecessor
is scored on them from the log (`ml.release.replay_scoring`). Comparing with what the predecessor scored in its own time
would blame the new model for a world that has become harder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml import alerts, predictions
from ml.errors import BundleError, PromotionError, RegistryError
from ml.evaluation import two_sample
from ml.exploration.weights import Weights, weights
from ml.messages import Message, Text, message
from ml.predictions.label_coverage import coverage
from ml.registry import ledger
from ml.release import replay_scoring
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

WHO = "baking watch"


class Baking(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch found. Accuracies in [0, 1]; `worse_by` is the one-sided lower bound of the loss."""

    version: str
    predecessor: str
    labels: int
    accuracy: float
    predecessor_accuracy: float | None  # None where it cannot be compared
    worse_by: float
    rolled_back: bool
    message: Message

    @property
    def sentence(self) -> str:
        """The message in English."""
        return self.message.text


def watch(settings: Settings, now: float) -> Baking | None:
    """Judge the champion if it is new; roll back if it is worse.

    Returns
    -------
    None where there is nothing to judge: no predecessor, the watch is over, or too few labels yet. A predecessor that
    cannot be compared (other columns or classes, damaged, deleted) is told in the message, and once to people.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        Nothing was changed; the call may be made again.
    """
    finish_what_was_cut_short(settings)
    event = promotion(settings, now)
    if event is None:
        return None
    rows = predictions.window(
        database.engine(settings),
        since=event.time,
        until=now,
        rows=settings.drift.label_rows,
        version=event.to_version,
        sha256=event.to_sha256,
        labelled_only=True,
    )
    if len(rows) < settings.drift.min_labels:
        return None
    if changed := _border(settings, event):
        return _not_compared(settings, event, rows, changed)
    try:
        before, _ = replay_scoring.score(settings, event.from_version, rows, event.from_sha256)
    except (RegistryError, BundleError) as error:  # deleted or damaged: there is nothing to go back to
        return _not_compared(settings, event, rows, error.explanation)
    chances = weights(rows["label_propensity"], most=settings.explore.max_weight)
    verdict = judge(
        settings, event, rows["actual"].to_numpy(object), rows["label"].to_numpy(object), before, chances=chances,
        notes=coverage(settings, version=event.to_version, sha256=event.to_sha256).notes,
    )  # fmt: skip
    return _roll_back(settings, verdict) if verdict.worse_by > settings.drift.accuracy_margin else verdict


def _border(settings: Settings, event: ledger.Event) -> Text:
    """What callers felt of the promotion, as the ledger has it; "" within one contract."""
    newest = next(iter(ledger.events(settings, limit=1, what=[ledger.NEW_CONTRACT])), None)
    return newest.because if newest is not None and newest.numbers.get("move") == event.id else ""


def _not_compared(settings: Settings, event: ledger.Event, rows: pd.DataFrame, why: Text) -> Baking:
    """A predecessor that is there and cannot be compared is told, once: it is not the same as having none."""
    reason = message("release.bake_not_compared", version=event.to_version, old=event.from_version, why=why)
    old, new = event.from_version, event.to_version
    earlier = ledger.events(settings, limit=1, what=[ledger.NOT_COMPARED])
    if not earlier or earlier[0].numbers.get("move") != event.id:
        numbers = {"move": event.id}
        ledger.append(
            settings, ledger.NOT_COMPARED, who=WHO, why=reason, from_version=old, to_version=new, numbers=numbers,
            from_sha256=event.from_sha256, to_sha256=event.to_sha256,
        )  # fmt: skip
        alerts.send(settings, ledger.NOT_COMPARED, [reason], from_version=old, to_version=new)
    right = rows["label"].to_numpy(object) == rows["actual"].to_numpy(object)
    return Baking(
        version=event.to_version, predecessor=event.from_version, labels=len(rows), accuracy=float(right.mean()),
        predecessor_accuracy=None, worse_by=0.0, rolled_back=False, message=reason,
    )  # fmt: skip


def finish_what_was_cut_short(settings: Settings) -> None:
    """A killed task is run again and ends its own move; a killed command is not, and nobody else may come for days."""
    if ledger.open_intention(settings) is not None:
        from ml import registry

        registry.reconcile(settings)


def promotion(settings: Settings, now: float) -> ledger.Event | None:
    """The promotion that is being watched: the newest move, while it is young enough and had a predecessor."""
    event = ledger.newest_move(settings)
    if event is None or event.what != ledger.PROMOTED or not event.from_version:
        return None
    return event if now - event.time <= settings.drift.baking_s else None


def judge(
    settings: Settings, event: ledger.Event, actual: Any, label: Any, before: Any, *, chances: Weights | None = None,
    notes: Sequence[Message] = (),
) -> Baking:  # fmt: skip
    """Paired, one-sided: by how much, at least, does the predecessor decide better on the same rows?

    Parameters
    ----------
    actual, label, before: (n,) object of str: the truth, the new champion's and the predecessor's decisions.
    chances
        Their weights by inverse propensity; None: they count alike.
    notes
        What else is to be known of the rows.
    """
    right, right_before = label == actual, before == actual
    w = np.ones(len(actual)) if chances is None else chances.rows
    # One decision for and one against are added: with no disagreement at all a bound would be exact zero.
    each = float((w**2).sum() / w.sum()) if w.any() else 1.0
    gained = np.concatenate([right.astype(float) - right_before, [1.0, -1.0]])
    bound = two_sample.drop_lower_bound(
        np.zeros(2), gained, settings.drift.confidence, weight=np.concatenate([w, [each, each]])
    )
    accuracy, accuracy_before = (float(w @ side / w.sum()) if w.any() else 0.0 for side in (right, right_before))
    found = message(
        "release.baked",
        n=len(actual),
        version=event.to_version,
        accuracy=accuracy,
        old=event.from_version,
        before=accuracy_before,
    )
    notes = [*(chances.notes if chances is not None else []), *notes]
    return Baking(
        version=event.to_version,
        predecessor=event.from_version,
        labels=len(actual),
        accuracy=accuracy,
        predecessor_accuracy=accuracy_before,
        worse_by=bound,
        rolled_back=False,
        message=message("exploration.with_notes", found=found, notes=notes) if notes else found,
    )


def _roll_back(settings: Settings, found: Baking) -> Baking:
    from ml import registry

    why = message("release.baked_worse", found=found.message, worse=found.worse_by, sure=settings.drift.confidence)
    facts = {"from_version": found.version, "to_version": found.predecessor}
    try:
        registry.rollback(settings, found.predecessor, who=WHO, why=why)
    except (PromotionError, BundleError) as error:
        alerts.send(settings, "rollback failed", [why, error.explanation], **facts)
        return found
    alerts.send(settings, "rolled back", [why], **facts)
    return msgspec.structs.replace(found, rolled_back=True, message=why)
