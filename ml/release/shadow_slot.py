"""The shadow slot holds the challenger that waits: it passed the gate, and proves itself on live rows before it serves.

The ledger decides who waits: the newest row "in shadow" that no later row of the same version ends. MLflow's alias
`shadow` follows it (`follow`), so a process that is killed between the two leaves nothing that the next look does not
put right. One waits at a time, and the first comes first: if every newer challenger began the wait anew, frequent
retrainings and late labels would never let one be judged. Only one made because the champion has degraded takes the
place of one that knows nothing of that.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ml.drift.verdict import Shadow
from ml.errors import RegistryError
from ml.messages import Text, code_of, message
from ml.registry import ledger
from ml.registry.ledger import Event
from ml.settings import Settings
from ml.storage import locks

LOCK = "shadow"  # held around every change of who waits; taken before the lock of a promotion, never after
UNJUDGED = "unjudged"  # in a refusal's numbers: it says nothing about the challenger's quality


class ShadowCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """The challenger in the shadow slot. `since` is when it came, seconds; `champion` is the version that served then.

    `degraded` and `challenger_beats_champion` are what was known of that champion (`ml.gate.rules.judge`).
    """

    version: str
    run_key: str
    champion: str
    since: float
    sha256: str = ""  # of its bundle; "" where the ledger does not have it
    champion_sha256: str = ""
    degraded: bool = False
    challenger_beats_champion: bool = False


def find(settings: Settings) -> ShadowCandidate | None:
    """The challenger that waits in shadow, or None: from the database alone.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    entry = next(iter(ledger.events(settings, limit=1, what=[ledger.SHADOW])), None)
    if entry is None or _end(settings, entry) is not None:
        return None
    known = entry.numbers
    return ShadowCandidate(
        version=entry.to_version,
        sha256=entry.to_sha256,
        run_key=entry.run_key,
        champion=entry.from_version,
        champion_sha256=entry.from_sha256,
        since=float(known.get("since", entry.time)),
        degraded=bool(known.get("degraded")),
        challenger_beats_champion=bool(known.get("challenger_beats_champion")),
    )


def any_ever(settings: Settings) -> bool:
    """Whether a challenger has ever waited: without one there is nothing to follow in MLflow."""
    return bool(ledger.events(settings, limit=1, what=[ledger.SHADOW]))


def enter(
    settings: Settings,
    version: str,
    *,
    who: str,
    why: Text,
    run_key: str,
    champion: str,
    degraded: bool,
    challenger_beats_champion: bool,
    sha256: str,
    champion_sha256: str,
) -> Event:
    """Let a version wait in shadow; a second call finds what became of the first.

    Parameters
    ----------
    who, why, run_key
        For the ledger.
    champion
        The version that serves now, which it is to be held against.
    sha256, champion_sha256
        Of the bundles of the version and of the champion.
    degraded, challenger_beats_champion
        What the gate knew of the champion (`gate.rules.judge`): kept with the wait.

    Returns
    -------
    The ledger's event: "in shadow", or "refused" where another one waits, or how a wait that is over has ended.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        The call may be made again.
    """
    with locks.exclusive(settings, LOCK):
        event = _past(settings, version, sha256)
        if event is None:
            occupant = ShadowCandidate(
                version=version,
                run_key=run_key,
                champion=champion,
                since=0.0,
                sha256=sha256,
                champion_sha256=champion_sha256,
                degraded=degraded,
                challenger_beats_champion=challenger_beats_champion,
            )
            event = _enter(settings, occupant, who, why)
        if event.what == ledger.REFUSED:
            _note_refusal(settings, version, event.because)
        follow(settings)
    return event


def again(settings: Settings, candidate: ShadowCandidate, *, who: str, champion: str, sha256: str) -> None:
    """Wait on, judged against another champion now; the time it has waited counts. For a holder of the lock.

    Parameters
    ----------
    champion, sha256
        The version that is to be beaten from now on, and the hash of its bundle.
    """
    numbers: dict[str, object] = {"since": candidate.since, "degraded": False, "challenger_beats_champion": False}
    why = message("release.shadow_other_champion", version=champion)
    other = msgspec.structs.replace(candidate, champion=champion, champion_sha256=sha256)
    _append(settings, ledger.SHADOW, other, who, why, numbers)


def found_serving(settings: Settings, candidate: ShadowCandidate, *, who: str) -> None:
    """End the wait of a version whose alias was set by hand, in MLflow's own pages: the ledger knows from now on."""
    why = message("release.shadow_alias_found_set")
    _append(settings, ledger.PROMOTED, candidate, who, why, {})


