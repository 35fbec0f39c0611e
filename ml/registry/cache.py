"""The bundles of versions on this machine, each verified against the registry's hash and its signature."""

from __future__ import annotations

from pathlib import Path

from ml import tracking
from ml.bundle import cache
from ml.errors import BundleError
from ml.messages import message
from ml.registry.catalog import SHA256, VersionInfo
from ml.settings import Settings

BUNDLE_IN_MODEL = "artifacts/bundle"  # where the pyfunc flavour keeps it


def download(settings: Settings, info: VersionInfo, into: Path | None = None) -> Path:
    """A version's bundle on this machine, verified against the hash that the registry keeps, and its signature.

    Parameters
    ----------
    into
        Folder of bundles by hash; by default `var/cache/bundles`. What is there and verifies is not loaded again.

    Raises
    ------
    BundleError
        What came is not what was registered, or no trusted key signed it.
    """
    if not info.sha256:
        raise BundleError(message("bundle.no_hash", version=info.version, tag=SHA256))
    folder = into or settings.var / "cache" / "bundles"
    return cache.obtain(settings, folder, info.sha256, lambda temporary: fetch(settings, info, temporary))


def fetch(settings: Settings, info: VersionInfo, into: Path) -> Path:
    """A copy of a version's bundle below `into` as the registry has it, not verified."""
    import mlflow.artifacts

    tracking.client(settings)  # sets the process's default URI
    address = f"models:/{settings.registry.model_name}/{info.version}/{BUNDLE_IN_MODEL}"
    with tracking.errors(tracking.uri(settings)):
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(into)))
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise BundleError(message("bundle.gone", version=info.version, error=str(error))) from error
            raise
