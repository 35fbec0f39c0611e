"""A gunicorn worker for short requests on kept connections: one thread, epoll, the fast path inline.

gunicorn's gthread hands every request through selector, pool and pipe, which costs several times what scoring a
row does (bench/serving.py). Here one thread reads, answers `POST /predict` at once, and gives everything else
(all Flask routes, and bodies beyond `big_body_bytes`) to a few executor threads once it has arrived in full; answers
are written by the loop again. So neither a slow client nor a large body holds up single rows. What is said on a
connection is `serving/http/connections.py`; here are the process, its listeners and its loop.

Limits: size of head, body and chunk lines (`serving/http/http1.py`), time for a head, a body and a taker of answers,
number of connections (the one that has been silent longest goes first). On SIGTERM: no new connections,
every request that arrives within `DRAIN_S` is answered with `Connection: close`, those in work are finished.
Linux only; TLS belongs in front, or to `worker_class = "gthread"`.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import sys
import time
from typing import Any

from gunicorn.workers import base

from serving.http.connections import Connections

TICK_S = 0.1  # at most so long until it is noticed that the master is dead: the port must be free for the next one
SWEEP_S = 0.5  # between two looks for connections past their deadline
DRAIN_S = 1.0  # for clients that have not seen the end yet; our choice
ACCEPT_AT_ONCE = 16  # when many wait; else one, so that the other workers get theirs
SPARE_FILES = 128  # descriptors for everything that is no client connection


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
        self._limit = self._file_limit()
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop."""
        self._connections = Connections(self, self._epoll)
        self._listeners = {s.fileno(): s for s in self.sockets}
        for fd, listener in self._listeners.items():
            listener.setblocking(False)
            # EXCLUSIVE: one waiting worker is woken for a new connection, not all.
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self.PIPE[0], select.EPOLLIN)
        self._loop(lambda: self.alive)
        self._drain()
        self._connections.end()

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
                self._connections.sweep(now)
            try:
                events = self._epoll.poll(TICK_S)
            except InterruptedError:
                continue
            for fd, event in events:
                connection = self._connections.open.get(fd)
                if connection is not None:
                    self._connections.ready(connection, event)
                elif fd in self._listeners:
                    self._accept(self._listeners[fd])
                elif fd == self.PIPE[0]:
                    self._connections.woken()

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
                return bool(self._connections.open)
            for connection in [c for c in self._connections.open.values() if c.idle]:
                self._connections.ready(connection, select.EPOLLIN)  # a last look: a request may have just arrived
                if connection.idle:
                    self._connections.close(connection)
            return now < hard and bool(self._connections.open)

        self._loop(going)

    def _accept(self, listener: socket.socket, every: bool = False) -> None:
        # A worker with few connections takes one at a time, so that its idle siblings get their share.
        at_once = ACCEPT_AT_ONCE if len(self._connections.open) >= 64 else 1
        while every or at_once > 0:
            at_once -= 1
            try:
                client, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                self._connections.evict()
                return
            if len(self._connections.open) >= self._limit:
                self._connections.evict()
            self._connections.begin(client, peer)

    def count(self) -> None:
        """One more answer: at `max_requests` the master starts another worker in this one's place."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
