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

from ml.exploration.policy import Policy
from ml.messages import Text, message
from ml.settings import Settings
from serving.auth import limits
from serving.auth.keys import Keys, is_loopback
from serving.auth.limits import RateLimit
from serving.metrics import Metrics
from serving.model.membership import Membership, Watch
from serving.model.store import ModelStore, Served
from serving.prediction_log.writer import LogUnavailable, PredictionLog
from serving.problems import Problem
from serving.scoring import bodies, score
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
        self.policy = Policy(settings.explore) if settings.explore.policy else None
        self.limits = RateLimit(settings.serving.rate_limit_per_s, settings.serving.rate_burst)
        # Where it may be one of several; by itself it needs no look at others.
        self.fleet = Watch(self.folder, self._share) if settings.database_url.startswith("postgresql") else None
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
            if self.fleet is not None:
                self.fleet.start()
            self._pid = os.getpid()

    def close(self) -> None:
        """Write out what is in memory and stop the threads."""
        if self._pid != os.getpid():
            return
        if self.fleet is not None:
            self.fleet.close()
        self.store.close()
        self.log.close()
        self.metrics.close()
        self._pid = 0

    @property
    def out_of_rotation(self) -> Text:
        """Why this service must not answer as one of several; "" where it may."""
        if self.fleet is None:
            return ""
        known = self.fleet.current
        if not known.identity and self.settings.log.hash_columns:
            return message("connections.hash_key_not_compared")
        if self.fleet.is_awaited:
            return message("connections.not_registered_yet")
        return known.out

    def _share(self, known: Membership) -> None:
        self.limits.share(known.live)

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

    def acted(self, scored: Scored) -> Scored:
        """The rows with what follows each, by the policy of the settings; as they are where there is none."""
        return scored if self.policy is None or scored.actions else score.acted(scored, self.policy)

    def record(self, served: Served, scored: Scored) -> Scored:
        """Log and count the rows of one answer; returns them as they are logged, with what follows each (`acted`).

        Raises
        ------
        Problem
            503: the log cannot take them and the settings say to refuse.
        """
        if self.policy is not None:
            scored = self.acted(scored)
        try:
            if len(scored):
                self.log.append(served, scored)
        except LogUnavailable as error:
            self.metrics.log_refused()
            why = message("requests.log_unavailable", error=error.explanation)
            raise Problem(503, why, headers={"Retry-After": "1"}) from error
        self.metrics.scored(served.version, len(scored.ids), scored.rows.warnings)
        return scored


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
