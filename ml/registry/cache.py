"""The bundles of versions on this machine, each verified against the hash that the registry keeps."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from ml import tracking
from ml.bundle import reader
from ml.errors import BundleError
from ml.registry.catalog import SHA256, VersionInfo
from ml.settings import Settings
from ml.storage import files

BUNDLE_IN_MODEL = "artifacts/bundle"  # where the pyfunc flavour keeps it


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
            reader.verify(target, info.sha256)
            return target
        except BundleError:
            shutil.rmtree(target)  # half a copy of another time, or a damaged disk: load it again
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as temporary:
        loaded = _fetch(settings, info, Path(temporary))
        reader.verify(loaded, info.sha256)
        with contextlib.suppress(OSError):  # another process was faster: the content is the same
            files.sync_tree(loaded)
            loaded.rename(target)
            files.sync_folder(folder)
    reader.verify(target, info.sha256)
    return target


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
