"""The contract that is in force: that of the champion, also where its bundle or its alias is lost.

It stands in the champion's bundle. Where that cannot be loaded, the snapshot that the champion was made from tells it
too; where neither can be read the contract is not known, which is never the same as there being none.
"""

from __future__ import annotations

import msgspec

from ml.bundle.reader import Bundle
from ml.bundle.signature import SignatureError
from ml.errors import BundleError, DataError, RegistryError
from ml.messages import Message, message
from ml.registry import ledger
from ml.registry.aliases import champion, champion_now
from ml.registry.cache import download
from ml.registry.catalog import CONTRACT, SNAPSHOT, VersionInfo, version
from ml.schema.schema import Schema, contract_changes
from ml.settings import Settings


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a version takes and answers, and the snapshot that it was made from ("" where it does not say)."""

    version: str
    schema: Schema
    snapshot: str


def serving(settings: Settings, *, now: bool = False) -> VersionInfo | None:
    """The champion; where the alias was deleted in MLflow, the version that the ledger knows to serve on.

    Parameters
    ----------
    now
        At this very moment, for whoever moves the alias (`aliases.champion_now`).

    Raises
    ------
    RegistryError
        That version was deleted as well: it serves on, and nothing can be compared with it.
    """
    info = champion_now(settings) if now else champion(settings)
    newest = ledger.newest_move(settings) if info is None else None
    if newest is None:
        return info
    try:
        return version(settings, newest.to_version, newest.to_sha256)
    except RegistryError as error:
        raise RegistryError(message("release.serving_deleted", version=newest.to_version)) from error


def changes(settings: Settings, old: VersionInfo, new: VersionInfo) -> list[Message]:
    """What callers would feel of one version in the place of another; empty within one contract.

    Where a version cannot be loaded, so that it is not known, that is a change too.
    """
    known = old.tags.get(CONTRACT, "")
    if known and known == new.tags.get(CONTRACT, ""):
        return []
    try:
        return contract_changes(*(of(settings, info).schema for info in (old, new)))
    except RegistryError as error:
        return [message("release.contract_not_known", error=error.explanation)]


def in_force(settings: Settings) -> Contract | None:
    """The contract that later tables must fit; None before the first champion.

    Raises
    ------
    RegistryError
        There is a champion, and its contract cannot be read any more.
    """
    info = serving(settings)
    return None if info is None else of(settings, info)


def of(settings: Settings, info: VersionInfo) -> Contract:
    """The contract of a registered version.

    Raises
    ------
    RegistryError
        Neither its bundle nor its snapshot can be read.
    """
    from ml.data import snapshot  # pandas, which the log shipper and the DAG files do not load

    made_from = info.tags.get(SNAPSHOT, "")
    try:
        bundle = Bundle.open(download(settings, info), sha256=info.sha256)
        return Contract(
            version=info.version, schema=bundle.schema, snapshot=made_from or str(bundle.metrics.get("snapshot") or "")
        )
    except (BundleError, RegistryError) as damaged:
        try:
            schema = snapshot.open(settings, made_from).schema
        except DataError:
            raise RegistryError(
                message("release.contract_lost", version=info.version, error=damaged.explanation)
            ) from damaged
        return Contract(version=info.version, schema=schema, snapshot=made_from)


def border(settings: Settings, old: str, info: VersionInfo, old_sha256: str = "") -> list[Message]:
    """What callers would feel of a version in the place of the one that serves ("" for none).

    Parameters
    ----------
    old, old_sha256
        The version that serves, and the hash of its bundle.
    info
        The one to take its place.
    """
    if not old or ledger.same((old, old_sha256), (info.version, info.sha256)):
        return []
    try:
        return changes(settings, version(settings, old, old_sha256), info)
    except RegistryError:
        return [message("release.serving_deleted", version=old)]


def is_signed(settings: Settings, info: VersionInfo) -> bool:
    """False for what the alias only seemed to be on: set by hand, and never served."""
    try:
        download(settings, info)
    except SignatureError:
        return False
    except BundleError:
        pass
    return True


def before(settings: Settings, current: str) -> VersionInfo | None:
    """The version that served last before `current`, of those of its contract that are there and not quarantined."""
    now = version(settings, current)
    for number, sha256 in ledger.served_before(settings, current, now.sha256):
        try:
            info = version(settings, number, sha256)
        except RegistryError:
            continue  # deleted since, or another registry's
        changed = [change.code for change in changes(settings, now, info)]
        if (
            not info.quarantined and is_signed(settings, info) and changed in ([], ["release.contract_not_known"])
        ):  # that one, loading it will tell
            return info
    return None


def note_border(settings: Settings, move: int, who: str, old: str, new: str, changed: list[Message]) -> None:
    """The event at which comparison, history and the way back stop, in a row of its own after that of the move.

    Parameters
    ----------
    move
        Number of the ledger's row of the move.
    old, new
        Versions before and after.
    changed
        What callers feel (`changes`).
    """
    ledger.append(
        settings, ledger.NEW_CONTRACT, who=who, why=message("release.contract", changes=changed), from_version=old,
        to_version=new, numbers={"move": move, "changes": [str(change) for change in changed]},
    )  # fmt: skip
