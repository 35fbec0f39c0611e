"""Request bodies as their client wrote them: unpacked where Content-Encoding says that they are packed."""

from __future__ import annotations

import zlib

from ml.messages import message
from ml.schema.validation_errors import shown
from serving.problems import Problem


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """`body` without its Content-Encoding: gzip (RFC 1952: all members of it), deflate, or none ("").

    Parameters
    ----------
    encoding
        The header Content-Encoding, in any case.

    Raises
    ------
    Problem
        415: another encoding; 400: not packed so, cut short, or followed by something else; 413: over `most` bytes.

    >>> import gzip
    >>> unpacked(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10)
    b'ab'
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Problem(415, message("http.content_encoding", got=shown(encoding)))
    parts: list[bytes] = []
    while body or not parts:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            parts.append(unpacker.decompress(body, most + 1))
        except zlib.error as error:
            raise Problem(400, message("http.not_packed", encoding=encoding, error=str(error))) from error
        most -= len(parts[-1])
        if most < 0:
            raise Problem(413, message("http.unpacked_too_large"))
        if not unpacker.eof:
            raise Problem(400, message("http.cut_short", encoding=encoding))
        body = unpacker.unused_data
    return b"".join(parts)
