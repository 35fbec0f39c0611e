"""HTTP/1.1 parsing on gunicorn's C parser: where a request ends, and what is refused because it is ambiguous.

`gunicorn_h1c` parses the head and refuses most of what request smuggling lives on (two lengths, a length beside
chunks, odd transfer codings). Read in its source and tried, version 0.6.9 lets through: a bare line feed, a folded
header, a Content-Length that overflows, a transfer coding without chunks; its chunk reader takes sizes that
overflow and lines without end. These are refused here. **Source**: RFC 9112, sections 2.2, 5.2, 6 and 7.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from typing import IO, Any

import gunicorn_h1c as h1c
from gunicorn_h1c._parser_fast import IncompleteError, ParseError

from ml.messages import Message, message
from ml.schema.validation_errors import shown

MAX_HEAD_BYTES = 65_536  # all lines of a head; our choice
MAX_LINE_BYTES = 8_190  # gunicorn's default for a header line
MAX_FIELDS = 100  # gunicorn's default
MAX_LENGTH_DIGITS = 15  # of a Content-Length: a petabyte is refused by its size, longer ones without reading them
MAX_CHUNK_LINE = 4_096  # with its extensions, which are passed over; our choice
MAX_TRAILER_BYTES = 16_384  # passed over; our choice
MEMORY_BYTES = 1_000_000  # a larger body waits in an unnamed temporary file

MAX_FRAMING_BYTES = 65_536  # of all chunk lines; beyond it, half of the bytes that they hold

# Readers differ in which of two they take: of these a request has one. Searched once for a head that comes again.
_ONCE = re.compile(rb"\n(authorization|x-api-key|origin|sec-fetch-site|content-type)[ \t]*:", re.IGNORECASE)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[^\r\n]*)?")
_NEXT_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,12})\r\n")  # a chunk's end and the next one's line, as most are
_REASONS = (
    ("LimitRequestLine", 414),
    ("LimitRequestHeaders", 431),
    ("InvalidHTTPVersion", 505),
)


class Refused(Exception):
    """Raised when bytes are not an acceptable request; the connection is closed after the answer."""

    def __init__(self, status: int, detail: Message) -> None:
        super().__init__(detail.text)
        self.status = status
        self.detail = detail


class Request:
    """The head of a request. `length` is -1 for a chunked body; `target` is the raw request target."""

    __slots__ = ("_found", "_parsed", "chunked", "consumed", "keep_alive", "length", "method", "target", "version")

    def __init__(self, parsed: Any, length: int) -> None:
        self._parsed = parsed
        self._found: dict[str, str | None] = {}  # a head that comes again (`Connection`) is not searched again
        self.method: bytes = parsed.method
        self.target: bytes = parsed.path
        self.version: int = parsed.minor_version
        self.consumed: int = parsed.consumed
        self.chunked: bool = parsed.has_chunked
        self.length = length
        close = parsed.connection_close
        self.keep_alive: bool = close == 0 or (close == -1 and self.version == 1)

    def header(self, name: str) -> str | None:
        """The first value of a header, any case."""
        try:
            return self._found[name]
        except KeyError:
            value = self._parsed.get_header(name)
            text = self._found[name] = None if value is None else value.decode("latin-1")
            return text

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """All headers, in order."""
        headers: tuple[tuple[bytes, bytes], ...] = self._parsed.headers
        return headers

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for "100 Continue".

        Raises
        ------
        Refused
            417: it expects something else.
        """
        value = self.header("Expect")
        if value is None or self.version == 0:
            return False
        if value.lower() != "100-continue":
            raise Refused(417, message("http.expectation"))
        return True


