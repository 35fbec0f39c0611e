"""One client connection of the fast worker: what has been read, what is to be written, until when."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import termios
from typing import Any

from serving.http.http1 import Body, Request, read_head
from serving.http.wsgi import Answer

SEND_BYTES = 262_144  # at once, so that one reader does not hold the loop; our choice
KEPT_HEAD_BYTES = 2_048  # a head up to this size is kept to be recognised; our choice


class Connection:
    """State of one socket. `data` holds bytes that came and are not yet part of a request in hand.

    It is in one of four phases: waiting for a head (`request` and `answer` are None), reading a body (`body`),
    working (`busy`: an executor thread has it), or writing (`out` or `file`).

    Parameters
    ----------
    sock
        Accepted, and not blocking.
    peer
        Its address, as `accept` gave it.
    deadline
        On the monotonic clock: when to give up the phase it is in.
    """

    __slots__ = (
        "_answer_file",
        "_file_left",
        "_last_head",
        "_last_request",
        "_unsent",
        "body",
        "busy",
        "close_after",
        "data",
        "deadline",
        "fd",
        "lingering",
        "mask",
        "out",
        "peer",
        "request",
        "sock",
    )

    def __init__(self, sock: socket.socket, peer: Any, deadline: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.deadline = deadline
        self.data = b""
        self.out: memoryview | None = None
        self.request: Request | None = None
        self.body: Body | None = None
        self.busy = False
        self.close_after = False
        self.lingering = False  # answered and shut for writing: what still comes is thrown away
        self.mask = 0  # what epoll watches; 0: not registered
        self._answer_file: Any = None
        self._file_left = 0
        self._last_head = b""
        self._last_request: Request | None = None
        self._unsent = sys.maxsize

    @property
    def address(self) -> str:
        """The peer's address; "" on a Unix socket."""
        return str(self.peer[0]) if isinstance(self.peer, tuple) and self.peer else ""

    @property
    def idle(self) -> bool:
        """Between two requests, with not a byte of the next one."""
        return not (self.busy or self.data or self.request or self.out or self._answer_file)

    @property
    def writing(self) -> bool:
        """Part of an answer has not been taken by the client yet."""
        return self.out is not None or self._answer_file is not None

    def client_takes_bytes(self) -> bool:
        """Whether the client has taken some of what the kernel holds for it since this was asked last.

        epoll tells of room only when a good part of the kernel's buffer (up to 4 MB) is free, which takes a slow reader
        longer than any deadline for silence.
        """
        before = self._unsent
        self._unsent = int.from_bytes(fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return self._unsent < before

    def client_has_gone(self) -> bool:
        """Whether the client has closed its side while its request is in work; asked in that thread."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def next_head(self) -> Request | None:
        """Take the next request's head from `data`, or None until more comes.

        A client that asks again on its connection sends the same head, byte for byte: that one is not parsed again.
        """
        data = self.data
        if self._last_head and data.startswith(self._last_head):
            request = self._last_request
        else:
            request = read_head(data)
            if request is not None and request.consumed <= KEPT_HEAD_BYTES:
                self._last_head, self._last_request = data[: request.consumed], request
        if request is not None:
            self.data = data[request.consumed :]
        return request

    def send(self, data: bytes) -> bool:
        """Send, and keep what the client does not take now. True when all is out.

        Raises
        ------
        OSError
            The client is gone.
        """
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return True
        self.out = memoryview(data)[sent:]
        return False

    def start_answer(self, answer: Answer) -> bool:
        """Send an application's answer. True when all is out."""
        self.close_after = not answer.keep_alive
        if answer.file is not None:
            self._answer_file, self._file_left = answer.file, answer.size
            answer.file.seek(0)
        return self.send(answer.head + answer.body) and self.flush()

    def flush(self) -> bool:
        """Go on sending. True when all is out."""
        try:
            while self.out is not None:
                sent = self.sock.send(self.out[:SEND_BYTES])
                self.out = self.out[sent:] if sent < len(self.out) else None
            while self._answer_file is not None:
                self._send_file()
        except BlockingIOError:
            return False
        return True

    def _send_file(self) -> None:
        file = self._answer_file
        sent = os.sendfile(self.fd, file.fileno(), None, min(self._file_left, SEND_BYTES)) if self._file_left else 0
        self._file_left -= sent
        if self._file_left <= 0 or not sent:
            if self._file_left:
                raise ConnectionError("the answer's file ended early")
            file.close()
            self._answer_file = None

    def finish_request(self) -> None:
        """Let go of the request that has been answered."""
        if self.body is not None:
            self.body.close()
        self.request = self.body = None

    def close(self) -> None:
        """Close the socket and whatever the connection holds."""
        if not self.busy:  # a thread may be reading the body: it is closed when that ends
            self.finish_request()
        if self._answer_file is not None:
            with contextlib.suppress(OSError):
                self._answer_file.close()
            self._answer_file = None
        with contextlib.suppress(OSError):
            self.sock.close()
