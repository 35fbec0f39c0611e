"""The connections of the fast worker: requests in, answers out, and when to hang up.

A small `POST /predict` is answered at once. Everything else (all Flask routes, and bodies beyond `big_body_bytes`)
goes to an executor thread once it has arrived in full; the loop writes its answer. All but `_work` runs in the
loop's thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import select
import socket
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from ml.messages import message
from serving import problems
from serving.api.guard import CLIENT_GONE, REFUSED
from serving.auth import limits
from serving.http import wsgi
from serving.http.connection import Connection
from serving.http.fast_path import FastPath
from serving.http.http1 import Body, Refused, Request
from serving.problems import Problem

_libc = ctypes.CDLL(None)
READ_BYTES = 65_536  # also bounds how many pipelined requests are answered before others have their turn
LINGER_S = 2.0  # for a client to read why it was refused, as by nginx's lingering_close; our choice
_GONE = (ConnectionError, BrokenPipeError, TimeoutError)


class Connections:
    """Every open connection, and what happens on it.

    Parameters
    ----------
    worker
        gunicorn's: `alive` (false: answers end their connections), `count()` (one more answer), `PIPE` (wakes the
        loop), `cfg`, `log`, and the application.
    epoll
        What the loop waits on.
    """

    def __init__(self, worker: Any, epoll: select.epoll) -> None:
        self._worker, self._epoll = worker, epoll
        self._app, self._cfg, self._log = worker.wsgi, worker.cfg, worker.log
        self._service = worker.wsgi.extensions["refit"]
        self._settings = self._service.settings.serving
        self._fast_path = FastPath(self._service)
        self._pool = ThreadPoolExecutor(self._settings.executor_threads, thread_name_prefix="refit-request")
        # What takes much memory goes one after the other, and memory has a bound (tests/serving/test_memory.py).
        self._heavy = ThreadPoolExecutor(1, thread_name_prefix="refit-heavy")
        self._grown = False  # whether memory that a large request took may have come free
        self._done: deque[tuple[Connection, wsgi.Answer]] = deque()
        self.open: dict[int, Connection] = {}  # the one that has been silent longest first

    def begin(self, client: socket.socket, peer: Any) -> None:
        """Take a connection that was accepted."""
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client, peer, time.monotonic() + self._settings.header_timeout_s)
        self.open[connection.fd] = connection
        self._watch(connection, select.EPOLLIN)
        self.ready(connection, select.EPOLLIN)  # most clients have sent already

    def end(self) -> None:
        """Close every connection, and start no more work."""
        for pool in (self._pool, self._heavy):
            pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self.open.values()):
            self.close(connection)

    def evict(self) -> None:
        """Close the connection that has been silent longest, for want of room."""
        victim = next((c for c in self.open.values() if not c.busy), None)
        if victim is not None:
            self.close(victim)

    def ready(self, connection: Connection, event: int) -> None:
        """Go on with a connection that epoll tells of."""
        try:
            if connection.writing:
                if event & ~select.EPOLLIN:
                    self._go_on_writing(connection)
                return
            self._read(connection)
        except Refused as error:
            self._refuse(connection, error)
        except _GONE:
            self.close(connection)
        except OSError as error:
            self._log.warning("connection closed: %s", error)
            self.close(connection)
        except Exception:  # one connection's fault must not end the worker
            self._log.exception("Error handling a connection")
            self.close(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close(connection)
            return
        if connection.lingering:
            return
        if connection.idle:  # the time for a head runs from its first byte, however slowly the rest comes
            connection.deadline = time.monotonic() + self._settings.header_timeout_s
        connection.data = connection.data + data if connection.data else data
        self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Answer every request that is complete, in order; stop when bytes, a thread or the client is awaited."""
        while connection.data or connection.request is not None:
            request = connection.request
            if request is None:
                request = connection.next_head()
                if request is None:
                    return
                if not self._start(connection, request):
                    return
                continue
            body = connection.body
            if body is not None:
                connection.data = body.feed(connection.data)
                connection.deadline = time.monotonic() + self._settings.body_timeout_s
                if not body.complete:
                    return
                self._submit(connection, request, body)
                return
            if not self._answer_fast(connection, request):
                return

    def _start(self, connection: Connection, request: Request) -> bool:
        """Begin a request. False when the client must be waited for."""
        connection.request = request
        expects = request.expects_continue
        fast = self._fast_path.takes(request)
        if not fast:
            path = _path(request)
            most = limits.body_bytes(self._service.settings, path, request.header("content-type") or "")
            connection.body = Body(request.length, most)
        connection.deadline = time.monotonic() + self._settings.body_timeout_s
        if expects and not connection.data and not connection.send(b"HTTP/1.1 100 Continue\r\n\r\n"):
            self._watch(connection, select.EPOLLOUT)
            return False
        return True

    def _answer_fast(self, connection: Connection, request: Request) -> bool:
        """Answer `POST /predict`. False while its body is incomplete or its answer is not taken."""
        data = connection.data
        if len(data) < request.length:
            return False
        body = data if len(data) == request.length else data[: request.length]
        connection.data = data[request.length :]
        keep = request.keep_alive and self._worker.alive
        connection.request = None
        connection.close_after = not keep
        sent = connection.send(self._fast_path.answer(request, body, connection.address, keep))
        self._worker.count()
        if not sent:
            self._watch(connection, select.EPOLLOUT)
            connection.deadline = time.monotonic() + self._settings.body_timeout_s
            return False
        return self._rest(connection)

    def _rest(self, connection: Connection) -> bool:
        """After an answer: close, or wait for the next request. False when closed."""
        if connection.close_after:
            self._linger(connection)
            return False
        connection.deadline = time.monotonic() + self._settings.keepalive_s
        # To the end of the line of those that may be closed for want of room.
        if self.open.pop(connection.fd, None) is not None:
            self.open[connection.fd] = connection
        return True

    def _submit(self, connection: Connection, request: Request, body: Body) -> None:
        connection.busy = True
        self._watch(connection, 0)  # not read on meanwhile: a client cannot pile up requests here
        kind, packed = request.header("content-type") or "", request.header("content-encoding") is not None
        heavy = limits.is_heavy(request.target.decode("latin-1"), kind, packed, body.size)
        pool, work = (self._heavy, self._work_heavily) if heavy else (self._pool, self._work)
        pool.submit(work, connection, request, body)

    def _work_heavily(self, connection: Connection, request: Request, body: Body) -> None:
        """Give memory back before the next one takes it: what two of them need does not add up."""
        self._work(connection, request, body)
        give_back_memory()

    def _work(self, connection: Connection, request: Request, body: Body) -> None:
        """In an executor thread: one WSGI call."""
        keep = request.keep_alive and self._worker.alive
        try:
            values = self._environ(connection, request, body.open(), body.size)
            values[CLIENT_GONE] = connection.client_has_gone
            answer = wsgi.call(self._app, values, keep_alive=keep, room=self._room)
        except Exception as error:  # beyond Flask's reach: a full disk cannot hold the answer, for one
            self._log.exception("Error handling request %s", request.target.decode("latin-1"))
            answer = self._problem(problems.of(error), _path(request))
        self._done.append((connection, answer))
        self._wake()
        self._grown = self._grown or body.size > limits.HEAVY_BYTES or answer.file is not None

    def _environ(self, connection: Connection, request: Request, body: IO[bytes], size: int) -> dict[str, Any]:
        return wsgi.environ(
            request,
            body,
            size,
            connection.peer,
            connection.sock.getsockname(),
            multiprocess=self._cfg.workers > 1,
            trusted=connection.address in self._cfg.forwarded_allow_ips,
        )

    def _room(self) -> int:
        """What is left in memory for large answers that a full disk does not take; asked in an executor thread."""
        waiting = sum(len(out) for c in list(self.open.values()) if (out := c.out) is not None)
        return wsgi.FULL_DISK_BYTES - waiting - sum(len(answer.body) for _, answer in list(self._done))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the loop is about to wake anyway
            os.write(self._worker.PIPE[1], b".")

    def woken(self) -> None:
        """Write out what the executor threads have answered."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._worker.PIPE[0], 4096)
        while self._done:
            connection, answer = self._done.popleft()
            connection.busy = False
            self._worker.count()
            if connection.fd not in self.open or self.open[connection.fd] is not connection:
                connection.close()
                continue
            connection.finish_request()
            connection.deadline = time.monotonic() + self._settings.body_timeout_s
            try:
                if connection.start_answer(answer):
                    self._written(connection)
                else:
                    self._watch(connection, select.EPOLLOUT)
            except OSError:
                self.close(connection)

    def _go_on_writing(self, connection: Connection) -> None:
        """The client takes bytes again. It has as long as before for the next ones: silence is timed out, not size."""
        if connection.flush():
            self._written(connection)
        else:
            connection.deadline = time.monotonic() + self._settings.body_timeout_s

    def _written(self, connection: Connection) -> None:
        """All of an answer (or of "100 Continue") is out: go on."""
        self._watch(connection, select.EPOLLIN)
        if connection.request is None and not self._rest(connection):
            return
        if connection.data:
            try:
                self._advance(connection)
            except Refused as error:
                self._refuse(connection, error)

    def _problem(self, problem: Problem, path: str) -> wsgi.Answer:
        self._service.metrics.problem(problem.code)
        status, body, kind = problems.answer_to(problem, path)
        fields = [("Content-Type", kind), *problem.headers.items()]
        head = wsgi.response_head(wsgi.phrase(status), fields, len(body), False, 1, bodyless=False)
        return wsgi.Answer(status, head, body, None, 0, False)

    def _refuse(self, connection: Connection, error: Refused) -> None:
        """Answer what cannot be read on, and close."""
        answer = self._refusal(connection, error)
        connection.request = None
        connection.data = b""
        try:
            sent = connection.start_answer(answer)
        except OSError:
            self.close(connection)
            return
        if sent:
            self._linger(connection)
        else:
            self._watch(connection, select.EPOLLOUT)

    def _refusal(self, connection: Connection, error: Refused) -> wsgi.Answer:
        """As the protocol has it; the application's page where a browser asks."""
        request, problem = connection.request, Problem(error.status, error.detail)
        if request is not None and "text/html" in (request.header("accept") or ""):
            values = self._environ(connection, request, io.BytesIO(), 0)
            return wsgi.call(self._app, values | {"CONTENT_LENGTH": "0", REFUSED: problem}, keep_alive=False)
        self._service.metrics.answered("none", error.status, 0.0)
        return self._problem(problem, "" if request is None else _path(request))

    def sweep(self, now: float) -> None:
        """Close what has taken too long, and give back what large requests have taken."""
        if self._grown:
            self._grown = False
            self._heavy.submit(give_back_memory)  # some milliseconds, which the loop does not have
        late = [c for c in self.open.values() if now > c.deadline and not c.busy]  # lingering ones are idle
        for connection in late:
            if connection.writing and connection.client_takes_bytes():
                connection.deadline = now + self._settings.body_timeout_s
            elif connection.writing or connection.idle:
                self.close(connection)
            else:
                self._refuse(connection, Refused(408, message("http.too_slow")))

    def _watch(self, connection: Connection, mask: int) -> None:
        if connection.mask == mask:
            return
        if not connection.mask:
            self._epoll.register(connection.fd, mask)
        elif not mask:
            self._epoll.unregister(connection.fd)
        else:
            self._epoll.modify(connection.fd, mask)
        connection.mask = mask

    def close(self, connection: Connection) -> None:
        """Close a connection, whatever its state."""
        if self.open.get(connection.fd) is connection:
            del self.open[connection.fd]
        self._watch(connection, 0)
        connection.close()

    def _linger(self, connection: Connection) -> None:
        """Close once the client has: closing on bytes that were not read would destroy the answer on its way."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        connection.finish_request()
        connection.data = b""
        connection.lingering = True
        connection.deadline = time.monotonic() + LINGER_S
        self._watch(connection, select.EPOLLIN)


def give_back_memory() -> None:
    """What the C library keeps of a large request for the next one, where it is glibc's."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def _path(request: Request) -> str:
    return request.target.decode("latin-1").partition("?")[0]
