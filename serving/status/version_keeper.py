"""The keeper of the versions' side files: copies them once a version from the registry, verified, for the pages."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ml.bundle import manifest
from ml.errors import BundleError, RefitError
from ml.messages import message
from ml.settings import Settings
from ml.storage.files import make_folder, sync_tree
from serving.model import champion_lookup
from serving.status.reader import VersionEntry
from serving.status.version_files import NAMES

log = logging.getLogger("refit.log_shipper")

A_ROUND = 5  # versions whose files are copied before the next status; our choice
RETRY_S = 600.0  # after a version's files could not be had: they may be gone for good


class Keeper:
    """Remembers what could not be had, so that it is not asked for at every round."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.var / "serving" / "versions"
        self._tried: dict[str, float] = {}

    def keep(self, versions: Sequence[VersionEntry]) -> None:
        """Copy what is missing of `versions`, newest first, a few a round; drop what is of none of them.

        An empty list is a registry that does not answer: everything stays.
        """
        wanted = {entry.sha256: entry.version for entry in versions if entry.sha256.isalnum()}
        if not wanted:
            return
        make_folder(self._folder)
        now = time.monotonic()
        missing = [sha256 for sha256 in wanted if not (self._folder / sha256).is_dir()]
        due = [sha256 for sha256 in missing if now - self._tried.get(sha256, -RETRY_S) >= RETRY_S]
        for sha256 in due[:A_ROUND]:
            try:
                self._copy(wanted[sha256], sha256)
            except (RefitError, OSError) as error:
                self._tried[sha256] = now
                log.warning("the pages have no files of version %s: %s", wanted[sha256], error)
        for folder in self._folder.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _copy(self, version: str, sha256: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder.parent, prefix=".version-") as temporary:
            source = champion_lookup.local_bundle(self._settings, version) or self._download(version, Path(temporary))
            made = Path(temporary) / "files"
            make_folder(made)
            copy_verified(source, made, sha256)
            sync_tree(made)  # a folder that is there is taken for whole, after a power cut too
            made.rename(self._folder / sha256)

    def _download(self, version: str, into: Path) -> Path:
        from ml import registry  # takes seconds and 240 MB: only for artifacts that are not plain files here

        return registry.fetch(self._settings, registry.version(self._settings, version), into)


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy the side files of a bundle, from the folder `source` to the folder `target`.

    Raises
    ------
    BundleError
        The bundle is another one than was registered, or a file is not what it lists.
    """
    listed, digest = manifest.read(source)
    if digest != sha256:
        raise BundleError(message("bundle.other_hash", file=str(source), expected=sha256, got=digest))
    files = {name: listed.files[name] for name in NAMES if name in listed.files}
    for name in files:
        shutil.copyfile(source / name, target / name, follow_symlinks=False)
    manifest.check(target, manifest.Manifest(listed.format, files))
