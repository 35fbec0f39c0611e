"""From findings to a verdict, and from verdicts to the decision to retrain.

The rule, with its measured error rates, is in docs/drift.md. In short: a broken feed alerts and blocks;
a drop in labelled accuracy is what retrains; drift of the inputs or of the predictions alone warns, and
retrains only where labels do not come; either must be seen in m of the last n windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ml.drift.findings import PREDICTION, Estimate, Finding, Performance, Signals, Verdict
from ml.settings import Drift


class Hold(msgspec.Struct, frozen=True):
    """A reason why no retraining may start now; None in the list of holds means none."""

    reason: str


def verdict(
    findings: Sequence[Finding], performance: Performance, estimate: Estimate, drift: Drift
) -> tuple[Verdict, list[str], Signals]:
    """The verdict on one window, its reasons in plain words, and the signals for later windows."""
    columns = [f for f in findings if f.column != PREDICTION]
    drifted = [f for f in columns if f.drifted]
    prediction = any(f.drifted for f in findings if f.column == PREDICTION)
    many = bool(columns) and len(drifted) >= drift.drifted_share * len(columns) and bool(drifted)
    signals = Signals(
        degraded=performance.degraded,
        drifted=prediction or estimate.dropped or many,
        judged=performance.judged,
    )
    if broken := [reason for f in findings if f.broken for reason in f.reasons]:
        return "broken data", broken, Signals(judged=performance.judged)
    moved = [reason for f in findings for reason in f.reasons]
    reasons = [*performance.reasons, *moved, *estimate.reasons]
    if performance.degraded:
        return "degraded", reasons, signals
    if moved or estimate.dropped:
        return "drift", reasons, signals
    return "stable", reasons or ["nothing that matters has changed since the champion was judged"], signals


def retrain(
    now: Verdict,
    signals: Signals,
    performance: Performance,
    earlier: Sequence[Signals],
    holds: Sequence[Hold],
    drift: Drift,
    *,
    learnable: bool = False,
) -> tuple[bool, str]:
    """Whether to retrain, and why or why not in words.

    Parameters
    ----------
    earlier
        Signals of the same champion's earlier windows, newest first; windows do not overlap.
    holds
        What forbids a retraining at this moment (cool-down, one under way, breaker).
    learnable
        Enough labelled rows have come since the champion (or the last attempt) to change what is learnt.
    """
    if now == "broken data":
        return False, "no retraining on broken data: mend the feed first"
    if now in ("insufficient data", "stable"):
        return False, "no reason to retrain"
    recent = [signals, *earlier][: drift.confirm_windows]
    if signals.degraded:
        seen, why = sum(s.degraded and s.judged for s in recent), "the drop in labelled performance is confirmed"
        if performance.large:
            seen, why = drift.confirm_hits, "the drop in labelled performance is large"
    elif not signals.drifted:
        return False, "too little drifted to retrain for"
    elif any(s.judged for s in recent):
        if not learnable:
            return False, "the inputs drifted, but labels are coming and show no loss of performance so far"
        seen, why = sum(s.drifted for s in recent), "drift persists and enough labelled rows have come to learn it"
    else:
        seen, why = sum(s.drifted or s.degraded for s in recent), "drift persists and labels do not come"
    if seen < drift.confirm_hits:
        return False, f"seen in {seen} of the {drift.confirm_hits} windows that confirm it: waiting for the next"
    if holds:
        return False, f"{why}, but {holds[0].reason}"
    return True, why
