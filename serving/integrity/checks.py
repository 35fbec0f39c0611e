"""Integrity: is everything still what was written? Names each altered file, byte range and ledger row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ml.bundle import manifest, signature
from ml.errors import BundleError
from ml.messages import Message, Text, message, moved
from ml.registry import VersionInfo, chain, ledger
from ml.settings import Settings
from serving.prediction_log import repair, segments

CACHES = ("var/serving/cache", "var/cache/bundles")


def check(settings: Settings, *, all_versions: bool = False) -> tuple[Message, list[Text]]:
    """(what was looked at; a message for everything that is not as it was written)."""
    logged = segments.segments(settings.var / "serving" / "segments")
    cached = [b for place in CACHES for b in sorted((settings.home / place).glob("[0-9a-f]*")) if b.is_dir()]
    violations: list[Text] = [violation for segment in logged for violation in segment_violations(segment)]
    violations += [message("ledger.put_aside", file=str(segment)) for segment in repair.put_aside(settings)]
    violations += [violation for bundle in cached for violation in bundle_violations(settings, bundle, bundle.name)]
    versions, found = _registered(settings, all_versions=all_versions)
    violations += [*found, *chain.violations(settings, ledger.table)]
    return message("ledger.checked", segments=len(logged), bundles=len(cached), versions=versions), violations


def segment_violations(segment: Path) -> Iterator[Message]:
    """The altered byte ranges of a segment."""
    sealed = segments.is_sealed(segment)
    try:
        content = segment.read_bytes()
    except FileNotFoundError:  # moved into the database meanwhile
        return
    for first, behind in segments.damaged(content, sealed=sealed):
        yield message("ledger.segment", file=str(segment), first=first, last=behind - 1)


def bundle_violations(settings: Settings, bundle: Path, sha256: str) -> Iterator[Text]:
    """The altered files of a bundle that must have that hash; its manifest and its signature are files too.

    Parameters
    ----------
    sha256
        That the registry or the pointer has for it.
    """
    try:
        listed, digest = manifest.read(bundle)
    except BundleError as error:
        yield error.explanation
        return
    if digest != sha256:
        yield message("bundle.file_altered", file=str(bundle / manifest.MANIFEST), expected=sha256, got=digest)
    try:
        yield from manifest.violations(bundle, listed)
        signature.verify(settings, bundle)
    except BundleError as error:
        yield error.explanation


def _registered(settings: Settings, *, all_versions: bool) -> tuple[int, list[Text]]:
    """(versions looked at, violations): each downloaded anew, as a cached copy says nothing of the registry's."""
    from ml import registry

    named = [registry.by_alias(settings, alias) for alias in (registry.CHAMPION, registry.PREVIOUS, registry.SHADOW)]
    wanted = {v.version: v for v in (registry.versions(settings) if all_versions else named) if v is not None}
    violations: list[Text] = []
    for info in wanted.values():
        with tempfile.TemporaryDirectory(prefix="refit-verify-") as folder:
            found = _version_violations(settings, info, Path(folder))
            violations += [message("ledger.of_version", version=info.version, fault=violation) for violation in found]
    return len(wanted), violations


def _version_violations(settings: Settings, info: VersionInfo, folder: Path) -> list[Text]:
    from ml import registry

    try:
        bundle = registry.fetch(settings, info, folder)
    except BundleError as error:
        return [error.explanation]
    return [moved(violation, f"{bundle}/", "") for violation in bundle_violations(settings, bundle, info.sha256)]
