"""Where snapshots lie: `<id>.parquet` and its manifest `<id>.json` in `data/`, and a set of files on `storage.url`."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from ml.settings import Settings
from ml.storage import shared

ID_LENGTH = 16  # hex digits
_ID = re.compile(f"[0-9a-f]{{{ID_LENGTH}}}")


def ids(settings: Settings) -> dict[str, float]:
    """All snapshots, here and on `storage.url`, each with when it was last made (seconds since 1970)."""
    found: dict[str, float] = {}
    for path in settings.data_dir.glob("*.parquet"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if _ID.fullmatch(path.stem):  # also one without a manifest: a deletion may have been cut short
                found[path.stem] = path.stat().st_mtime
    store = shared.of(settings)
    for name, moment in store.names("snapshots") if store is not None else ():
        one = name.removeprefix("snapshots/")
        if _ID.fullmatch(one):  # names come from outside, and an id becomes a path
            found[one] = max(moment, found.get(one, 0.0))
    return found


def latest_id(settings: Settings) -> str:
    """The snapshot that was made last on this machine; "" where there was none."""
    try:
        return (settings.data_dir / "latest").read_text()
    except OSError:
        return ""


def delete(settings: Settings, snapshot_id: str) -> None:
    """Delete a snapshot, here and on `storage.url`: its manifest first, without which it does not exist."""
    store = shared.of(settings)
    if store is not None:
        store.forget(_set(snapshot_id))
    path = settings.data_dir / f"{snapshot_id}.parquet"
    path.with_suffix(".json").unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_here(path: Path) -> bool:
    """Whether a snapshot is on this machine, with its manifest."""
    return path.exists() and path.with_suffix(".json").exists()


def fetch(settings: Settings, snapshot_id: str) -> bool:
    """Bring a snapshot here from `storage.url`; False where there is none of it."""
    store = shared.of(settings)
    return store is not None and store.fetch(_set(snapshot_id))


def share(settings: Settings, path: Path, *, anew: bool = False) -> None:
    """Keep it for other machines too; the first manifest of a table stays, also where another made the same one.

    `anew`: it was made just now, and what is deleted as old must not count from when it was made first.
    """
    store = shared.of(settings)
    if store is None:
        return
    known = store.find(_set(path.stem))
    if known is None:
        store.put(_set(path.stem), [path, path.with_suffix(".json")])
    elif anew:
        store.write(_set(path.stem), known)


def _set(snapshot_id: str) -> str:
    return f"snapshots/{snapshot_id}"
