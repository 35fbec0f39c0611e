"""From a file's bytes to UTF-8 text, workbooks as CSV, with what is no text table turned away by name.

Light: the service reads uploads with it. Memory stays bounded, whatever the bytes unpack to.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from ml.data.sources import workbook
from ml.errors import DataError
from ml.messages import Message, message

_GZIP, _BZ2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
PACKED: dict[str, bytes] = {".gz": _GZIP, ".bz2": _BZ2, ".xz": _XZ, ".zst": _ZSTD}
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {_GZIP: gzip.open, _BZ2: bz2.open, _XZ: lzma.open}

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # what workbooks are, new and old
WORKBOOK_BASE, WORKBOOK_TIMES = 256_000_000, 4  # bytes of memory that one may take, and as many times its limit as CSV
WORKBOOK_S = 300  # to read one; its process has a limit of CPU time before; our choice

# Magic numbers, from each format's own specification.
_NOT_TABLES = {
    b"PK\x03\x04": "files.is_zip",
    b"PK\x05\x06": "files.is_zip_empty",
    b"\x89PNG": "files.is_png",
    b"\xff\xd8\xff": "files.is_jpeg",
    b"GIF8": "files.is_gif",
    b"%PDF": "files.is_pdf",
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
    """A stream of UTF-8 bytes without a byte order mark that stops at `max_bytes`.

    Of a workbook `sheet` is the one that was read, of `sheets` with cells; else "" and 0.
    """

    def __init__(self, stream: BinaryIO, name: str, max_bytes: int, sheet: str = "", sheets: int = 0):
        self.sheet, self.sheets = sheet, sheets
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


def open_text(stream: BinaryIO, name: str, *, encoding: str = "", max_bytes: int, decimal: str = ".") -> Text:
    """Unpack and decode a stream whose file name is `name`.

    Parameters
    ----------
    encoding
        As Python names it; "" for UTF-8, or UTF-16 with a byte order mark.
    max_bytes
        Of the unpacked text.
    decimal
        How the numbers of a workbook are to be written.

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
    if head.startswith((_ZIP, _OLE)) and (book := _copied(buffered)) is not None:
        return _from_workbook(book, name, decimal, max_bytes)
    _refuse(head, name)
    return Text(_decoded(buffered, head, name, encoding), name, max_bytes)


def _copied(stream: BinaryIO) -> BinaryIO | None:
    """A workbook as a file of its own, at its start; None where it is another archive."""
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (its reader closes it)
    shutil.copyfileobj(stream, file, 1 << 20)
    file.seek(0)
    if file.read(4) == _OLE or _is_workbook(file):
        file.seek(0)
        return file
    file.close()
    return None


def _is_workbook(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if "mimetype" in names:
                with archive.open("mimetype") as kind:
                    return b"opendocument.spreadsheet" in kind.read(100)
            return any(name.startswith("xl/workbook.") for name in names)
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False


def _from_workbook(book: BinaryIO, name: str, decimal: str, max_bytes: int) -> Text:
    """The workbook's first sheet as CSV, read by a process with limits of its own.

    Raises
    ------
    DataError
        It is broken, locked by a password, or would take more memory than it may.
    """
    memory = WORKBOOK_BASE + WORKBOOK_TIMES * max_bytes
    command = [sys.executable, "-I", workbook.__file__, decimal, str(memory), str(max_bytes + 1)]
    os.lseek(book.fileno(), 0, os.SEEK_SET)  # where the process reads on, whatever is in our buffer
    with book, tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(
                command, stdin=book, stdout=out, stderr=subprocess.PIPE, timeout=WORKBOOK_S, check=True
            )
            told = json.loads(done.stderr.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            raise DataError(message("files.workbook_too_large", limit=max_bytes), file=name) from error
        if "error" in told:
            raise DataError(message("files.broken_workbook", error=told["error"]), file=name)
        size = os.fstat(out.fileno()).st_size
        text = mmap.mmap(out.fileno(), 0, access=mmap.ACCESS_READ) if size else io.BytesIO()
    return Text(cast(BinaryIO, text), name, max_bytes, told["sheet"], told["sheets"])


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
