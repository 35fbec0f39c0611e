"""What the drift checks know of the champion that serves, whoever asked for the run that is judged against it."""

from __future__ import annotations

from typing import NamedTuple

from ml.drift import DriftVerdict, verdict_history
from ml.registry import ledger
from ml.retraining import window_policy
from ml.settings import Settings


class Standing(NamedTuple):
    """`degraded`: its labelled performance has dropped; `outdone`: models of newer rows do better, which is proved."""

    degraded: bool = False
    outdone: bool = False


def of_champion(settings: Settings, version: str, sha256: str, asked_by: DriftVerdict | None = None) -> Standing:
    """By the checks since its newest promotion, and by the one that asked for the run where that is of this champion.

    Parameters
    ----------
    version, sha256
        Of the champion; "" where none serves: nothing is known of it.
    asked_by
        The verdict that started the run. One of a champion that has been replaced since says nothing of its successor.
    """
    if not version:
        return Standing()
    probe, since = window_policy.shown(settings, version, sha256)
    # The evidence stays when a check finds no new labels; that it suffices is told by the check that has counted some.
    outdone = probe is not None and probe.evidence > settings.drift.evidence_nats
    checks = verdict_history.history(settings, settings.drift.history, version=version, sha256=sha256)
    judged = (check for check in checks if check.signals.judged and (since is None or check.time >= since))
    newest = next(judged, None)
    if asked_by is not None and ledger.same((asked_by.model_version, asked_by.model_sha256), (version, sha256)):
        outdone = outdone or asked_by.signals.challenger_beats_champion
        newest = newest if newest is not None and newest.time > asked_by.time else asked_by
    return Standing(newest is not None and newest.verdict == "degraded", outdone)
