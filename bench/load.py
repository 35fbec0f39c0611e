"""A load generator: one thread, epoll, requests made beforehand. Its own CPU is counted, to rule it out."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

RETRY_S = 0.01
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass
class Result:
    """`latencies` in seconds, one an answered request; `cpu_s` is the generator's own."""

    seconds: float
    cpu_s: float
    latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds."""
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")

    def fail(self, what: str) -> None:
        self.failures[what] = self.failures.get(what, 0) + 1


class _Client:
    __slots__ = ("buffer", "closing", "need", "sent_at", "sock")

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.need = 0
        self.sent_at = 0.0
        self.closing = False


def post(
    path: str, body: bytes, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> bytes:
    """The bytes of a POST."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def run(
    port: int,
    request: bytes,
    *,
    connections: int,
    seconds: float,
    on_answer: Callable[[float, bytes], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Closed loop over kept connections: each sends again as soon as its answer is whole.

    Parameters
    ----------
    on_answer
        Called with the moment the request was sent (monotonic seconds) and the whole answer.
    stop
        Ends the run before `seconds` when it returns True.
    """
    address = ("127.0.0.1", port)
    poll = select.epoll()
    clients: dict[int, _Client] = {}
    began, cpu = time.perf_counter(), time.process_time()
    result = Result(0.0, 0.0)

    def connect() -> None:
        client = _Client(address)
        clients[client.sock.fileno()] = client
        poll.register(client.sock.fileno(), select.EPOLLIN)
        send(client)

    def send(client: _Client) -> None:
        client.sent_at = time.monotonic()
        client.sock.sendall(request)

    for _ in range(connections):
        connect()
    end = began + seconds
    while time.perf_counter() < end and not (stop and stop()):
        while len(clients) < connections:  # what found nobody listening tries again
            try:
                connect()
            except OSError:
                break
        for fd, _ in poll.poll(0.5 if len(clients) == connections else RETRY_S):
            client = clients[fd]
            what = _receive(client, result, on_answer)
            if what == "again":
                send(client)
            elif what == "reconnect":
                poll.unregister(fd)
                client.sock.close()
                del clients[fd]
                try:
                    connect()
                except OSError as error:
                    result.fail(f"connect: {error}")
    result.seconds = time.perf_counter() - began
    result.cpu_s = time.process_time() - cpu
    for client in clients.values():
        client.sock.close()
    poll.close()
    return result


def _receive(client: _Client, result: Result, on_answer: Callable[[float, bytes], None] | None) -> str:
    try:
        data = client.sock.recv(262_144)
    except OSError as error:
        result.fail(str(error))
        return "reconnect"
    if not data:
        result.fail("closed without an answer")
        return "reconnect"
    client.buffer += data
    if not client.need:
        end = client.buffer.find(b"\r\n\r\n")
        if end < 0:
            return ""
        head = client.buffer[:end]
        found = _LENGTH.search(head)
        if found is None:
            result.fail("an answer without a length")
            return "reconnect"
        client.need = end + 4 + int(found[1])
        client.closing = b"\nconnection: close" in head.lower()
    if len(client.buffer) < client.need:
        return ""
    if client.buffer[9:12] == b"200":
        result.latencies.append(time.monotonic() - client.sent_at)
    else:
        result.fail(client.buffer[9:12].decode("latin-1"))
    if on_answer is not None:
        on_answer(client.sent_at, client.buffer)
    client.buffer, client.need = b"", 0
    return "reconnect" if client.closing else "again"
