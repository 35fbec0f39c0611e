"""Promotion and the way back: the alias moves last, and every move is in the ledger before and after.

MLflow has no compare-and-swap on an alias, so every move happens under one lock, between two rows of the
ledger: the intention before, the outcome after. A process that is killed in between leaves an intention
that `reconcile` finishes or takes back; until then the alias points at a version that loads and passed its
own examples.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml import alerts
from ml.bundle.reader import Bundle
from ml.errors import BundleError, ChampionChanged, PromotionError, RegistryError
from ml.messages import Message, Text, message
from ml.registry import aliases, ledger
from ml.registry.aliases import CHAMPION, champion_now
from ml.registry.cache import download, fetch
from ml.registry.catalog import VersionInfo, version
from ml.registry.contract import before, border, changes, note_border, serving
from ml.registry.ledger import Event
from ml.registry.outside_moves import LOCK, notice_locked
from ml.registry.quarantine import quarantine, release
from ml.registry.rollout import Confirmation, verify
from ml.settings import Settings
from ml.storage import locks

Confirm = Callable[[Settings, str], Confirmation]


def promote(
    settings: Settings,
    number: str,
    *,
    who: str,
    why: Text,
    run_key: str = "",
    expected_champion: str | None = None,
    expected_sha256: str = "",
    sha256: str = "",
    force: bool = False,
    across: bool = False,
    numbers: dict[str, Any] | None = None,
    confirm_with: Confirm = verify,
) -> Event:
    """Make a version the champion, and wait until the service has taken it over.

    Parameters
    ----------
    expected_champion
        The version the challenger was judged against ("" for none). Another one by now is a refusal.
        None: not checked (a person's decision).
    expected_sha256, sha256
        Of the bundles of that version and of `number`, where they are known: another registry has the numbers too.
    force
        Also a quarantined version, whose quarantine is lifted, and one of another contract.
    across
        Also a version of another contract: callers will feel it, and a person has said so. The way back is not
        open by itself then: `previous` points at none.

    Returns
    -------
    The ledger's event. A version that serves already is answered with the event that made it so.

    Raises
    ------
    PromotionError
        Refused, or not confirmed: then the aliases are as they were.
    BundleError
        The version does not load or repeat its own examples: nothing was changed.
    RegistryError
        There is no such version, or this registry's of that number is another one: nothing was changed.
    """
    number = str(number)
    with locks.exclusive(settings, LOCK):
        reconcile_locked(settings, confirm_with)
        current = champion_now(settings)
        if current is None or current.version != number:
            notice_locked(settings)
        served = ledger.newest_move(settings)
        old, old_sha256 = (served.to_version, served.to_sha256) if served else ("", "")
        if current:
            old, old_sha256 = current.version, current.sha256
        info = version(settings, number, sha256)
        hashes = old_sha256, info.sha256
        if current is not None and old == number:
            return _already(settings, info, who, why, run_key, confirm_with)
        expected = (expected_champion or "", expected_sha256)
        if expected_champion is not None and not ledger.same((old, old_sha256), expected):
            reason = _champion_changed(number, expected[0], old)
            _outcome(settings, ledger.REFUSED, who, reason, old, number, run_key, hashes)
            raise ChampionChanged(reason)
        if info.quarantined and not force:
            reason = message("release.quarantined_needs_force", version=number, reason=info.quarantined)
            _outcome(settings, ledger.REFUSED, who, reason, old, number, run_key, hashes)
            raise PromotionError(reason)
        _check_loads(settings, info)
        really = (served.to_version, served.to_sha256) if served else (old, old_sha256)  # others may move the alias
        changed = border(settings, really[0], info, really[1])
        if changed and not (force or across):
            reason = message("release.changes_contract", version=number, changes=changed)
            _outcome(settings, ledger.REFUSED, who, reason, old, number, run_key, hashes)
            raise PromotionError(reason)
        if info.quarantined:
            release(settings, number, who=who, why=why)
        if ledger.same((old, old_sha256), (number, info.sha256)):
            old, hashes = "", ("", info.sha256)  # only the alias was lost
        intention = _outcome(settings, ledger.PROMOTING, who, why, old, number, run_key, hashes)
        return _move(settings, _intention(settings, intention), confirm_with, numbers or {}, changed)


def rollback(
    settings: Settings,
    to: str | None = None,
    *,
    who: str,
    why: Text,
    force: bool = False,
    confirm_with: Confirm = verify,
) -> Event:
    """Go back to the version that really served before (or to a named one), and quarantine the present one.

    Parameters
    ----------
    to
        A version; None: the newest that served before, is still there and is not quarantined.
    who, why
        For the ledger; `why` is also the reason of the quarantine.
    force
        Also to a version of another contract, which callers will feel; only one that is named.
    confirm_with
        Waits until the service has taken the version over.

    Raises
    ------
    PromotionError
        There is nothing to go back to, or the service did not take it over: then the aliases are as they were.
    BundleError
        The version to go back to does not load: nothing was changed.
    """
    with locks.exclusive(settings, LOCK):
        reconcile_locked(settings, confirm_with)
        notice_locked(settings)
        current = serving(settings, now=True)
        if current is None:
            raise PromotionError(message("release.no_champion"))
        target = version(settings, to) if to else before(settings, current.version)
        if target is None:
            raise PromotionError(_nothing_before(settings, current.version))
        if target.version == current.version:
            raise PromotionError(message("release.champion_already", version=target.version))
        _check_loads(settings, target)
        changed = changes(settings, current, target)
        if changed and not force:
            raise PromotionError(message("release.changes_contract", version=target.version, changes=changed))
        hashes = current.sha256, target.sha256
        intention = _outcome(settings, ledger.ROLLING_BACK, who, why, current.version, target.version, "", hashes)
        return _move(settings, _intention(settings, intention), confirm_with, {}, changed)


def reconcile(settings: Settings, confirm_with: Confirm = verify) -> Event | None:
    """Finish or take back a move of the alias that was cut short; returns its outcome, or None."""
    with locks.exclusive(settings, LOCK):
        return reconcile_locked(settings, confirm_with)


def reconcile_locked(settings: Settings, confirm_with: Confirm) -> Event | None:
    """`reconcile` for a caller that holds the lock."""
    intention = ledger.open_intention(settings)
    if intention is None:
        return None
    current = champion_now(settings)
    if current is None or current.version != intention.to_version:
        _outcome_of(settings, intention, failed=True, why=message("release.interrupted"))
    elif intention.is_to(current.version, current.sha256):
        with contextlib.suppress(PromotionError):
            changed = border(settings, intention.from_version, current, intention.from_sha256)
            return _move(settings, intention, confirm_with, {"interrupted": True}, changed)
    else:  # moved, and by now that number is another model's: it is not what was judged, and no move of anybody's
        _put_back(settings, intention.from_version)
        _outcome_of(settings, intention, failed=True, why=message("release.other_bundle", version=current.version))
    return ledger.events(settings, limit=1, what=ledger.MOVES)[0]


def _move(
    settings: Settings, intention: Event, confirm_with: Confirm, numbers: dict[str, Any], changed: list[Message]
) -> Event:
    """Move the alias, wait for the service, write the outcome; on failure put everything back.

    Where no service can have fetched the version, as the artifacts are out of reach, nothing was refused: the intention
    stays, and whoever comes next finishes it.

    `changed` is what callers feel of it: `previous` never stands on the other side of that by itself.
    """
    back = intention.what == ledger.ROLLING_BACK
    old, new = intention.from_version, intention.to_version
    aliases.set_alias(settings, CHAMPION, new)
    try:
        confirmation = confirm_with(settings, new)
    except PromotionError as error:
        _see_artifacts(settings, new)
        _put_back(settings, old)
        serves_on = message("release.serves_on", error=error.explanation, old=_named(old))
        with contextlib.suppress(RegistryError):  # deleted meanwhile
            if back and version(settings, old).quarantined:  # by a first try, which was cut short after it
                release(settings, old, who=intention.who, why=serves_on)
        why = message("release.failed", why=intention.because, error=error.explanation)
        _outcome_of(settings, intention, failed=True, why=why, numbers=numbers)
        raise PromotionError(serves_on) from error
    if back:
        # Where `previous` points after a rollback is where a second one would go: never at what was just left.
        why = message("release.rolled_back", version=new, reason=intention.because)
        quarantine(settings, old, who=intention.who, why=why)
        earlier = before(settings, new)
        aliases.set_previous(settings, earlier.version if earlier else "")
    elif old or changed:
        aliases.set_previous(settings, "" if changed else old)
    if confirmation.without:
        sentence = message("release.fleet_without", version=new, services=list(confirmation.without))
        alerts.send(settings, ledger.NOT_SERVED, [sentence], model_version=new)
    numbers = {**numbers, "workers": confirmation.workers, "confirmation": str(confirmation.note)}
    outcome = _outcome_of(settings, intention, failed=False, why=intention.because, numbers=numbers)
    if changed:
        note_border(settings, outcome, intention.who, old, new, changed)
    return ledger.events(settings, limit=1, what=ledger.MOVES)[0]


def _see_artifacts(settings: Settings, number: str) -> None:
    """Fetch a version once more, as a service would.

    Raises
    ------
    RegistryUnavailable
        The registry or its artifacts are out of reach.
    """
    with contextlib.suppress(BundleError, RegistryError), tempfile.TemporaryDirectory() as folder:
        fetch(settings, version(settings, number), Path(folder))


def _outcome_of(
    settings: Settings, intention: Event, *, failed: bool, why: Text, numbers: dict[str, Any] | None = None
) -> int:
    kinds = {
        (ledger.PROMOTING, False): ledger.PROMOTED,
        (ledger.PROMOTING, True): ledger.PROMOTION_FAILED,
        (ledger.ROLLING_BACK, False): ledger.ROLLED_BACK,
        (ledger.ROLLING_BACK, True): ledger.ROLLBACK_FAILED,
    }
    return ledger.append(
        settings,
        kinds[intention.what, failed],
        who=intention.who,
        why=why,
        from_version=intention.from_version,
        to_version=intention.to_version,
        from_sha256=intention.from_sha256,
        to_sha256=intention.to_sha256,
        run_key=intention.run_key,
        intention=intention.id,
        numbers=numbers,
    )


def _outcome(
    settings: Settings, what: str, who: str, why: Text, old: str, new: str, run_key: str,
    hashes: tuple[str, str] = ("", ""),
) -> int:  # fmt: skip
    return ledger.append(
        settings, what, who=who, why=why, from_version=old, to_version=new, run_key=run_key,
        from_sha256=hashes[0], to_sha256=hashes[1],
    )  # fmt: skip


def _intention(settings: Settings, number: int) -> Event:
    found = ledger.open_intention(settings)
    if found is None or found.id != number:  # the lock makes this impossible
        raise RegistryError(message("ledger.no_intention"))
    return found


def _already(settings: Settings, info: VersionInfo, who: str, why: Text, run_key: str, confirm_with: Confirm) -> Event:
    newest = ledger.newest_move(settings)
    if newest is not None and newest.is_to(info.version, info.sha256):
        return newest
    # The alias was set by hand, in MLflow's own pages: the ledger says "promoted" only of what loads and serves.
    _check_loads(settings, info)
    confirm_with(settings, info.version)
    found_set, hashes = message("release.alias_found_set", reason=why), ("", info.sha256)
    _outcome(settings, ledger.PROMOTED, who, found_set, "", info.version, run_key, hashes)
    return ledger.events(settings, limit=1, what=ledger.MOVES)[0]


def _put_back(settings: Settings, old: str) -> None:
    """Point the alias where it was; at none where that version was deleted meanwhile."""
    try:
        aliases.set_alias(settings, CHAMPION, old)
    except RegistryError:
        aliases.set_alias(settings, CHAMPION, "")


def _nothing_before(settings: Settings, current: str) -> Message:
    now = version(settings, current)
    before = ledger.served_before(settings, current, now.sha256)
    other, sha256 = next((one for one in before if border(settings, one[0], now, one[1])), ("", ""))
    if other and not _is_gone(settings, other, sha256):
        felt = changes(settings, now, version(settings, other, sha256))
        return message("release.nothing_within_contract", version=current, other=other, changes=felt)
    return message("release.nothing_to_go_back_to", version=current)


def _is_gone(settings: Settings, number: str, sha256: str) -> bool:
    try:
        return bool(version(settings, number, sha256).quarantined)
    except RegistryError:
        return True


def _check_loads(settings: Settings, info: VersionInfo) -> None:
    Bundle.open(download(settings, info), sha256=info.sha256).self_check()


def _champion_changed(number: str, expected: str, now: str) -> Message:
    if expected == now:
        return message("release.champion_another", version=number, old=now)
    return message("release.champion_changed", version=number, old=_named(expected), now=_named(now))


def _named(number: str) -> Message:
    return message("release.version", number=number) if number else message("release.no_version")
