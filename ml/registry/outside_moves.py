"""Outside moves: promotions and rollbacks that were made in MLflow's registry.

The alias was moved there, by hand or by another program.
`python -m ml.registry.outside_moves` looks once: the service's follower starts it when it sees a move that the ledger
does not know. Every promotion, rollback and drift check looks too, so whoever comes first records it, once.
"""

from __future__ import annotations

import contextlib

from ml import alerts
from ml.bundle.reader import Bundle
from ml.errors import BundleError, RegistryError
from ml.messages import Message, message
from ml.registry import aliases, ledger
from ml.registry.aliases import champion, champion_now
from ml.registry.cache import download
from ml.registry.catalog import VERDICT, VersionInfo, version
from ml.registry.contract import before, border, note_border
from ml.registry.ledger import Event
from ml.registry.quarantine import quarantine, release
from ml.settings import Settings, load
from ml.storage import locks

LOCK = "promotion"  # around every move of the alias
MOVED = "moved in MLflow"  # an alert's kind
IN_MLFLOW = "in MLflow's registry"  # who and where, as far as MLflow knows: an alias has no author


def notice(settings: Settings) -> Event | None:
    """Record a move of the alias that was made in MLflow's registry; None where there is none that is not known.

    A promotion or a rollback there is one: `previous` follows it, it is watched in the bake, and people are told when
    the version had been refused, quarantined or never judged, or serves other columns. An alias that was deleted is
    told too: what served, serves on.
    """
    with locks.exclusive(settings, LOCK):
        return notice_locked(settings)


def notice_locked(settings: Settings) -> Event | None:
    """`notice` for a caller that holds the lock."""
    if ledger.open_intention(settings) is not None:
        return None  # a move of our own
    current, newest = champion(settings), ledger.newest_move(settings)
    if not (current is not None and newest is not None and newest.is_to(current.version, current.sha256)):
        current = champion_now(settings)  # an old answer is no move
    served, served_sha256 = (newest.to_version, newest.to_sha256) if newest is not None else ("", "")
    if current is None:
        return _gone(settings, served, served_sha256) if served else None
    if (newest is not None and newest.is_to(current.version, current.sha256)) or not _loads(settings, current):
        return None  # what does not load does not serve: the follower tells of it
    before = ledger.served_before(settings, served, served_sha256)
    # One that a rollback has left is quarantined: back on it is that rollback undone, which quarantines nothing.
    back = not current.quarantined and any(ledger.same(one, (current.version, current.sha256)) for one in before)
    changed = border(settings, served, current, served_sha256)
    doubts = [message("release.other_bundle", version=served)] if current.version == served else []
    doubts += _doubts(current) + ([message("release.alters", changes=changed)] if changed else [])
    why = message("release.moved_with_doubts", doubts=doubts) if doubts else message("release.moved_in_mlflow")
    # Before the row, which ends the search for this move: whatever is cut short here is done again.
    _follow(settings, (served, served_sha256), current, changed, back=back)
    row = ledger.append(
        settings, ledger.ROLLED_BACK if back else ledger.PROMOTED, who=IN_MLFLOW, why=why, from_version=served,
        to_version=current.version, from_sha256=served_sha256, to_sha256=current.sha256, run_key=current.run_key,
        numbers={"in_mlflow": True, "doubts": [str(doubt) for doubt in doubts]},
    )  # fmt: skip
    if changed:
        note_border(settings, row, IN_MLFLOW, served, current.version, changed)
    if doubts and served:
        told = message("release.of_version", version=current.version, reason=why)
        alerts.send(settings, MOVED, [told], model_version=current.version)
    return next(event for event in ledger.events(settings, limit=5, what=ledger.SERVED) if event.id == row)


def _loads(settings: Settings, info: VersionInfo) -> bool:
    try:
        Bundle.open(download(settings, info), sha256=info.sha256).self_check()
    except BundleError:
        return False
    return True


def _follow(
    settings: Settings, served: tuple[str, str], current: VersionInfo, changed: list[Message], *, back: bool
) -> None:
    """What our own promotion or rollback does after the alias has moved; `served` is number and hash."""
    if current.quarantined:
        release(settings, current.version, who=IN_MLFLOW, why=message("release.moved_in_mlflow"))
    if back:
        with contextlib.suppress(RegistryError):  # deleted meanwhile
            why = message("release.rolled_back", version=current.version, reason=message("release.moved_in_mlflow"))
            quarantine(settings, version(settings, *served).version, who=IN_MLFLOW, why=why)
        earlier = before(settings, current.version)
        aliases.set_previous(settings, earlier.version if earlier else "")
    elif served[0]:
        try:
            aliases.set_previous(settings, "" if changed else version(settings, *served).version)
        except RegistryError:
            aliases.set_previous(settings, "")


def _doubts(info: VersionInfo) -> list[Message]:
    """What people should hear of a version that was promoted past the gate."""
    messages = [message("release.was_quarantined", reason=info.quarantined)] if info.quarantined else []
    if info.tags.get(VERDICT) == "refused":
        messages.append(message("release.was_refused", verdict=info.sentence))
    elif not info.tags.get(VERDICT):
        messages.append(message("release.never_judged"))
    return messages


def _gone(settings: Settings, served: str, sha256: str) -> Event | None:
    """Tell once that the alias, or its version, was deleted."""
    newest = ledger.events(settings, limit=1, what=[*ledger.SERVED, ledger.ALIAS_GONE])[0]
    if newest.what == ledger.ALIAS_GONE:
        return None
    try:
        version(settings, served, sha256)
        why = message("release.alias_deleted", version=served)
    except RegistryError:
        why = message("release.serving_deleted", version=served)
    ledger.append(settings, ledger.ALIAS_GONE, who=IN_MLFLOW, why=why, from_version=served, from_sha256=sha256)
    alerts.send(settings, ledger.ALIAS_GONE, [why], model_version=served)
    return ledger.events(settings, limit=1, what=[ledger.ALIAS_GONE])[0]


if __name__ == "__main__":
    notice(load())