def refuse(
    settings: Settings, candidate: ShadowCandidate, *, who: str, why: Text, counted: Shadow | None = None,
    reasons: Sequence[Text] = (), unjudged: bool = False,
) -> None:  # fmt: skip
    """End the wait without a promotion. For a holder of the lock, who calls `follow` then.

    Parameters
    ----------
    counted
        How it stood; None where it was never looked at.
    reasons
        The gate's, where it was asked.
    unjudged
        The refusal says nothing about the challenger's quality.
    """
    numbers: dict[str, object] = {"shadow": True} | (figures(counted) if counted else {})
    if reasons:
        numbers |= {"reasons": [str(reason) for reason in reasons], "codes": [code_of(reason) for reason in reasons]}
    numbers |= {UNJUDGED: True} if unjudged else {}
    _append(settings, ledger.REFUSED, candidate, who, why, numbers)


def figures(counted: Shadow) -> dict[str, object]:
    """What the ledger keeps of how a challenger stood."""
    names = ("rows", "needed", "accuracy", "champion_accuracy", "agreement")
    return {name: getattr(counted, name) for name in names}


def follow(settings: Settings) -> None:
    """Bring MLflow in line with the ledger: the alias, and the verdict of the version that it leaves."""
    from ml import registry

    candidate, current = find(settings), registry.by_alias(settings, registry.SHADOW)
    wanted = candidate.version if candidate is not None and _is_here(settings, candidate) else ""
    if current is not None and current.version != wanted:
        left = _past(settings, current.version, current.sha256)
        if left is not None and left.what == ledger.REFUSED:
            _note_refusal(settings, current.version, left.because)
    registry.set_shadow(settings, wanted)


def needed(settings: Settings) -> int:
    """Labelled live rows that the gate is asked on: never fewer than it judges on at all."""
    return max(settings.gate.shadow_rows, settings.gate.min_rows)


def _enter(settings: Settings, candidate: ShadowCandidate, who: str, why: Text) -> Event:
    older = find(settings)
    if older is not None and not (candidate.degraded and not older.degraded):
        reason = message("release.shadow_taken", version=older.version)
        refuse(settings, candidate, who=who, why=reason, unjudged=True)
        return ledger.events(settings, limit=1, what=[ledger.REFUSED])[0]
    if older is not None:
        reason = message("release.shadow_replaced", version=candidate.version)
        refuse(settings, older, who=who, why=reason, unjudged=True)
    numbers: dict[str, object] = {
        "degraded": candidate.degraded,
        "challenger_beats_champion": candidate.challenger_beats_champion,
    }
    _append(settings, ledger.SHADOW, candidate, who, why, numbers)
    return ledger.events(settings, limit=1, what=[ledger.SHADOW])[0]


def _is_here(settings: Settings, candidate: ShadowCandidate) -> bool:
    """False where it was deleted, or this registry's version of its number is another one: the next look refuses it."""
    from ml import registry

    try:
        registry.version(settings, candidate.version, candidate.sha256)
    except RegistryError:
        return False
    return True


def _past(settings: Settings, version: str, sha256: str) -> Event | None:
    """The newest that happened to a version in shadow: it waits, or how its wait ended; None where it never came."""
    for event in ledger.events(settings, what=[ledger.SHADOW, ledger.REFUSED]):
        if not event.is_to(version, sha256):
            continue
        if event.what == ledger.SHADOW:
            return _end(settings, event) or event
        if event.numbers.get("shadow"):
            return event
    return None


def _end(settings: Settings, entry: Event) -> Event | None:
    """What ended a wait: the version was refused, or serves. A move that failed does not, it may be tried again."""
    events = ledger.events(settings, what=[ledger.REFUSED, ledger.PROMOTED])  # newest first
    return next((e for e in reversed(events) if e.id > entry.id and e.is_to(entry.to_version, entry.to_sha256)), None)


def _append(
    settings: Settings, what: str, candidate: ShadowCandidate, who: str, why: Text, numbers: dict[str, object]
) -> None:
    ledger.append(
        settings, what, who=who, why=why, from_version=candidate.champion, from_sha256=candidate.champion_sha256,
        to_version=candidate.version, to_sha256=candidate.sha256, run_key=candidate.run_key, numbers=numbers,
    )  # fmt: skip


def _note_refusal(settings: Settings, version: str, why: Text) -> None:
    from ml import registry

    registry.note_verdict(settings, version, "refused", why)
