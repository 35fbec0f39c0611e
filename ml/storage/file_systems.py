"""Arrow file systems by address: a folder, `file:///…`, `s3://bucket/prefix`, or another that Arrow knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml.errors import SettingsError
from ml.messages import message
from ml.storage import files

# What a store says that does not want us, in Arrow's words and in those of servers that Arrow does not know.
_REFUSALS = (
    "ACCESS_DENIED",
    "SIGNATURE_DOES_NOT_MATCH",
    "INVALID_ACCESS_KEY_ID",
    "NO_SUCH_BUCKET",
    "InvalidBucketName",
    "AccessDenied",
)


class Place(NamedTuple):
    """A folder in a file system of Arrow's: `folder` is without a slash at its end."""

    system: Any
    folder: str

    @property
    def is_local(self) -> bool:
        """Whether files there are written beside their place and renamed; an object store shows only whole ones."""
        return bool(self.system.type_name == "local")


def place(address: str) -> Place:
    """The file system of an address, and the folder in it; a path without a scheme is one of this machine.

    Raises
    ------
    SettingsError
        Arrow does not know such an address.
    """
    import pyarrow as pa
    import pyarrow.fs as pafs

    if "://" not in address:
        return Place(pafs.LocalFileSystem(), str(Path(address).absolute()))
    if address.startswith("s3://") and "allow_delayed_open" not in address:  # one request a small file, not three
        address += ("&" if "?" in address else "?") + "allow_delayed_open=true"
    try:
        system, folder = pafs.FileSystem.from_uri(address)
        if not folder.strip("/"):
            raise pa.ArrowInvalid("it names no bucket and no folder")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SettingsError(
            message("settings.no_file_system", address=without_keys(address), error=str(error))
        ) from error
    return Place(system, folder.rstrip("/"))


def below(address: str, name: str) -> str:
    """The address of a folder below another.

    >>> below("s3://bucket/prefix/?scheme=http", "archive")
    's3://bucket/prefix/archive?scheme=http'
    """
    path, mark, options = address.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def without_keys(address: str) -> str:
    """An address as it may be shown: without keys and options.

    >>> without_keys("s3://key:secret@bucket/prefix?endpoint_override=s3:9000")
    's3://bucket/prefix'
    """
    scheme, separator, rest = address.partition("?")[0].rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def is_refusal(error: OSError) -> bool:
    """Whether the store answers, and says no: keys or bucket are wrong, which does not pass.

    >>> is_refusal(OSError("AWS Error ACCESS_DENIED during HeadObject operation"))
    True
    >>> is_refusal(OSError("AWS Error NETWORK_CONNECTION during HeadObject operation"))
    False
    """
    return isinstance(error, PermissionError) or any(word in str(error) for word in _REFUSALS)


@contextlib.contextmanager
def replacing(where: Place, path: str) -> Iterator[Callable[[bytes], Any]]:
    """Write `path` piece by piece; it is seen whole or not at all: by a rename, or as an object store puts objects."""
    if where.is_local:
        with files.replacing(Path(path), 0o600) as file:  # as the database: its owner's alone
            yield file.write
        return
    stream = where.system.open_output_stream(path)
    yield stream.write
    stream.close()
