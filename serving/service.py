"""What a worker is made of: `app.extensions["refit"]` holds one `Service`.

Every route that answers predictions does three things: take `service.served()` once, score with it, and hand
the result to `service.record` before answering. `record` returns when the log's guarantee holds (see
`serving/prediction_log/writer.py`) and raises a 503 problem when it cannot be given, so that
no answer goes out unlogged.
"""

from __future__ import annotations

import logging
import os
import threading

from flask import Flask, current_app, request

from ml.messages import message
from ml.settings import Settings
from serving.auth import limits
from serving.auth.keys import Keys, is_loopback
from serving.auth.limits import RateLimit
from serving.metrics import Metrics
from serving.model.store import ModelStore, Served
from serving.prediction_log.writer import LogUnavailable, PredictionLog
from serving.problems import Problem
from serving.scoring import bodies
from serving.scoring.score import Scored

logger = logging.getLogger("refit.serving")


class Service:
    """Settings, model store, prediction log, metrics and keys of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.var / "serving"
        self.metrics = Metrics(self.folder)
        self.store = ModelStore(self.folder, on_swap=self.metrics.swapped)
        self.log = PredictionLog(settings)
        self.keys = Keys(settings)
        self.allowed_hosts = frozenset(map(str.lower, settings.serving.allowed_hosts))
        # Where a key protects what is reached from afar, a name need not; where names are listed, others may not come.
        self.checks_host = is_loopback(settings.serving.host) or not self.keys.required or bool(self.allowed_hosts)
        self.limits = RateLimit(settings.serving.rate_limit_per_s, settings.serving.rate_burst)
        self._pid = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start what belongs to one process. Safe to call at every request: it does its work once a process."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self.metrics.start()
            self.log.start()
            self.store.start()
            self._pid = os.getpid()

    def close(self) -> None:
        """Write out what is in memory and stop the threads."""
        if self._pid != os.getpid():
            return
        self.store.close()
        self.log.close()
        self.metrics.close()
        self._pid = 0

    def served(self) -> Served:
        """The version in service.

        Raises
        ------
        Problem
            503: no version has been promoted yet, or none could be loaded.
        """
        served = self.store.current()
        if served is None:
            raise no_model(self)
        return served

    def check_room_for_table(self) -> None:
        """Before a table or tensors are scored: what waits for the database must leave room for single rows.

        Raises
        ------
        Problem
            503
        """
        if not self.log.takes_tables:
            raise Problem(503, message("requests.tables_waiting"), headers={"Retry-After": "30"})

    def record(self, served: Served, scored: Scored) -> None:
        """Log and count the rows of one answer.

        Raises
        ------
        Problem
            503: the log cannot take them and the settings say to refuse.
        """
        try:
            if len(scored):
                self.log.append(served, scored)
        except LogUnavailable as error:
            self.metrics.log_refused()
            why = message("requests.log_unavailable", error=error.explanation)
            raise Problem(503, why, headers={"Retry-After": "1"}) from error
        self.metrics.scored(served.version, len(scored.ids), scored.rows.warnings)


def read_body() -> bytes:
    """The body of the current request, without its Content-Encoding.

    Raises
    ------
    Problem
        As `bodies.unpacked`, with the limit of the route.
    """
    most = limits.body_bytes(current_service().settings, request.path, request.content_type or "")
    return bodies.unpacked(request.get_data(cache=False), request.headers.get("Content-Encoding", ""), most)


def no_model(service: Service) -> Problem:
    """What a caller is told before the first version serves."""
    refused = service.store.refused
    why = message("requests.no_model_yet")
    if refused:
        why = message("requests.model_refused", version=refused.version, error=refused.reason)
    return Problem(503, why, headers={"Retry-After": "5"})


def current_service(app: Flask | None = None) -> Service:
    """The service of `app`, or of the application that handles the current request."""
    service: Service = (app or current_app).extensions["refit"]
    return service
