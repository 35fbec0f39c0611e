"""The cache of bundles, a folder by hash: what comes in is whole, is what was registered, and is signed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ml.bundle import manifest, signature
from ml.bundle.manifest import SIGNATURE
from ml.errors import BundleError
from ml.messages import moved
from ml.settings import Settings
from ml.storage import files


def obtain(settings: Settings, folder: Path, sha256: str, load: Callable[[Path], Path]) -> Path:
    """The bundle of that hash in `folder`; what is there and verifies is not loaded again.

    Parameters
    ----------
    load
        Puts a copy below the folder that it is given, and returns the copy's place.

    Raises
    ------
    BundleError
        What was loaded is not what was registered, or no trusted key signed it. What the cache has stays.
    """
    target = folder / sha256
    whole = _is_whole(target, sha256)
    if whole:
        with contextlib.suppress(BundleError):
            signature.verify(settings, target)
            return target
    files.make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as temporary:
        loaded = load(Path(temporary))
        _verify(settings, loaded, target)
        if whole:  # and it may be in service: only what vouches for it is new
            files.write_bytes(target / SIGNATURE, (loaded / SIGNATURE).read_bytes())
            return target
        files.sync_tree(loaded)  # a pointer, which is synced, must not come to name a bundle that is not there
        shutil.rmtree(target, ignore_errors=True)  # half a copy of another time, or a damaged disk
        with contextlib.suppress(OSError):  # another process was faster: the content is the same
            loaded.rename(target)
        files.sync_folder(folder)
    manifest.verify(target, sha256)
    return target


def _verify(settings: Settings, loaded: Path, target: Path) -> None:
    try:
        manifest.verify(loaded, target.name)
        signature.verify(settings, loaded)
    except BundleError as error:  # the same at every try: the copy's own place is random and gone
        raise type(error)(moved(error.explanation, str(loaded), f"bundle {target.name[:12]}")) from error


def _is_whole(target: Path, sha256: str) -> bool:
    if target.is_dir():
        with contextlib.suppress(BundleError):
            manifest.verify(target, sha256)
            return True
    return False
