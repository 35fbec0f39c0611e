"""The shadow test: a challenger in shadow is judged on live rows, then promoted or refused.

The champion answers, the challenger is scored on the same rows from the log (`ml.release.replay_scoring`). As soon as
enough of those that came after its registration have labels, the gate is asked once, on them and on the regression
rows; asking it at every check would give chance as many tries. It is also refused when its time is up, when its bundle
is damaged or gone, and when the log cannot tell. Whatever kills a look, the next one finds who waits in the ledger and
goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ml import alerts, predictions, tracking
from ml.bundle.reader import Bundle
from ml.drift import backtest, verdict_history
from ml.drift.verdict import Shadow
from ml.errors import BundleError, ChampionChanged, DataError, PromotionError, RegistryError, SchemaError
from ml.exploration.weights import Weights, weights
from ml.gate import evidence, fitted_rows
from ml.gate.rules import Verdict
from ml.messages import Message, Text, message
from ml.predictions.label_coverage import coverage
from ml.registry.ledger import same
from ml.release import bake, replay_scoring, shadow_slot
from ml.release.shadow_slot import ShadowCandidate
from ml.settings import Settings
from ml.storage import locks

if TYPE_CHECKING:
    import pandas as pd

    from ml.registry import VersionInfo

WHO = "shadow watch"


class _Evidence(NamedTuple):
    """The challenger, and the labelled rows of the log that neither it nor the champion can have seen in training."""

    challenger: Bundle
    X: pd.DataFrame  # canonical
    y: npt.NDArray[np.int64]
    found: Shadow
    weights: Weights | None = None  # by inverse propensity; None: the rows count alike


def watch(settings: Settings, now: float) -> Shadow | None:
    """Look at the challenger in shadow, and decide once enough labels have come.

    Returns
    -------
    How it stands, or what was decided; None where none waits, or no champion is there to be beaten.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        The call may be made again: nothing is lost, and nothing is done twice.
    """
    from ml import registry

    if not shadow_slot.any_ever(settings):
        return None
    bake.finish_what_was_cut_short(settings)
    with locks.exclusive(settings, shadow_slot.LOCK):
        candidate, champion = shadow_slot.find(settings), registry.serving(settings)
        outcome = _look(settings, candidate, champion, now) if candidate is not None and champion is not None else None
        shadow_slot.follow(settings)
    return outcome


def progress(settings: Settings, candidate: ShadowCandidate, champion: str, sha256: str) -> Shadow:
    """How a waiting challenger stands beside the champion, whose number and hash are given.

    Parameters
    ----------
    champion
        The version that serves.

    Raises
    ------
    RegistryError, BundleError, DataError
        It cannot be compared; the next look refuses it.
    """
    return _evidence(settings, candidate, champion, sha256).found


def _look(settings: Settings, candidate: ShadowCandidate, champion: VersionInfo, now: float) -> Shadow:
    outcome = Shadow(version=candidate.version, champion=champion.version)
    if same((champion.version, champion.sha256), (candidate.version, candidate.sha256)):
        shadow_slot.found_serving(settings, candidate, who=WHO)
        return msgspec.structs.replace(outcome, state="promoted")
    try:
        seen = _evidence(settings, candidate, champion.version, champion.sha256)
        shadow_slot.follow(settings)  # the version that the alias leaves is the one whose verdict is noted
        outcome = seen.found
        if outcome.rows >= outcome.needed:
            verdict = _judge(settings, candidate, champion, seen)
            why = message("release.judged_in_shadow", verdict=verdict.message, version=champion.version)
            if verdict.promote:
                return _promote(settings, candidate, champion, outcome, why)
            return _refuse(settings, candidate, outcome, why, reasons=verdict.messages)
    except (RegistryError, BundleError, DataError) as error:
        return _refuse(
            settings, candidate, outcome, message("release.shadow_not_judged", error=error.explanation), alert=True
        )
    if now >= outcome.until:
        days = settings.gate.shadow_s / 86_400
        why = message("release.shadow_too_few_labels", n=outcome.rows, needed=outcome.needed, days=days)
        return _refuse(settings, candidate, outcome, why, unjudged=True, alert=True)
    return outcome


def _evidence(settings: Settings, candidate: ShadowCandidate, champion: str, sha256: str) -> _Evidence:
    from ml import registry

    info = registry.version(settings, candidate.version, candidate.sha256)
    if info.quarantined:
        raise RegistryError(message("release.quarantined", version=info.version, reason=info.quarantined))
    challenger = replay_scoring.open_version(settings, candidate.version, candidate.sha256)
    needed = shadow_slot.needed(settings)
    most = max(needed, settings.drift.label_rows)
    rows = replay_scoring.live(settings, challenger, against=champion, sha256=sha256, rows=most, since=info.created)
    rows = rows[rows["label_propensity"] != 0].reset_index(drop=True)  # its action gave no chance of that label
    X, y = backtest.canonical(predictions.training_rows(settings, rows), challenger.schema)
    # The customers of the training table may be asked about every day: they prove nothing.
    trained = fitted_rows.of(settings, challenger, info.version)
    new = ~evidence.seen_in_training(trained, X, y, challenger.schema, rows["row_id"].to_numpy(object))
    X, y, rows = X[new].reset_index(drop=True), y[new], rows[new].reset_index(drop=True)
    chances = weights(rows["label_propensity"], most=settings.explore.max_weight)
    beside = replay_scoring.beside(challenger, rows, most=settings.explore.max_weight)
    outcome = Shadow(
        version=candidate.version,
        champion=champion,
        rows=len(rows),
        needed=needed,
        accuracy=beside.shadow,
        champion_accuracy=beside.served,
        agreement=beside.agreement,
        since=candidate.since,
        until=candidate.since + settings.gate.shadow_s,
    )
    return _Evidence(challenger, X, y, outcome, None if chances.uniform else chances)


def _judge(settings: Settings, candidate: ShadowCandidate, champion: VersionInfo, seen: _Evidence) -> Verdict:
    """The same gate as before the registration; what is recent is what the champion has answered since."""
    challenger = seen.challenger
    served, problem = evidence.open_version(settings, champion)
    if served is not None and served.schema.question != challenger.schema.question:
        raise SchemaError(message("release.shadow_other_columns", version=champion.version))
    notes = coverage(
        settings, positive=challenger.schema.positive_label, version=champion.version, sha256=champion.sha256
    ).notes
    rows = evidence.with_regression_rows(settings, seen.X, seen.y, challenger.schema, notes, weights=seen.weights)
    degraded, challenger_beats_champion = _world(settings, candidate, champion)
    return evidence.judge(
        settings, rows, challenger, served, prior=None, degraded=degraded,
        challenger_beats_champion=challenger_beats_champion, seed=settings.train.seed,
        problem=problem,
    )  # fmt: skip


def _world(settings: Settings, candidate: ShadowCandidate, champion: VersionInfo) -> tuple[bool, bool]:
    """Is this champion known to be degraded; has the world changed since the regression rows?"""
    this = {"version": champion.version, "sha256": champion.sha256}
    checks = verdict_history.history(settings, settings.drift.history, **this)
    last = next((check.signals for check in checks if check.verdict != "insufficient data"), None)
    as_then = same((champion.version, champion.sha256), (candidate.champion, candidate.champion_sha256))
    challenger_beats_champion = (as_then and candidate.challenger_beats_champion) or (
        last is not None and (last.challenger_beats_champion or last.degraded)
    )
    return as_then and candidate.degraded, challenger_beats_champion


def _promote(settings: Settings, candidate: ShadowCandidate, champion: VersionInfo, found: Shadow, why: Text) -> Shadow:
    """By the confirmed way of every promotion; what the service does not take over is refused."""
    from ml import registry

    try:
        registry.promote(
            settings, candidate.version, who=WHO, why=why, run_key=candidate.run_key, sha256=candidate.sha256,
            expected_champion=champion.version, expected_sha256=champion.sha256,
            numbers={"shadow": shadow_slot.figures(found)},
        )  # fmt: skip
    except ChampionChanged:
        current = registry.champion(settings)
        now = (current.version, current.sha256) if current else ("", "")
        shadow_slot.again(settings, candidate, who=WHO, champion=now[0], sha256=now[1])
        return found
    except (PromotionError, BundleError) as error:
        # Unjudged, as the failed move counts already.
        return _refuse(
            settings,
            candidate,
            found,
            message("release.shadow_not_taken_over", error=error.explanation),
            unjudged=True,
            alert=True,
        )
    run_id = registry.version(settings, candidate.version).run_id
    tracking.log(settings, run_id, tags={"refit.promoted": candidate.version})
    return msgspec.structs.replace(found, state="promoted")


def _refuse(
    settings: Settings, candidate: ShadowCandidate, found: Shadow, why: Text, *, reasons: Sequence[Message] = (),
    unjudged: bool = False, alert: bool = False,
) -> Shadow:  # fmt: skip
    shadow_slot.refuse(settings, candidate, who=WHO, why=why, counted=found, reasons=reasons, unjudged=unjudged)
    if alert:
        alerts.send(settings, "refused in shadow", [why], version=candidate.version, champion=found.champion)
    return msgspec.structs.replace(found, state="refused")
