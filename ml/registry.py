"""The model registry: versions, the aliases `champion` and `previous`, promotion and the way back.

The one module that talks to MLflow's registry. A version is one bundle; its SHA-256 is kept as a tag, and
nothing is used that does not hash to it. A challenger that the gate refused is registered too, so that
people can look at it: its tag `refit.verdict` says `refused`, and no alias points at it.

MLflow has no compare-and-swap on an alias, so every move happens under one lock, between two rows of the
ledger: the intention before, the outcome after. A process that is killed in between leaves an intention
that `reconcile` finishes or takes back; until then the alias points at a version that loads and passed its
own examples.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ml import bundle, ledger, locks, tracking
from ml.bundle import Bundle
from ml.confirm import Confirmation, confirm
from ml.errors import BundleError, ChampionChanged, PromotionError, RegistryError
from ml.ledger import Event
from ml.settings import Settings

CHAMPION = "champion"
PREVIOUS = "previous"
SHA256 = "refit.sha256"
VERDICT = "refit.verdict"
SENTENCE = "refit.sentence"
QUARANTINED = "refit.quarantined"
LOCK = "promotion"
BUNDLE_IN_MODEL = "artifacts/bundle"  # where the pyfunc flavour keeps it

Confirm = Callable[[Settings, str], Confirmation]


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. `created` is seconds since 1970 UTC; `quarantined` is the reason or ""."""

    version: str
    run_id: str
    source: str
    created: float
    tags: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the bundle."""
        return self.tags.get(SHA256, "")

    @property
    def run_key(self) -> str:
        """The run that made it."""
        return self.tags.get(tracking.RUN_KEY, "")

    @property
    def quarantined(self) -> str:
        """Why it must not be promoted again by itself; "" where it may."""
        return self.tags.get(QUARANTINED, "")


def register(
    settings: Settings,
    *,
    model_uri: str,
    run_id: str,
    run_key: str,
    sha256: str,
    tags: dict[str, str] | None = None,
    description: str = "",
) -> VersionInfo:
    """Make a version of a logged model; a second call for the same run key finds the first one's version.

    Raises
    ------
    RegistryUnavailable
        The registry does not answer; the call may be made again.
    """
    name, found = settings.registry.model_name, tracking.client(settings)
    with locks.exclusive(settings, f"register-{run_key}"), tracking.errors(tracking.uri(settings)):
        _ensure_model(settings)
        for existing in _of_run(settings, run_id, run_key):
            if existing.sha256 == sha256:
                for key, value in (tags or {}).items():  # judged again since: the newest verdict stands
                    if existing.tags.get(key) != value:
                        found.set_model_version_tag(name, existing.version, key, value)
                return version(settings, existing.version)
        made = found.create_model_version(
            name,
            model_uri,
            run_id=run_id,
            tags={tracking.RUN_KEY: run_key, SHA256: sha256, **(tags or {})},
            description=description or None,
            await_creation_for=60,
            # A server refuses a `models:/m-…` source that does not come with the id in it.
            model_id=model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None,
        )
        return version(settings, str(made.version))


def of_run(settings: Settings, run_id: str, run_key: str) -> VersionInfo | None:
    """The newest version that a run registered, or None."""
    with tracking.errors(tracking.uri(settings)):
        return next(iter(_of_run(settings, run_id, run_key)), None)


def _of_run(settings: Settings, run_id: str, run_key: str) -> list[VersionInfo]:
    wanted = f"name = '{settings.registry.model_name}' and run_id = '{run_id}'"
    found = [_info(v) for v in tracking.client(settings).search_model_versions(wanted)]
    return sorted((v for v in found if v.run_key == run_key), key=lambda v: -int(v.version))


def champion(settings: Settings) -> VersionInfo | None:
    """The version that serves, or None."""
    return by_alias(settings, CHAMPION)


def by_alias(settings: Settings, alias: str) -> VersionInfo | None:
    """The version an alias points at, or None where there is no such alias or no model yet."""
    from mlflow.exceptions import MlflowException

    with tracking.errors(tracking.uri(settings)):
        try:
            return _info(tracking.client(settings).get_model_version_by_alias(settings.registry.model_name, alias))
        except MlflowException as error:  # 400 for a missing alias, 404 for a missing model
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                return None
            raise


def version(settings: Settings, number: str) -> VersionInfo:
    """One version.

    Raises
    ------
    RegistryError
        There is no such version.
    """
    with tracking.errors(tracking.uri(settings)):
        return _info(tracking.client(settings).get_model_version(settings.registry.model_name, str(number)))


def versions(settings: Settings, *, limit: int = 100) -> list[VersionInfo]:
    """The newest versions, newest first."""
    with tracking.errors(tracking.uri(settings)):
        found = tracking.client(settings).search_model_versions(
            f"name = '{settings.registry.model_name}'", max_results=limit, order_by=["version_number DESC"]
        )
        return [_info(v) for v in found]


def download(settings: Settings, info: VersionInfo, into: Path | None = None) -> Path:
    """A version's bundle on this machine, verified against the hash that the registry keeps.

    Parameters
    ----------
    into
        Folder of bundles by hash; by default `var/cache/bundles`. What is there and verifies is not loaded again.

    Raises
    ------
    BundleError
        What came is not what was registered.
    """
    if not info.sha256:
        raise BundleError(f"version {info.version} has no tag {SHA256}: it was not registered by Refit")
    folder = into or settings.var / "cache" / "bundles"
    target = folder / info.sha256
    if target.is_dir():
        try:
            bundle.verify(target, info.sha256)
            return target
        except BundleError:
            shutil.rmtree(target)  # half a copy of another time, or a damaged disk: load it again
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as temporary:
        loaded = _fetch(settings, info, Path(temporary))
        bundle.verify(loaded, info.sha256)
        with contextlib.suppress(OSError):  # another process was faster: the content is the same
            loaded.rename(target)
    bundle.verify(target, info.sha256)
    return target


def promote(
    settings: Settings,
    number: str,
    *,
    who: str,
    why: str,
    run_key: str = "",
    expected_champion: str | None = None,
    force: bool = False,
    numbers: dict[str, Any] | None = None,
    confirm_with: Confirm = confirm,
) -> Event:
    """Make a version the champion, and wait until the service has taken it over.

    Parameters
    ----------
    expected_champion
        The version the challenger was judged against ("" for none). Another one by now is a refusal.
        None: not checked (a person's decision).
    force
        Also a quarantined version; the quarantine is lifted.

    Returns
    -------
    The ledger's event. A version that serves already is answered with the event that made it so.

    Raises
    ------
    PromotionError
        Refused, or not confirmed: then the aliases are as they were.
    BundleError
        The version does not load or repeat its own examples: nothing was changed.
    """
    number = str(number)
    with locks.exclusive(settings, LOCK):
        reconcile_locked(settings, confirm_with)
        current = champion(settings)
        old = current.version if current else ""
        info = version(settings, number)
        if old == number:
            return _already(settings, number, who, why, run_key)
        if expected_champion is not None and old != expected_champion:
            reason = (
                f"version {number} was judged against {_named(expected_champion)}, but by now {_named(old)} serves: "
                "run the evaluation again"
            )
            _outcome(settings, ledger.REFUSED, None, who, reason, old, number, run_key)
            raise ChampionChanged(reason)
        if info.quarantined and not force:
            reason = f"version {number} is quarantined ({info.quarantined}); promote it with force to lift that"
            _outcome(settings, ledger.REFUSED, None, who, reason, old, number, run_key)
            raise PromotionError(reason)
        _check_loads(settings, info)
        if info.quarantined:
            release(settings, number, who=who, why=why)
        intention = _outcome(settings, ledger.PROMOTING, None, who, why, old, number, run_key)
        return _move(settings, _intention(settings, intention), confirm_with, numbers or {})


def rollback(
    settings: Settings, to: str | None = None, *, who: str, why: str, confirm_with: Confirm = confirm
) -> Event:
    """Go back to the version that really served before (or to a named one), and quarantine the present one.

    Raises
    ------
    PromotionError
        There is nothing to go back to, or the service did not take it over: then the aliases are as they were.
    BundleError
        The version to go back to does not load: nothing was changed.
    """
    with locks.exclusive(settings, LOCK):
        reconcile_locked(settings, confirm_with)
        current = champion(settings)
        if current is None:
            raise PromotionError("there is no champion to roll back from")
        target = version(settings, to) if to else _before(settings, current.version)
        if target.version == current.version:
            raise PromotionError(f"version {target.version} is the champion already")
        _check_loads(settings, target)
        intention = _outcome(settings, ledger.ROLLING_BACK, None, who, why, current.version, target.version, "")
        return _move(settings, _intention(settings, intention), confirm_with, {})


def reconcile(settings: Settings, confirm_with: Confirm = confirm) -> Event | None:
    """Finish or take back a move of the alias that was cut short; returns its outcome, or None."""
    with locks.exclusive(settings, LOCK):
        return reconcile_locked(settings, confirm_with)


def reconcile_locked(settings: Settings, confirm_with: Confirm) -> Event | None:
    """`reconcile` for a caller that holds the lock."""
    intention = ledger.open_intention(settings)
    if intention is None:
        return None
    current = champion(settings)
    if current is not None and current.version == intention.to_version:
        with contextlib.suppress(PromotionError):
            return _move(settings, intention, confirm_with, {"interrupted": True})
    else:
        _outcome_of(
            settings, intention, failed=True, why="interrupted before the alias moved, or after it was put back"
        )
    return ledger.events(settings, limit=1)[0]


def quarantine(settings: Settings, number: str, *, who: str, why: str) -> None:
    """Keep a version from being promoted again by itself."""
    with tracking.errors(tracking.uri(settings)):
        tracking.client(settings).set_model_version_tag(settings.registry.model_name, number, QUARANTINED, why or "yes")
    _outcome(settings, ledger.QUARANTINED, None, who, why, number, "", "")


def release(settings: Settings, number: str, *, who: str, why: str) -> None:
    """Lift a quarantine."""
    with tracking.errors(tracking.uri(settings)):
        tracking.client(settings).delete_model_version_tag(settings.registry.model_name, number, QUARANTINED)
    _outcome(settings, ledger.RELEASED, None, who, why, number, "", "")


def _move(settings: Settings, intention: Event, confirm_with: Confirm, numbers: dict[str, Any]) -> Event:
    """Move the alias, wait for the service, write the outcome; on failure put everything back."""
    back = intention.what == ledger.ROLLING_BACK
    old, new = intention.from_version, intention.to_version
    _set_alias(settings, CHAMPION, new)
    try:
        confirmation = confirm_with(settings, new)
    except PromotionError as error:
        _set_alias(settings, CHAMPION, old)
        _outcome_of(settings, intention, failed=True, why=f"{intention.why}: {error}", numbers=numbers)
        raise PromotionError(f"{error}; {_named(old)} serves on") from error
    if back:
        # Where `previous` points after a rollback is where a second one would go: never at what was just left.
        quarantine(settings, old, who=intention.who, why=f"rolled back to version {new}: {intention.why}")
        _set_previous(settings, next(iter(ledger.served_before(settings, new)), ""), unless=old)
    else:
        _set_previous(settings, old)
    numbers = {**numbers, "workers": confirmation.workers, "confirmation": confirmation.note}
    _outcome_of(settings, intention, failed=False, why=intention.why, numbers=numbers)
    return ledger.events(settings, limit=1)[0]


def _outcome_of(
    settings: Settings, intention: Event, *, failed: bool, why: str, numbers: dict[str, Any] | None = None
) -> None:
    kinds = {
        (ledger.PROMOTING, False): ledger.PROMOTED,
        (ledger.PROMOTING, True): ledger.PROMOTION_FAILED,
        (ledger.ROLLING_BACK, False): ledger.ROLLED_BACK,
        (ledger.ROLLING_BACK, True): ledger.ROLLBACK_FAILED,
    }
    ledger.append(
        settings,
        kinds[intention.what, failed],
        who=intention.who,
        why=why,
        from_version=intention.from_version,
        to_version=intention.to_version,
        run_key=intention.run_key,
        intention=intention.id,
        numbers=numbers,
    )


def _outcome(
    settings: Settings, what: str, intention: int | None, who: str, why: str, old: str, new: str, run_key: str
) -> int:
    return ledger.append(
        settings, what, who=who, why=why, from_version=old, to_version=new, run_key=run_key, intention=intention
    )


def _intention(settings: Settings, number: int) -> Event:
    found = ledger.open_intention(settings)
    if found is None or found.id != number:  # the lock makes this impossible
        raise RegistryError("the ledger does not hold the intention that was just written")
    return found


def _already(settings: Settings, number: str, who: str, why: str, run_key: str) -> Event:
    for event in ledger.events(settings, what=ledger.SERVED):
        if event.to_version == number:
            return event
    # The alias was set by hand, in MLflow's own pages: from now on the ledger knows.
    _outcome(settings, ledger.PROMOTED, None, who, f"{why} (alias found set already)", "", number, run_key)
    return ledger.events(settings, limit=1)[0]


def _before(settings: Settings, current: str) -> VersionInfo:
    for number in ledger.served_before(settings, current):
        try:
            found = version(settings, number)
        except RegistryError:
            continue  # deleted since
        if not found.quarantined:
            return found
    raise PromotionError(f"no version served before version {current}: there is nothing to go back to")


def _check_loads(settings: Settings, info: VersionInfo) -> None:
    Bundle.open(download(settings, info), sha256=info.sha256).self_check()


def _set_alias(settings: Settings, alias: str, number: str) -> None:
    found, name = tracking.client(settings), settings.registry.model_name
    with tracking.errors(tracking.uri(settings)):
        if number:
            found.set_registered_model_alias(name, alias, number)
        else:
            found.delete_registered_model_alias(name, alias)


def _set_previous(settings: Settings, number: str, *, unless: str = "") -> None:
    current = by_alias(settings, PREVIOUS)
    wanted = "" if number == unless else number
    if (current.version if current else "") != wanted:
        _set_alias(settings, PREVIOUS, wanted)


def _ensure_model(settings: Settings) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client(settings).create_registered_model(
            settings.registry.model_name,
            description="Kept fresh by Refit: `champion` serves, `previous` served before.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _fetch(settings: Settings, info: VersionInfo, into: Path) -> Path:
    import mlflow.artifacts

    tracking.client(settings)  # sets the process's default URI
    address = f"models:/{settings.registry.model_name}/{info.version}/{BUNDLE_IN_MODEL}"
    with tracking.errors(tracking.uri(settings)):
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(into)))
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise BundleError(f"version {info.version}: its artifact is not there any more: {error}") from error
            raise


def _named(number: str) -> str:
    return f"version {number}" if number else "no version"


def _info(found: Any) -> VersionInfo:
    return VersionInfo(
        version=str(found.version),
        run_id=str(found.run_id or ""),
        source=str(found.source or ""),
        created=(found.creation_timestamp or 0) / 1000,
        tags={str(k): str(v) for k, v in (found.tags or {}).items()},
    )
