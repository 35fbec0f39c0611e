"""What machines share, on `storage.url`: files by their hash, and named sets of them.

A file is put as `objects/<sha256>`; a set, `sets/<name>.json`, lists paths below a home with the hashes of what is
there, and may hold a record. It is put last and in one step: who sees it finds all its files. Each file that is fetched
is held against its hash; what stands at its place with that hash is not fetched again, so that a home is the cache of
what it has used. Where `storage.url` is empty there is no such store, and nothing of this is loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import msgspec

from ml.errors import SettingsError, StorageDamaged, StorageUnavailable
from ml.messages import message
from ml.settings import Settings
from ml.storage import file_systems, files
from ml.storage.file_systems import Place

CHUNK_BYTES = 4_000_000  # read and written at once
AT_ONCE = 8  # files that are put or fetched side by side: an object store's answers take long, and many at a time
FIRST_PAUSE_S = 0.25  # between two tries while the store does not answer; each one is twice the one before …
LONGEST_PAUSE_S = 5.0  # … up to this
YOUNG_S = 3_600.0  # a file put so lately is not put again; far less than what `sweep` leaves alone
NO_RECORD = msgspec.Raw(b"null")

T = TypeVar("T")
_seen: set[tuple[str, int]] = set()  # buckets by process


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a set: its path below the home, with slashes, and what is there."""

    path: str
    sha256: str
    size: int


class FileSet(msgspec.Struct, frozen=True, kw_only=True):
    """A named set of files; `record` is JSON of whoever keeps it, null for none."""

    format: Literal[1] = 1
    files: tuple[StoredFile, ...]
    record: msgspec.Raw = NO_RECORD


class _Silent(Exception):
    """Raised inside, where the store did not answer: it is asked again for `storage.wait_s` seconds."""


