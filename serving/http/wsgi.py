"""One WSGI call: the environ of a request, and the application's answer as bytes or as a file to send."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from gunicorn import util
from gunicorn.http.wsgi import FileWrapper

from ml.storage.files import is_full
from serving.api.guard import BODY_FILE
from serving.http.http1 import Request

MEMORY_BYTES = 262_144  # a larger answer waits in an unnamed temporary file for its reader
FULL_DISK_BYTES = 32_000_000  # of answers that a full disk does not take and that are logged already: in all, a worker
SERVER = b"gunicorn"


class Answer:
    """A whole response: `head` and either `body` or `file` (at its start, `size` bytes).

    Parameters
    ----------
    keep
        Whether the connection stays open behind it.
    """

    __slots__ = ("body", "file", "head", "keep_alive", "size", "status")

    def __init__(self, status: int, head: bytes, body: bytes, file: IO[bytes] | None, size: int, keep: bool) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.file = file
        self.size = size
        self.keep_alive = keep


def environ(
    request: Request, body: IO[bytes], size: int, peer: Any, server: Any, *, multiprocess: bool, trusted: bool
) -> dict[str, Any]:
    """The WSGI environ (PEP 3333). `trusted`: the peer is a proxy whose X-Forwarded-Proto counts.

    Parameters
    ----------
    body
        The whole body, at its start.
    size
        Its bytes.
    peer, server
        Addresses as sockets give them: (host, port), or a path.
    multiprocess
        Whether other workers serve the same application.
    """
    uri = request.target.decode("latin-1")
    parts = util.split_request_uri(uri)
    values: dict[str, Any] = {
        BODY_FILE: body,
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path or "").decode("latin-1"),
        "QUERY_STRING": parts.query or "",
        "RAW_URI": uri,
        "SERVER_PROTOCOL": f"HTTP/1.{request.version}",
        "SERVER_NAME": str(server[0]) if isinstance(server, tuple) else "localhost",
        "SERVER_PORT": str(server[1]) if isinstance(server, tuple) else "80",
        "REMOTE_ADDR": str(peer[0]) if isinstance(peer, tuple) and peer else "",
        "REMOTE_PORT": str(peer[1]) if isinstance(peer, tuple) and len(peer) > 1 else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": _Errors(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for raw_name, raw_value in request.headers:
        if b"_" in raw_name:  # X_Forwarded_For would pass for X-Forwarded-For
            continue
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        values[key] = f"{values[key]},{value}" if key in values else value
    if request.chunked:
        values["CONTENT_LENGTH"] = str(size)  # it is all here: the application need not know how it came
        values.pop("HTTP_TRANSFER_ENCODING", None)
    if trusted and values.get("HTTP_X_FORWARDED_PROTO") == "https":
        values["wsgi.url_scheme"] = "https"
    return values


def call(
    app: Callable[..., Iterable[bytes]],
    values: dict[str, Any],
    *,
    keep_alive: bool,
    room: Callable[[], int] = lambda: FULL_DISK_BYTES,
) -> Answer:
    """Run the application and collect its whole answer, so that no slow reader holds a thread.

    Parameters
    ----------
    app
        WSGI.
    values
        The environ; the application may change it.
    keep_alive
        What the head says, and the answer is marked with.
    room
        How many bytes of a large answer may wait in memory where a full disk does not take it.

    Raises
    ------
    OSError
        The disk is full, and there is no room in memory either.
    """
    status, headers = "500 Internal Server Error", []
    written: list[bytes] = []

    def start_response(given: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        nonlocal status, headers
        status, headers = given, fields
        return written.append

    parts = app(values, start_response)
    code = int(status.split(" ", 1)[0])
    bodyless = values["REQUEST_METHOD"] == "HEAD" or code in (204, 304)
    file: IO[bytes] | None = None
    if isinstance(parts, FileWrapper) and hasattr(parts.filelike, "seek"):  # a file is sent as it is, not copied
        file = parts.filelike
        size = file.seek(0, os.SEEK_END)
    else:
        content = _joined(written, parts)
        size = len(content)
    head = response_head(status, headers, size, keep_alive, int(values["SERVER_PROTOCOL"][-1]), bodyless=bodyless)
    if file is not None and (bodyless or size <= MEMORY_BYTES):
        file.seek(0)
        content = b"" if bodyless else file.read()
        file.close()
        file = None
    elif size > MEMORY_BYTES and not bodyless:
        file = file or _in_file(content, room)
    if file is not None:
        return Answer(code, head, b"", file, size, keep_alive)
    return Answer(code, head, b"" if bodyless else content, None, 0, keep_alive)


def _joined(written: list[bytes], parts: Iterable[bytes]) -> bytes:
    try:
        written.extend(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return written[0] if len(written) == 1 else b"".join(written)


def _in_file(content: bytes, room: Callable[[], int]) -> IO[bytes] | None:
    """An unnamed temporary file with it; None where a full disk does not take it and memory may."""
    file = None
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        if file is not None:
            file.close()
        if not is_full(error) or len(content) > room():
            raise
        return None
    return file


def response_head(
    status: str, headers: Iterable[tuple[str, str]], size: int, keep_alive: bool, version: int, *, bodyless: bool
) -> bytes:
    """Status line and headers. A header that would split the response is left out.

    Parameters
    ----------
    size
        Of the body in bytes, for a Content-Length that the application did not give.
    version
        Of HTTP/1: 0 or 1.
    bodyless
        No body will follow (HEAD, 204, 304): what the application said of its length stays.
    """
    lines = [
        f"HTTP/1.{version} {status}",
        f"Server: {SERVER.decode()}",
        f"Date: {http_date()}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    has_length = False
    for name, value in headers:
        lower = name.lower()
        if util.is_hoppish(name) or "\n" in value or "\r" in value or "\n" in name or "\r" in name:
            continue
        if lower == "content-length":
            has_length = True
            if not bodyless:
                value = str(size)
        lines.append(f"{name}: {value}")
    if not has_length and not (bodyless and status.startswith(("204", "304"))):
        lines.append(f"Content-Length: {size}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def phrase(status: int) -> str:
    """Status line text, as "404 NOT FOUND" in Werkzeug's spelling."""
    return f"{status} {HTTPStatus(status).phrase.upper()}"


_date = (0, "")


def http_date() -> str:
    """The current Date header, made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True))
    return _date[1]


class _Errors(io.RawIOBase):
    """`wsgi.errors`: standard error."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        text = data if isinstance(data, bytes) else str(data).encode("utf-8", "replace")
        return os.write(2, text)
