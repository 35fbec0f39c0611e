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

_GZIP, _BZ2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
PACKED: dict[str, bytes] = {".gz": _GZIP, ".bz2": _BZ2, ".xz": _XZ, ".zst": _ZSTD}
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {_GZIP: gzip.open, _BZ2: bz2.open, _XZ: lzma.open}

# Magic numbers, from each format's own specification.
_NOT_TABLES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; save the one table in it as CSV",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document; save the table as CSV",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"SQLite format 3": "an SQLite database; use the sql source with a query",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
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
                raise DataError(f"broken compressed file: {error}", file=self._name) from error
            if not part:
                break
            self._left -= len(part)
            if self._left < 0:
                raise DataError(
                    f"larger than the limit of {self._max_bytes:,} bytes, unpacked; raise data.max_bytes or send less",
                    file=self._name,
                )
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
        raise DataError("the file is empty", file=name)
    packed = next((magic for magic in PACKED.values() if head.startswith(magic)), None)
    named = next((magic for ending, magic in PACKED.items() if name.casefold().endswith(ending)), None)
    if packed != named:
        said, is_ = _ending(named), _ending(packed)
        raise DataError(f"the content is {is_}, but the name says {said}; rename it or pack it again", file=name)
    if packed:
        buffered = io.BufferedReader(_unpacked(buffered, packed))
        try:
            head = _peek(buffered)
        except _BROKEN as error:
            raise DataError(f"broken compressed file: {error}", file=name) from error
        if not head:
            raise DataError("the file is empty, unpacked", file=name)
    _refuse(head, name)
    return Text(_decoded(buffered, head, name, encoding), name, max_bytes)


def _ending(magic: bytes | None) -> str:
    return next((f"{ending[1:]}-packed" for ending, known in PACKED.items() if known == magic), "not packed")


def _peek(stream: Any) -> bytes:
    return bytes(stream.peek(64)[:64])


def _unpacked(stream: BinaryIO, magic: bytes) -> Any:
    if magic == _ZSTD:
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
    return _OPENERS[magic](stream)


def _refuse(head: bytes, name: str) -> None:
    if head.startswith(PARQUET):
        raise DataError("the content is Parquet; give the file a name that ends in .parquet", file=name)
    for magic, what in _NOT_TABLES.items():
        if head.startswith(magic):
            raise DataError(f"expected a CSV table, got {what}", file=name)
    if any(head.startswith(magic) for magic in PACKED.values()):
        raise DataError("expected a CSV table, got a file that is packed twice", file=name)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith((b"{", b"[")):
        raise DataError("expected a CSV table, got JSON", file=name)
    if text[:5].lower() in (b"<!doc", b"<html", b"<?xml"):
        raise DataError("expected a CSV table, got HTML or XML", file=name)


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
        raise DataError(f"data.encoding: there is no encoding '{encoding}'", file=name) from error
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
            raise DataError(f"not {self._encoding} text: {error.reason}", file=self._name) from error
