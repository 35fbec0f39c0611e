"""From a file's bytes to UTF-8 text, with what is no text table turned away by name.

Light: the service reads uploads with it. Memory stays bounded, whatever the bytes unpack to.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from ml.errors import DataError
from ml.messages import Message, message

_GZIP, _BZ2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
PACKED: dict[str, bytes] = {".gz": _GZIP, ".bz2": _BZ2, ".xz": _XZ, ".zst": _ZSTD}
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {_GZIP: gzip.open, _BZ2: bz2.open, _XZ: lzma.open}

# Magic numbers, from each format's own specification.
_NOT_TABLES = {
    b"PK\x03\x04": "files.is_zip",
    b"PK\x05\x06": "files.is_zip_empty",
    b"\x89PNG": "files.is_png",
    b"\xff\xd8\xff": "files.is_jpeg",
    b"GIF8": "files.is_gif",
    b"%PDF": "files.is_pdf",
    b"\xd0\xcf\x11\xe0": "files.is_office",
    b"\x89HDF": "files.is_hdf5",
    b"ARROW1": "files.is_arrow",
    b"SQLite format 3": "files.is_sqlite",
    b"7z\xbc\xaf": "files.is_seven_zip",
    b"Rar!": "files.is_rar",
    b"\x7fELF": "files.is_program",
}
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Text:
    """A stream of UTF-8 bytes without a byte order mark that stops at `max_bytes`."""

    def __init__(self, stream: BinaryIO, name: str, max_bytes: int):
        self._stream = stream
        self._name = name
        self._left = max_bytes
        self._max_bytes = max_bytes

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end.

        Raises
        ------
        DataError
            The packed stream is broken, or what it holds is larger than the limit.
        """
        parts: list[bytes] = []
        while size > 0:
            try:
                part = self._stream.read(size)
            except _BROKEN as error:
                raise DataError(message("files.broken_packing", error=str(error)), file=self._name) from error
            if not part:
                break
            self._left -= len(part)
            if self._left < 0:
                raise DataError(message("files.too_large_unpacked", limit=self._max_bytes), file=self._name)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def open_text(stream: BinaryIO, name: str, *, encoding: str = "", max_bytes: int) -> Text:
    """Unpack and decode a stream whose file name is `name`.

    Parameters
    ----------
    encoding
        As Python names it; "" for UTF-8, or UTF-16 with a byte order mark.
    max_bytes
        Of the unpacked text.

    Raises
    ------
    DataError
        The content is no text, is packed otherwise than its name says, or is empty.
    """
    buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(cast(Any, stream))
    head = _peek(buffered)
    if not head:
        raise DataError(message("files.empty"), file=name)
    packed = next((magic for magic in PACKED.values() if head.startswith(magic)), None)
    named = next((magic for ending, magic in PACKED.items() if name.casefold().endswith(ending)), None)
    if packed != named:
        found, named_as = _ending(packed), _ending(named)
        raise DataError(message("files.packed_otherwise", found=found, name=named_as), file=name)
    if packed:
        buffered = io.BufferedReader(_unpacked(buffered, packed))
        try:
            head = _peek(buffered)
        except _BROKEN as error:
            raise DataError(message("files.broken_packing", error=str(error)), file=name) from error
        if not head:
            raise DataError(message("files.empty_unpacked"), file=name)
    _refuse(head, name)
    return Text(_decoded(buffered, head, name, encoding), name, max_bytes)


def _ending(magic: bytes | None) -> Message:
    kind = next((ending[1:] for ending, known in PACKED.items() if known == magic), None)
    return message("files.packed_as", kind=kind) if kind else message("files.not_packed")


def _peek(stream: Any) -> bytes:
    return bytes(stream.peek(64)[:64])


def _unpacked(stream: BinaryIO, magic: bytes) -> Any:
    if magic == _ZSTD:
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
    return _OPENERS[magic](stream)


def _refuse(head: bytes, name: str) -> None:
    if head.startswith(PARQUET):
        raise DataError(message("files.parquet_content"), file=name)
    for magic, code in _NOT_TABLES.items():
        if head.startswith(magic):
            raise DataError(message("files.no_csv", kind=message(code)), file=name)
    if any(head.startswith(magic) for magic in PACKED.values()):
        raise DataError(message("files.packed_twice"), file=name)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith((b"{", b"[")):
        raise DataError(message("files.no_csv", kind="JSON"), file=name)
    if text[:5].lower() in (b"<!doc", b"<html", b"<?xml"):
        raise DataError(message("files.markup"), file=name)


def _decoded(stream: BinaryIO, head: bytes, name: str, encoding: str) -> BinaryIO:
    for bom, found in _BOMS.items():
        if head.startswith(bom):
            stream.read(len(bom))
            encoding = found
            break
    try:
        if codecs.lookup(encoding or "utf-8").name == "utf-8":
            return stream
    except LookupError as error:
        raise DataError(message("files.no_encoding", encoding=encoding), file=name) from error
    return cast(BinaryIO, _Recoded(stream, encoding, name))


class _Recoded:
    """Another encoding, read as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str, name: str):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._name = name

    def read(self, size: int) -> bytes:
        while part := self._stream.read(size):
            if text := self._decode(part, False):
                return text.encode()
        return self._decode(b"", True).encode()

    def _decode(self, part: bytes, final: bool) -> str:
        try:
            return self._decoder.decode(part, final)
        except UnicodeDecodeError as error:
            raise DataError(
                message("files.not_text", encoding=self._encoding, error=error.reason), file=self._name
            ) from error
