"""Retention: old runs and the snapshots that nothing needs are deleted, here and on `storage.url`.

What stays:

- the newest `storage.keep_runs` runs, each that changed within a day, and each that has not ended and changed within
  a month, as a person may still be asked about it,
- the runs of the version that serves, of the one before it and of one in shadow,
- the snapshots of all these, the newest one, those that regression rows were drawn from, and those of the last day.

MLflow's runs and versions are MLflow's own (`mlflow gc`).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from ml import registry
from ml.data import snapshot_store
from ml.errors import RefitError
from ml.gate import regression_rows
from ml.messages import Message, message
from ml.pipeline import workspace
from ml.pipeline.stages.records import PromotionRecord, SnapshotRecord
from ml.pipeline.workspace import STAGES, RecordError, Workspace
from ml.registry import aliases, contract
from ml.registry.catalog import SNAPSHOT, VersionInfo
from ml.settings import Settings
from ml.storage import clock, locks, shared

log = logging.getLogger("refit.pipeline")

FRESH_S = 86_400.0  # somebody may be at work on what changed so lately; our choice
OPEN_S = 30 * 86_400.0  # so long a run may wait for a person; our choice
ALIASES = (aliases.PREVIOUS, aliases.SHADOW)  # beside the champion


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, or would be: run keys and ids of snapshots; `bytes` on this machine and on `storage.url`."""

    runs: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    bytes: int = 0
    kept_runs: int = 0
    kept_snapshots: int = 0


class _Run(NamedTuple):
    """When a run last changed (seconds since 1970), and whether it came to its end."""

    changed: float
    ended: bool


def clean(settings: Settings, keep: int, *, dry_run: bool = False, now: float | None = None) -> Cleaned:
    """Delete what is older than the newest `keep` runs and is not needed; killed, it is gone on with by the next call.

    Parameters
    ----------
    keep
        Runs, at least 1.
    dry_run
        Delete nothing, and say what would be; bytes are then those of this machine alone.
    now
        Seconds since 1970; None: the clock that decides, which does not believe a leap.

    Raises
    ------
    RegistryError
        MLflow does not say which versions serve, served before or wait: nothing was deleted.
    StoreUnavailable, StorageUnavailable
        The database, or `storage.url`, does not answer; runs may have been deleted by then, and no snapshot that
        is needed.
    """
    if keep < 1:
        raise ValueError(f"expected keep of at least 1, got {keep}")
    now = clock.now(settings) if now is None else now
    with locks.exclusive(settings, "clean"):
        store = shared.of(settings)
        # A registry without a champion, where the ledger knows of one, is an error: it may be the wrong registry.
        asked = (contract.serving(settings), *(registry.by_alias(settings, alias) for alias in ALIASES))
        pointed = [version for version in asked if version is not None]
        runs = _runs(settings, store)
        old = _old(runs, keep, {version.run_key for version in pointed}, now)
        size = _size(settings.var / "runs" / key for key in old) + _size(settings.models_dir / key for key in old)
        if not dry_run:  # before the database is asked: on a full disk SQLite does not open
            for key in sorted(old):
                _delete_run(settings, store, key)
        there = snapshot_store.ids(settings)
        needed = _needed(settings, runs.keys() - old, pointed)
        spare = {one for one, made in there.items() if one not in needed and now - made > FRESH_S}
        size += _size(settings.data_dir / f"{one}.parquet" for one in spare)
        if not dry_run:
            for one in sorted(spare):
                snapshot_store.delete(settings, one)
            size += store.sweep(now - FRESH_S) if store is not None else 0
        return Cleaned(
            runs=tuple(sorted(old)),
            snapshots=tuple(sorted(spare)),
            bytes=size,
            kept_runs=len(runs) - len(old),
            kept_snapshots=len(there) - len(spare),
        )


def make_room(settings: Settings) -> tuple[Message, ...]:
    """What `storage.keep_runs` asks for, before a run, which does not depend on it; and what the run tells of it."""
    if not settings.storage.keep_runs:
        return ()
    try:
        done = clean(settings, settings.storage.keep_runs)
    except (RefitError, OSError) as error:
        told = message("training.old_runs_left", error=str(error))
        log.warning("%s", told)
        return (told,)
    if not (done.runs or done.snapshots):
        return ()
    size = {"runs": len(done.runs), "snapshots": len(done.snapshots), "megabytes": done.bytes / 1e6}
    return (message("training.old_runs_deleted", **size, kept=done.kept_runs),)


def _runs(settings: Settings, store: shared.SharedStore | None) -> dict[str, _Run]:
    """All runs by their key: those with a workspace here, and those on the storage."""
    found: dict[str, _Run] = {}
    for folder in (settings.var / "runs").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if workspace.is_key(folder.name) and folder.is_dir() and not folder.is_symlink():
                changed = max(path.stat().st_mtime for path in (folder, *folder.glob("*")))
                found[folder.name] = _Run(changed, (folder / f"{PromotionRecord.stage_name()}.json").exists())
    for name, moment in store.names("runs") if store is not None else ():
        key, _, rest = name.removeprefix("runs/").partition("/")
        if not workspace.is_key(key):  # names come from outside, and a key becomes a path
            continue
        known = found.get(key, _Run(0.0, False))
        found[key] = _Run(max(known.changed, moment), known.ended or rest == PromotionRecord.stage_name())
    return found


def _old(runs: dict[str, _Run], keep: int, pointed: set[str], now: float) -> set[str]:
    newest = sorted(runs, key=lambda key: runs[key].changed, reverse=True)
    return {
        key
        for key in newest[keep:]
        if key not in pointed and now - runs[key].changed > (FRESH_S if runs[key].ended else OPEN_S)
    }


def _needed(settings: Settings, kept: Iterable[str], pointed: Iterable[VersionInfo]) -> set[str]:
    """Ids of the snapshots that something may still open."""
    needed = {version.tags.get(SNAPSHOT, "") for version in pointed} | regression_rows.drawn_from(settings)
    needed.add(snapshot_store.latest_id(settings))
    for key in kept:
        with contextlib.suppress(RecordError):  # of another version of Refit: nobody can go on with that run
            if (generated := Workspace(settings, key).result(SnapshotRecord)) is not None:
                needed.add(generated.snapshot)
    return needed


def _delete_run(settings: Settings, store: shared.SharedStore | None, key: str) -> None:
    """The records of later stages first: a run cut short in this has no record of what is not there."""
    if store is not None:
        names = [name for name, _ in store.names(f"runs/{key}")]
        stages = {f"runs/{key}/{stage}": place for place, stage in enumerate(STAGES)}
        for name in sorted(names, key=lambda name: stages.get(name, len(STAGES)), reverse=True):
            store.forget(name)
    folder = settings.var / "runs" / key
    for stage in reversed(STAGES):
        (folder / f"{stage}.json").unlink(missing_ok=True)
    for path in (settings.models_dir / key, folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def _size(places: Iterable[Path]) -> int:
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    return sum(file.stat().st_size for file in files)
