"""The list of a bundle's files with their hashes: `bundle.json`, whose own hash names the bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from ml.errors import BundleError
from ml.messages import Message, message
from ml.storage.files import write_bytes

MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"  # over all files and the manifest, so that it cannot be listed in it
FORMAT = 1  # of the bundle's files; a reader of another one refuses
REQUIRED = ("model.onnx", "schema.json", "decision.json", "examples.json")
MAX_MANIFEST_BYTES = 1_000_000  # a manifest lists a dozen files; our choice


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one file must be."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every file but `bundle.json` itself, by its path in the folder."""

    format: int
    files: dict[str, File]


def seal(path: Path) -> str:
    """List and hash every file of the folder into `bundle.json`; the last step of writing a bundle.

    Returns
    -------
    The bundle's SHA-256. Sealing again after adding a file gives another bundle with another hash.
    """
    files = {
        name: File(_hash(path / name), (path / name).stat().st_size)
        for name in sorted(_walk(path))
        if name not in (MANIFEST, SIGNATURE)
    }
    if missing := [name for name in REQUIRED if name not in files]:
        raise BundleError(message("bundle.not_sealable", file=str(path), missing=missing[0]))
    content = msgspec.json.format(msgspec.json.encode(Manifest(FORMAT, files)), indent=1)
    write_bytes(path / MANIFEST, content)
    return hashlib.sha256(content).hexdigest()


def verify(path: Path | str, sha256: str | None = None) -> str:
    """Check a folder's files against its `bundle.json` without loading the model; returns the bundle's SHA-256."""
    manifest, digest = read(Path(path))
    if sha256 is not None and digest != sha256:
        raise BundleError(message("bundle.other_hash", file=str(path), expected=sha256, got=digest))
    check(Path(path), manifest)
    return digest


def read(path: Path) -> tuple[Manifest, str]:
    """The folder's manifest and the SHA-256 of its file, which is the bundle's; raises BundleError."""
    file = path / MANIFEST
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(message("bundle.manifest_too_large", file=str(file), limit=MAX_MANIFEST_BYTES))
        content = file.read_bytes()
        manifest = msgspec.json.decode(content, type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(message("bundle.manifest_unreadable", file=str(file), error=str(error))) from error
    if manifest.format != FORMAT:
        raise BundleError(message("bundle.other_format", file=str(file), expected=FORMAT, got=manifest.format))
    for name in manifest.files:
        if not _is_safe(name):
            raise BundleError(message("bundle.name_leaves", file=str(file), name=repr(name)))
    if missing := [name for name in REQUIRED if name not in manifest.files]:
        raise BundleError(message("bundle.not_listed", file=str(file), missing=missing[0]))
    return manifest, hashlib.sha256(content).hexdigest()


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and "\\" not in name and "\0" not in name and ".." not in parts


def check(path: Path, manifest: Manifest) -> None:
    """Raises BundleError where a file is missing, altered, or not listed."""
    for violation in violations(path, manifest):
        raise BundleError(violation)


def violations(path: Path, manifest: Manifest) -> Iterator[Message]:
    """A message for each file that is missing, altered, or not listed."""
    for name, entry in manifest.files.items():
        file = path / name
        if file.is_symlink() or not file.is_file():
            yield message("bundle.file_missing", file=str(file), manifest=MANIFEST)
        elif (size := file.stat().st_size) != entry.bytes:
            yield message("bundle.file_size", file=str(file), expected=entry.bytes, got=size)
        elif (digest := _hash(file)) != entry.sha256:
            yield message("bundle.file_altered", file=str(file), expected=entry.sha256, got=digest)
    for name in _walk(path):
        if name not in (MANIFEST, SIGNATURE) and name not in manifest.files:
            yield message("bundle.file_unlisted", file=str(path / name), manifest=MANIFEST)


def _walk(path: Path) -> Iterator[str]:
    for file in path.rglob("*"):
        if file.is_symlink():
            raise BundleError(message("bundle.link", file=str(file)))
        if file.is_file():
            yield file.relative_to(path).as_posix()


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
