"""The decision rule: from findings to a verdict, and from verdicts to the decision to retrain.

The rule, with its measured error rates, is in docs/drift.md. In short: a broken feed alerts and blocks; evidence that
models of newer rows know more retrains, and so does a drop in labelled accuracy; drift of the inputs or of the
predictions alone warns, and retrains only where labels do not come; a drop and a drift must be seen in m of the last n
windows, evidence is summed over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ml.drift.verdict import Estimate, Finding, FreshModelProbe, Performance, Signals, Verdict
from ml.messages import Message, Text, message
from ml.settings import Drift

BUDGET = "retraining.budget_spent"  # of `ml.messages`: the blocker that large evidence does not wait for


class Blocker(msgspec.Struct, frozen=True):
    """A reason why no retraining may start now; None in the list of blockers means none."""

    reason: Message


def verdict(
    findings: Sequence[Finding],
    performance: Performance,
    estimate: Estimate,
    drift: Drift,
    *,
    fresh_model_probe: FreshModelProbe | None = None,
) -> tuple[Verdict, list[Text], Signals]:
    """The verdict on one window, its reasons, and the signals for later windows.

    Parameters
    ----------
    findings
        One a column, and one of the predictions.
    performance, estimate
        On the rows with labels; and what is guessed of those without.
    drift
        The thresholds.
    fresh_model_probe
        Whether models of newer rows beat the champion; None where that was not tried.
    """
    columns = [f for f in findings if not f.of_predictions]
    drifted = [f for f in columns if f.drifted]
    prediction = any(f.drifted for f in findings if f.of_predictions)
    many = bool(columns) and len(drifted) >= drift.drifted_share * len(columns) and bool(drifted)
    fresh_model_probe = fresh_model_probe or FreshModelProbe()
    not_compared = [fresh_model_probe.problem] if fresh_model_probe.problem else []
    broken = [reason for f in findings if f.broken for reason in f.reasons]
    signals = Signals(
        degraded=performance.degraded,
        challenger_beats_champion=fresh_model_probe.challenger_beats_champion,
        drifted=not broken and (prediction or estimate.dropped or many),
        judged=performance.judged,
    )
    if broken:  # what labels say is evidence all the same: it is told, and counts once the feed is mended
        return "broken data", [*broken, *performance.reasons, *fresh_model_probe.reasons, *not_compared], signals
    moved = [reason for f in findings for reason in f.reasons]
    found = [*performance.reasons, *fresh_model_probe.reasons, *moved, *estimate.reasons]
    reasons = [*(found or [message("drift.nothing_changed")]), *not_compared]
    if performance.degraded:
        return "degraded", reasons, signals
    if moved or estimate.dropped or fresh_model_probe.challenger_beats_champion:
        return "drift", reasons, signals
    return "stable", reasons, signals


def retrain(
    now: Verdict,
    signals: Signals,
    performance: Performance,
    earlier: Sequence[Signals],
    blockers: Sequence[Blocker],
    drift: Drift,
    *,
    fresh_model_probe: FreshModelProbe | None = None,
    spent: float = 0.0,
) -> tuple[bool, Message]:
    """Whether to retrain, and why or why not.

    Parameters
    ----------
    earlier
        Signals of the same champion's earlier windows, newest first; windows do not overlap.
    blockers
        What forbids a retraining at this moment (cool-down, one under way, breaker).
    fresh_model_probe
        Whether a newer model would do better, where that was asked.
    spent
        Evidence, nats, that a retraining in this champion's time has had, and has not mended: to break the budget again
        takes as much again.
    """
    if now == "broken data":
        return False, message("retraining.broken_data")
    if now in ("insufficient data", "stable"):
        return False, message("retraining.no_reason")
    recent = [signals, *earlier][: drift.confirm_windows]
    fresh_model_probe = fresh_model_probe or FreshModelProbe()
    if signals.challenger_beats_champion:
        seen, why = drift.confirm_hits, message("retraining.gain_confirmed")  # over all labels since the promotion
        if fresh_model_probe.evidence > max(drift.evidence_large_nats, 2 * spent):
            why = message("retraining.gain_large")
            blockers = [blocker for blocker in blockers if blocker.reason.code != BUDGET]
    elif signals.degraded:
        seen = sum((s.degraded or s.challenger_beats_champion) and s.judged for s in recent)
        why = message("retraining.drop_confirmed")
        # What no newer model does better at is perhaps only a hard stretch: that waits for a second window.
        if performance.large and (fresh_model_probe.gain is None or fresh_model_probe.gain > 0):
            seen, why = drift.confirm_hits, message("retraining.drop_large")
    elif not signals.drifted:
        return False, message("retraining.too_little_drift")
    elif any(s.judged for s in recent):
        return False, message("retraining.labels_show_no_loss")
    else:
        seen, why = sum(s.drifted or s.degraded for s in recent), message("retraining.drift_persists")
    if seen < drift.confirm_hits:
        return False, message("retraining.not_confirmed_yet", n=seen, needed=drift.confirm_hits)
    if blockers:
        return False, message("retraining.blocked", why=why, reason=blockers[0].reason)
    return True, why