class SharedStore:
    """The store at `storage.url`, for one home.

    Parameters
    ----------
    address
        As `storage.url`.
    home
        Paths of sets are below it.
    wait_s
        How long an operation waits for a store that does not answer.
    """

    def __init__(self, address: str, home: Path, wait_s: float) -> None:
        self.address = file_systems.without_keys(address)
        self._where, self._home, self._wait_s = _place(address, os.getpid()), home, wait_s

    def put(self, name: str, paths: Iterable[Path], record: msgspec.Raw = NO_RECORD) -> FileSet:
        """Keep files and then the set that names them, in place of an older one of that name.

        Parameters
        ----------
        paths
            Files below the home, and folders of them.
        record
            JSON.
        """
        found = [file for path in paths for file in _files(path)]
        stored = FileSet(files=tuple(self._each(self._put_file, found)), record=record)
        self.write(name, stored)
        return stored

    def write(self, name: str, content: FileSet) -> None:
        """Keep a set whose files are there."""

        def write() -> None:
            with self._asking(), file_systems.replacing(self._where, self._set(name)) as put:
                put(msgspec.json.encode(content))

        self._patiently(write)

    def find(self, name: str) -> FileSet | None:
        """A set, or None where there is none of that name.

        Raises
        ------
        StorageDamaged
            It is no set, or one of another format.
        """
        content = self._patiently(lambda: self._content(self._set(name)))
        try:
            return None if content is None else msgspec.json.decode(content, type=FileSet)
        except msgspec.DecodeError as error:
            raise StorageDamaged(
                message("connections.storage_no_set", name=self._told(self._set(name)), error=str(error))
            ) from error

    def fetch(self, name: str) -> bool:
        """Bring a set's files to their places below the home; False where there is no such set."""
        found = self.find(name)
        if found is not None:
            self.fill(found.files)
        return found is not None

    def fill(self, wanted: Sequence[StoredFile]) -> None:
        """Bring files to their places below the home; those that are there with the right content are left.

        The last one comes last: where it is there, all are.

        Raises
        ------
        StorageDamaged
            A file is not in the store, or is another one: its name is told, and nothing of it was kept.
        """
        self._each(self._fetch_file, wanted[:-1])
        self._each(self._fetch_file, wanted[-1:])

    def names(self, folder: str) -> list[tuple[str, float]]:
        """Names of the sets below a folder of names ("": all), with when each was last put (seconds since 1970)."""
        top = f"{self._where.folder}/sets/"
        return [
            (one.path.removeprefix(top).removesuffix(".json"), one.mtime.timestamp())
            for one in self._listed(f"sets/{folder}".rstrip("/"))
            if one.path.endswith(".json") and not one.base_name.startswith(".")
        ]

    def _listed(self, folder: str) -> list[Any]:
        """Arrow's `FileInfo` of each file below a folder, by path."""
        import pyarrow.fs as pafs

        def listed() -> list[Any]:
            with self._asking():
                selector = pafs.FileSelector(f"{self._where.folder}/{folder}", allow_not_found=True, recursive=True)
                return sorted(
                    (one for one in self._where.system.get_file_info(selector) if one.is_file), key=lambda one: one.path
                )

        return self._patiently(listed)

    def delete(self, name: str) -> None:
        """Delete a set and its files, which no other set may have."""
        found = self.find(name)
        if found is not None:
            for path in (self._set(name), *(self._object(file.sha256) for file in found.files)):
                self._patiently(functools.partial(self._delete, path))

    def forget(self, name: str) -> None:
        """Delete a set, and leave its files, which other sets may have, to `sweep`."""
        self._patiently(functools.partial(self._delete, self._set(name)))

    def sweep(self, before: float) -> int:
        """Delete the files that no set has and that were put before `before` (seconds since 1970); bytes deleted.

        Files are put before the set that names them: `before` must be older than any set takes to be put.
        """
        objects = self._listed("objects")  # before the sets: what is put from here on is not looked at
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sets = list(pool.map(self.find, [name for name, _ in self.names("")]))
        used = {file.sha256 for one in sets if one is not None for file in one.files}
        spare = [one for one in objects if one.mtime.timestamp() < before and one.base_name not in used]
        self._each(lambda one: self._patiently(functools.partial(self._delete, one.path)), spare)
        return sum(one.size for one in spare)

    def _set(self, name: str) -> str:
        return f"{self._where.folder}/sets/{name}.json"

    def _object(self, sha256: str) -> str:
        return f"{self._where.folder}/objects/{sha256}"

    def _told(self, path: str) -> str:
        return f"{self.address}{path.removeprefix(self._where.folder)}"

    def _put_file(self, path: Path) -> StoredFile:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size, target = path.stat().st_size, self._object(sha256)

        def write() -> None:
            with self._asking():
                known = self._where.system.get_file_info(target)
                # An older one may belong to no set, and be deleted by a `sweep`: putting it makes it young.
                if known.size == size and time.time() - known.mtime.timestamp() < YOUNG_S:
                    return
            with path.open("rb") as stream, self._asking(), file_systems.replacing(self._where, target) as put:
                while piece := stream.read(CHUNK_BYTES):
                    put(piece)

        self._patiently(write)
        return StoredFile(path=path.relative_to(self._home).as_posix(), sha256=sha256, size=size)

    def _fetch_file(self, wanted: StoredFile) -> None:
        target = self._place(wanted.path)
        if _is_there(target, wanted):
            return

        def fetch() -> None:
            digest = hashlib.sha256()
            with files.replacing(target, 0o600) as out:
                for piece in self._pieces(self._object(wanted.sha256)):
                    digest.update(piece)
                    out.write(piece)
                if digest.hexdigest() != wanted.sha256:
                    known = {"name": self._told(self._object(wanted.sha256)), "got": digest.hexdigest()[:16]}
                    raise StorageDamaged(message("connections.storage_altered", file=wanted.path, **known))

        try:
            self._patiently(fetch)
        except FileNotFoundError as error:
            where = self._told(self._object(wanted.sha256))
            raise StorageDamaged(message("connections.storage_object_gone", file=wanted.path, name=where)) from error

    def _place(self, path: str) -> Path:
        """A set comes from outside: it may not write beside the home."""
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise StorageDamaged(message("connections.storage_outside", file=path, name=self.address))
        return self._home / parts

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self._asking():
            stream = self._where.system.open_input_stream(path)
        with stream:
            while True:
                with self._asking():
                    piece = stream.read(CHUNK_BYTES)
                if not piece:
                    return
                yield piece

    def _content(self, path: str) -> bytes | None:
        try:
            return b"".join(self._pieces(path))
        except FileNotFoundError:
            return None

    def _delete(self, path: str) -> None:
        with self._asking():
            if self._where.system.get_file_info(path).is_file:
                self._where.system.delete_file(path)

    def _each(self, call: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        if len(items) < 2 or self._where.is_local:
            return [call(item) for item in items]
        with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
            return list(pool.map(call, items))

    def _see_bucket(self) -> None:
        """A bucket that is not there reads as one in which nothing is: it is looked at once a process."""
        import pyarrow.fs as pafs

        bucket = self._where.folder.partition("/")[0]
        if self._where.is_local or (bucket, os.getpid()) in _seen:
            return
        with self._asking():
            if self._where.system.get_file_info(bucket).type == pafs.FileType.NotFound:
                raise SettingsError(message("connections.storage_no_bucket", address=self.address, bucket=bucket))
        _seen.add((bucket, os.getpid()))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around what the store is asked: its errors are told from those of this machine's own disk."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if self._where.is_local and files.is_full(error):
                raise
            if file_systems.is_refusal(error):
                raise SettingsError(
                    message("connections.storage_refuses", address=self.address, error=str(error))
                ) from error
            raise _Silent(str(error)) from error

    def _patiently(self, call: Callable[[], T]) -> T:
        """The answer, which may be waited for: a store that is away for a minute must not end a stage of hours.

        Raises
        ------
        StorageUnavailable
            It did not answer within `storage.wait_s`.
        """
        deadline, pause = time.monotonic() + self._wait_s, FIRST_PAUSE_S
        while True:
            try:
                self._see_bucket()
                return call()
            except _Silent as error:
                if time.monotonic() + pause > deadline:
                    raise StorageUnavailable(
                        message("connections.storage_silent", address=self.address, error=str(error))
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def of(settings: Settings, *, wait_s: float | None = None) -> SharedStore | None:
    """The store of the settings; None where machines share a disk, or there is only one.

    Parameters
    ----------
    wait_s
        For who cannot wait as long as `storage.wait_s`.
    """
    storage = settings.storage
    wait_s = storage.wait_s if wait_s is None else wait_s
    return SharedStore(storage.url, settings.home, wait_s) if storage.url else None


@functools.lru_cache(maxsize=4)
def _place(address: str, process: int) -> Place:  # a client is not carried over a fork
    return file_systems.place(address)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.exists() else []


def _is_there(target: Path, wanted: StoredFile) -> bool:
    try:
        if target.stat().st_size != wanted.size:
            return False
        with target.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == wanted.sha256
    except FileNotFoundError:
        return False