def read_head(data: bytes) -> Request | None:
    """The head at the start of `data`; None while it is incomplete.

    Raises
    ------
    Refused
        400, 414, 431, 501 or 505: malformed, too large or ambiguous.
    """
    try:
        parsed = h1c.parse_request_fast(data)
    except IncompleteError:
        if len(data) > MAX_HEAD_BYTES:
            raise Refused(431, message("http.head_too_large", limit=MAX_HEAD_BYTES)) from None
        return None
    except (ParseError, h1c.ParseError) as error:
        status = next((code for name, code in _REASONS if type(error).__name__ == name), 400)
        raise Refused(status, message("http.not_acceptable", error=shown(error))) from None
    head = data[: parsed.consumed]
    if head.count(b"\n") != head.count(b"\r\n"):
        raise Refused(400, message("http.bare_line_feed"))
    if b"\n " in head or b"\n\t" in head:
        raise Refused(400, message("http.folded"))
    found = _ONCE.findall(head)
    if len(found) > 1 and len(found) > len({name.lower() for name in found}):
        raise Refused(400, message("http.header_twice"))
    get = parsed.get_header
    if parsed.minor_version == 1 and get("host") is None:
        raise Refused(400, message("http.no_host"))
    coding = get("transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise Refused(501, message("http.transfer_coding"))
    length = get("content-length")
    if length is None:
        return Request(parsed, -1 if parsed.has_chunked else 0)
    if len(length) > MAX_LENGTH_DIGITS:
        raise Refused(413, message("http.length_digits"))
    return Request(parsed, int(length))


class Body:
    """Collects a body of `length` bytes, or of chunks (-1), up to `limit` bytes."""

    __slots__ = ("_buffer", "_chunk", "_file", "_framing", "_trailer", "complete", "limit", "missing", "size")

    def __init__(self, length: int, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.missing = length  # bytes; -1: chunked
        self.complete = length == 0
        self._buffer = b""  # undecoded chunk bytes
        self._chunk = -1  # bytes left of the chunk in hand; -1: a size line comes next; -2: trailers
        self._trailer = self._framing = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
        if length > limit:
            raise Refused(413, message("http.body_too_large", limit=limit, got=length))

    def feed(self, data: bytes) -> bytes:
        """Take bytes; returns those that come after the body.

        Raises
        ------
        Refused
            400 for malformed chunks, 413 beyond the limit, 503 where a full disk cannot hold the body.
        """
        if self.complete:
            return data
        if self.missing >= 0:
            taken = data[: self.missing]
            self._store(taken)
            self.missing -= len(taken)
            self.complete = self.missing == 0
            return data[len(taken) :]
        return self._feed_chunks(data)

    def open(self) -> IO[bytes]:
        """The body, to read from its start."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Let go of memory and file."""
        with contextlib.suppress(OSError):  # what a full disk did not take is tried once more here
            self._file.close()

    def _store(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limit:
            raise Refused(413, message("http.body_larger", limit=self.limit))
        try:
            self._file.write(data)
        except OSError as error:
            raise Refused(503, message("http.body_not_kept", error=error.strerror)) from error

    def _feed_chunks(self, data: bytes) -> bytes:
        data = self._buffer + data
        self._buffer, at, parts = b"", 0, list[bytes]()
        while at < len(data) and not self.complete:
            if self._chunk > 0:
                parts.append(taken := data[at : at + self._chunk])
                self._chunk -= len(taken)
                at += len(taken)
                continue
            following = _NEXT_CHUNK.match(data, at) if self._chunk == 0 else None
            if following is not None:
                end, self._chunk = following.end(), int(following[1], 16) or -2
            else:
                end = data.find(b"\n", at) + 1
                if not end:
                    if len(data) - at > MAX_CHUNK_LINE:
                        raise Refused(400, message("http.chunk_line_without_end"))
                    self._buffer = data[at:]
                    break
                self._line(data[at:end])
            self._framing += end - at
            at = end
        self._store(b"".join(parts))
        if self._framing > MAX_FRAMING_BYTES + self.size // 2:
            raise Refused(400, message("http.small_chunks"))
        return b"" if self._buffer else data[at:]

    def _line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise Refused(400, message("http.chunk_line_end"))
        line = line[:-2]
        if self._chunk == 0:  # the end of a chunk's data
            if line:
                raise Refused(400, message("http.chunk_too_long"))
            self._chunk = -1
        elif self._chunk == -2:
            self._trailer += len(line)
            if self._trailer > MAX_TRAILER_BYTES:
                raise Refused(431, message("http.trailers"))
            self.complete = not line  # trailers are read past: nothing here acts on one
        else:
            size_line = _CHUNK_LINE.fullmatch(line)
            if size_line is None or b"\r" in line:
                raise Refused(400, message("http.chunk_size"))
            self._chunk = int(size_line[1], 16) or -2
