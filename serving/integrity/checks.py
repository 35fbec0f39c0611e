"""Integrity: is everything still what was written? Names each altered file, byte range and ledger row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ml.bundle import manifest, signature
from ml.errors import BundleError
from ml.registry import VersionInfo, chain, ledger
from ml.settings import Settings
from serving.prediction_log import repair, segments
from serving.prediction_log.shipper import HOW_TO_REPAIR

CACHES = ("var/serving/cache", "var/cache/bundles")


def check(settings: Settings, *, all_versions: bool = False) -> tuple[str, list[str]]:
    """(what was looked at, in words; a sentence for everything that is not as it was written)."""
    logged = segments.segments(settings.var / "serving" / "segments")
    cached = [b for place in CACHES for b in sorted((settings.home / place).glob("[0-9a-f]*")) if b.is_dir()]
    faults = [fault for segment in logged for fault in segment_faults(segment)]
    faults += [f"{segment}: put aside by the log shipper: {HOW_TO_REPAIR}" for segment in repair.put_aside(settings)]
    faults += [fault for bundle in cached for fault in bundle_faults(settings, bundle, bundle.name)]
    versions, found = _registered(settings, all_versions=all_versions)
    faults += found + chain.faults(settings, ledger.table)
    return f"{len(logged)} segments, {len(cached)} cached bundles, {versions} versions, the ledger", faults


def segment_faults(segment: Path) -> Iterator[str]:
    """The altered byte ranges of a segment."""
    sealed = segments.is_sealed(segment)
    try:
        content = segment.read_bytes()
    except FileNotFoundError:  # moved into the database meanwhile
        return
    for first, behind in segments.damaged(content, sealed=sealed):
        yield f"{segment}: bytes {first} to {behind - 1}: altered, or torn by a kill"


def bundle_faults(settings: Settings, bundle: Path, sha256: str) -> Iterator[str]:
    """The altered files of a bundle that must have that hash; its manifest and its signature are files too.

    Parameters
    ----------
    sha256
        That the registry or the pointer has for it.
    """
    try:
        listed, digest = manifest.read(bundle)
    except BundleError as error:
        yield str(error)
        return
    if digest != sha256:
        yield f"{bundle / manifest.MANIFEST}: expected SHA-256 {sha256}, got {digest}: altered"
    try:
        yield from manifest.faults(bundle, listed)
        signature.verify(settings, bundle)
    except BundleError as error:
        yield str(error)


def _registered(settings: Settings, *, all_versions: bool) -> tuple[int, list[str]]:
    """(versions looked at, faults): each downloaded anew, as a cached copy says nothing of the registry's."""
    from ml import registry

    named = [registry.by_alias(settings, alias) for alias in (registry.CHAMPION, registry.PREVIOUS, registry.SHADOW)]
    wanted = {v.version: v for v in (registry.versions(settings) if all_versions else named) if v is not None}
    faults = []
    for info in wanted.values():
        with tempfile.TemporaryDirectory(prefix="refit-verify-") as folder:
            faults += [f"version {info.version}: {fault}" for fault in _version_faults(settings, info, Path(folder))]
    return len(wanted), faults


def _version_faults(settings: Settings, info: VersionInfo, folder: Path) -> list[str]:
    from ml import registry

    try:
        bundle = registry.fetch(settings, info, folder)
    except BundleError as error:
        return [str(error)]
    return [fault.replace(f"{bundle}/", "") for fault in bundle_faults(settings, bundle, info.sha256)]
