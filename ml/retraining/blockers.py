"""Blockers, what forbids a retraining at this moment: one under way, the cool-down, the breaker. And who is told."""

from __future__ import annotations

import math

from ml.drift import verdict_history
from ml.drift.rule import Blocker
from ml.drift.verdict import Verdict
from ml.messages import Text, message
from ml.registry import ledger
from ml.release import shadow_slot
from ml.settings import Settings

# What ends a retraining, in the ledger's words.
ANSWERS = (ledger.SHADOW, ledger.REFUSED, ledger.PROMOTED, ledger.PROMOTION_FAILED)
# Reasons of a refusal that say nothing against the challenger: there was too little to judge it by.
WANT_OF_EVIDENCE = frozenset(
    (
        "gate.no_rows", "gate.too_few_rows", "gate.below_floor_few", "gate.below_floor", "gate.not_shown_as_good",
        "gate.indistinguishable",
    )
)  # fmt: skip


def blockers(
    settings: Settings, now: float, label_delay_s: float | None, *, degraded: bool = False, judged: str = ""
) -> list[Blocker]:
    """Reasons not to start a retraining now, the most telling first.

    Parameters
    ----------
    label_delay_s
        Median delay of a label: before it has passed, a new model cannot be judged by new labels.
    degraded
        The champion has dropped by now: a challenger in shadow that was made before does not stand for that.
    judged
        Id of the check that is being decided, where it is recorded already.
    """
    drift = settings.drift
    events = ledger.events(settings, limit=50, what=[*ANSWERS, ledger.ROLLED_BACK])
    reasons = []
    refused = _refused_in_a_row(events)
    newest = events[0].time if events else 0.0
    if refused >= drift.breaker_refusals and abs(now - newest) < drift.breaker_reset_s:
        reasons.append(Blocker(message("retraining.breaker", n=refused, hours=drift.breaker_reset_s / 3600)))
    occupant = shadow_slot.find(settings)
    if occupant is not None and (occupant.degraded or not degraded):
        reasons.append(Blocker(message("retraining.shadow_first", version=occupant.version)))
    asked = verdict_history.last_retrain(settings)
    answered = asked is not None and any(e.time >= asked.time and e.what in ANSWERS for e in events)
    if asked is not None and not answered and abs(now - asked.time) < drift.retrain_timeout_s:
        reasons.append(Blocker(message("retraining.under_way")))
    missing = 1 - budget(settings, judged=judged)
    if (wait := math.ceil(round(missing * drift.budget_windows, 6))) > 0:  # thirds do not add up
        reasons.append(Blocker(message("retraining.budget_spent", n=drift.budget_windows, more=wait)))
    moved = next((e.time for e in events if e.what in (*ANSWERS, ledger.ROLLED_BACK)), None)
    cooldown = max(drift.cooldown_s, min(label_delay_s or 0.0, drift.cooldown_max_s))
    if moved is not None and abs(now - moved) < cooldown:
        reasons.append(Blocker(message("retraining.cooldown", ago=now - moved, seconds=cooldown)))
    return reasons


def budget(settings: Settings, *, judged: str = "") -> float:
    """Retrainings that may start now: each window earns a part of one, and few are saved up (a token bucket).

    Where the world changes faster than a retraining pays for itself, something has to say how often is enough.
    `judged` is the check that is being decided, where it is recorded already: its window counts once.
    """
    drift = settings.drift
    left = float(drift.budget_saved)
    for check in reversed(verdict_history.history(settings, drift.history)):
        if check.verdict != "insufficient data" and check.id != judged:
            left = min(left + 1 / drift.budget_windows, drift.budget_saved) - check.retrain
    return min(left + 1 / drift.budget_windows, drift.budget_saved)  # with the window that is being judged


def alerts(verdict: Verdict, reasons: list[Text], held: list[Blocker]) -> list[Text]:
    """What a person should be told of now; empty when nothing needs one.

    Parameters
    ----------
    reasons
        Of the verdict; the first five are told.
    held
        Blockers of a retraining; of these only the breaker is a person's business.
    """
    blocking: list[Text] = []
    if verdict in ("broken data", "degraded"):
        blocking.append(message("drift.alert", verdict=verdict, reasons=reasons[:5]))
    return [*blocking, *(blocker.reason for blocker in held if blocker.reason.code == "retraining.breaker")]


def _refused_in_a_row(events: list[ledger.Event]) -> int:
    """Refusals since the last promotion or rollback, but for those for want of evidence; `events` newest first."""
    count = 0
    for event in events:
        if event.what in (ledger.PROMOTED, ledger.ROLLED_BACK):
            break
        count += event.what in (ledger.REFUSED, ledger.PROMOTION_FAILED) and not _says_nothing(event)
    return count


def _says_nothing(refusal: ledger.Event) -> bool:
    codes = frozenset(refusal.numbers.get("codes", ()))
    return bool(refusal.numbers.get(shadow_slot.UNJUDGED)) or (bool(codes) and codes <= WANT_OF_EVIDENCE)
