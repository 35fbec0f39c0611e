"""A gunicorn worker for short requests on kept connections: one thread, epoll, the fast path inline.

gunicorn's gthread hands every request through selector, pool and pipe, which costs several times what scoring a
row does (bench/serving.py). Here one thread reads, answers `POST /predict` at once, and gives everything else
(all Flask routes, and bodies beyond `big_body_bytes`) to a few executor threads once it has arrived in full; answers
are written by the loop again. So neither a slow client nor a large body holds up single rows.

Limits: size of head, body and chunk lines (`serving/framing.py`), time for a head, a body and a taker of answers,
number of connections (the one that has been silent longest goes first). On SIGTERM: no new connections,
every request that arrives within `DRAIN_S` is answered with `Connection: close`, those in work are finished.
Linux only; TLS belongs in front, or to `worker_class = "gthread"`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gunicorn.workers import base

from serving import problems, wsgi
from serving.connection import Connection
from serving.framing import Body, Refused, Request
from serving.hot import HotRoute
from serving.problems import Problem

READ_BYTES = 65_536  # also bounds how many pipelined requests are answered before others have their turn
TICK_S = 0.1  # at most so long until it is noticed that the master is dead: the port must be free for the next one
SWEEP_S = 0.5
DRAIN_S = 1.0
LINGER_S = 2.0
ACCEPT_AT_ONCE = 16
SPARE_FILES = 128  # descriptors for everything that is no client connection
_GONE = (ConnectionError, BrokenPipeError, TimeoutError)


class FastWorker(base.Worker):  # type: ignore[misc]  # gunicorn ships no types
    """See the module."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what this worker cannot do."""
        if cfg.is_ssl:
            raise RuntimeError('TLS: put a proxy in front, or set serving.worker_class = "gthread"')
        if not hasattr(select, "epoll"):
            raise RuntimeError('this worker needs Linux (epoll): set serving.worker_class = "gthread"')

    def init_process(self) -> None:
        """In the forked worker: the loop's own things, then gunicorn's."""
        # A thread that computes gives way after this long to the loop, whose work is short.
        sys.setswitchinterval(0.0005)
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}  # the one that has been silent longest first
        self._done: deque[tuple[Connection, wsgi.Answer]] = deque()
        self._limit = self._file_limit()
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop."""
        service = self.wsgi.extensions["refit"]
        self._settings = service.settings.serving
        self._service = service
        self._hot = HotRoute(service)
        self._pool = ThreadPoolExecutor(self._settings.executor_threads, thread_name_prefix="refit-request")
        self._listeners = {s.fileno(): s for s in self.sockets}
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            # EXCLUSIVE: one waiting worker is woken for a new connection, not all.
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self.PIPE[0], select.EPOLLIN)
        self._loop(lambda: self.alive)
        self._drain()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._connections.values()):
            self._close(connection)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: the loop sees it at once, as the signal also writes to the pipe that it waits on."""
        self.alive = False

    def _file_limit(self) -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        wanted: int = self.cfg.worker_connections
        return max(16, min(wanted, (hard if hard > 0 else wanted + SPARE_FILES) - SPARE_FILES))

    def _loop(self, going: Any) -> None:
        tick_at = sweep_at = 0.0
        while going():
            now = time.monotonic()
            if now >= tick_at:
                tick_at = now + TICK_S
                if self.alive and self.ppid != os.getppid():
                    self.log.info("Parent changed, shutting down: %s", self)
                    self.alive = False
            if now >= sweep_at:
                sweep_at = now + SWEEP_S
                self.notify()
                self._sweep(now)
            try:
                events = self._epoll.poll(TICK_S)
            except InterruptedError:
                continue
            for fd, event in events:
                connection = self._connections.get(fd)
                if connection is not None:
                    self._ready(connection, event)
                elif fd in self._listeners:
                    self._accept(self._listeners[fd])
                elif fd == self.PIPE[0]:
                    self._woken()

    def _drain(self) -> None:
        """After SIGTERM: answer what has come and what comes within DRAIN_S, then what is in work."""
        for listener in self._listeners.values():
            self._accept(listener, every=True)
            self._epoll.unregister(listener.fileno())
            listener.close()  # the last one to do so frees the port
        self._listeners = {}
        soft = time.monotonic() + DRAIN_S
        hard = time.monotonic() + self.cfg.graceful_timeout - 1

        def going() -> bool:
            now = time.monotonic()
            if now < soft:
                return bool(self._connections)
            for connection in [c for c in self._connections.values() if c.idle]:
                self._ready(connection, select.EPOLLIN)  # a last look: a request may have just arrived
                if connection.idle:
                    self._close(connection)
            return now < hard and bool(self._connections)

        self._loop(going)

    def _accept(self, listener: socket.socket, every: bool = False) -> None:
        # A worker with few connections takes one at a time, so that its idle siblings get their share.
        at_once = ACCEPT_AT_ONCE if len(self._connections) >= 64 else 1
        while every or at_once > 0:
            at_once -= 1
            try:
                client, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._evict()
                return
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._connections) >= self._limit:
                self._evict()
            connection = Connection(client, peer, time.monotonic() + self._settings.header_timeout_s)
            self._connections[connection.fd] = connection
            self._watch(connection, select.EPOLLIN)
            self._ready(connection, select.EPOLLIN)  # most clients have sent already

    def _evict(self) -> None:
        victim = next((c for c in self._connections.values() if not c.busy), None)
        if victim is not None:
            self._close(victim)

    def _ready(self, connection: Connection, event: int) -> None:
        try:
            if connection.writing:
                if event & ~select.EPOLLIN and connection.flush():
                    self._written(connection)
                return
            self._read(connection)
        except Refused as error:
            self._refuse(connection, error)
        except _GONE:
            self._close(connection)
        except OSError as error:
            self.log.warning("connection closed: %s", error)
            self._close(connection)
        except Exception:  # one connection's fault must not end the worker
            self.log.exception("Error handling a connection")
            self._close(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close(connection)
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
            if not self._answer_hot(connection, request):
                return

    def _start(self, connection: Connection, request: Request) -> bool:
        """Begin a request. False when the client must be waited for."""
        expects = request.expects_continue
        hot = self._hot.takes(request)
        if not hot:
            connection.body = Body(request.length, self._settings.max_body_bytes)
        connection.request = request
        connection.deadline = time.monotonic() + self._settings.body_timeout_s
        if expects and not connection.data and not connection.send(b"HTTP/1.1 100 Continue\r\n\r\n"):
            self._watch(connection, select.EPOLLOUT)
            return False
        return True

    def _answer_hot(self, connection: Connection, request: Request) -> bool:
        """Answer `POST /predict`. False while its body is incomplete or its answer is not taken."""
        data = connection.data
        if len(data) < request.length:
            return False
        body = data if len(data) == request.length else data[: request.length]
        connection.data = data[request.length :]
        keep = request.keep_alive and self.alive
        connection.request = None
        connection.close_after = not keep
        sent = connection.send(self._hot.answer(request, body, connection.address, keep))
        self._count()
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
        if self._connections.pop(connection.fd, None) is not None:
            self._connections[connection.fd] = connection
        return True

    def _submit(self, connection: Connection, request: Request, body: Body) -> None:
        connection.busy = True
        self._watch(connection, 0)  # not read on meanwhile: a client cannot pile up requests here
        self._pool.submit(self._work, connection, request, body)

    def _work(self, connection: Connection, request: Request, body: Body) -> None:
        """In an executor thread: one WSGI call."""
        keep = request.keep_alive and self.alive
        try:
            values = wsgi.environ(
                request,
                body.open(),
                body.size,
                connection.peer,
                connection.sock.getsockname(),
                multiprocess=self.cfg.workers > 1,
                trusted=connection.address in self.cfg.forwarded_allow_ips,
            )
            answer = wsgi.call(self.wsgi, values, keep_alive=keep)
        except Exception:
            self.log.exception("Error handling request %s", request.target.decode("latin-1"))
            answer = _problem(Problem(500, "a fault of the service, which is in its log"))
        self._done.append((connection, answer))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the loop is about to wake anyway
            os.write(self.PIPE[1], b".")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.PIPE[0], 4096)
        while self._done:
            connection, answer = self._done.popleft()
            connection.busy = False
            self._count()
            if connection.fd not in self._connections or self._connections[connection.fd] is not connection:
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
                self._close(connection)

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

    def _refuse(self, connection: Connection, error: Refused) -> None:
        """Answer what cannot be read on, and close."""
        self._service.metrics.answered("none", error.status, 0.0)
        connection.request = None
        connection.data = b""
        try:
            sent = connection.start_answer(_problem(Problem(error.status, error.detail)))
        except OSError:
            self._close(connection)
            return
        if sent:
            self._linger(connection)
        else:
            self._watch(connection, select.EPOLLOUT)

    def _sweep(self, now: float) -> None:
        """Close what has taken too long."""
        late = [c for c in self._connections.values() if now > c.deadline and not c.busy]  # lingering ones are idle
        for connection in late:
            if connection.writing or connection.idle:
                self._close(connection)
            else:
                self._refuse(connection, Refused(408, "the request did not arrive in time"))

    def _count(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

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

    def _close(self, connection: Connection) -> None:
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]
        self._watch(connection, 0)
        connection.close()

    def _linger(self, connection: Connection) -> None:
        """Close once the client has: closing on bytes that were not read would destroy the answer on its way."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        connection.finish_request()
        connection.data = b""
        connection.lingering = True
        connection.deadline = time.monotonic() + LINGER_S
        self._watch(connection, select.EPOLLIN)


def _problem(problem: Problem) -> wsgi.Answer:
    body = problems.body(problem)
    fields = [("Content-Type", problems.MEDIA_TYPE), *problem.headers.items()]
    head = wsgi.response_head(wsgi.phrase(problem.status), fields, len(body), False, 1, bodyless=False)
    return wsgi.Answer(problem.status, head, body, None, 0, False)
