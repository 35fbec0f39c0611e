"""The fast path: `POST /predict` from parsed head and body to response bytes, past Flask.

It calls what the Flask route calls (`guard`, `predict.answer`) and only writes the answer out itself; a test
holds both to the same status, headers and bytes. Whatever is not plainly this request goes to Flask.
"""

from __future__ import annotations

import functools
import logging
import time

from serving import problems
from serving.api import guard, predict
from serving.http.http1 import Request
from serving.http.wsgi import http_date, phrase
from serving.service import Service

logger = logging.getLogger("refit.serving")

ROUTE = "/predict"
TARGET = ROUTE.encode()


class FastPath:
    """Answers `POST /predict` for one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limit = service.settings.serving.big_body_bytes

    def takes(self, request: Request) -> bool:
        """Whether this is a request for here: the exact path, and a plain body that is small and of known length."""
        return (
            request.target == TARGET
            and request.method == b"POST"
            and 0 < request.length <= self.limit
            and request.header("content-encoding") is None
        )

    def answer(self, request: Request, body: bytes, address: str, keep_alive: bool) -> bytes:
        """The whole response."""
        started = time.perf_counter()
        service, header = self.service, request.header
        context = guard.Context.of(header)
        try:
            refused = guard.check(service, "POST", "predict", header, address)
            reply = (
                predict.refusal(refused)
                if refused is not None
                else predict.answer(service, body, header("content-type"))
            )
        except Exception as error:  # as Flask's error handler does: the caller learns nothing of the inside
            logger.exception("a request failed for an unforeseen reason")
            problem = problems.of(error)
            reply = predict.reply_to(problem)
        response = _response(reply, context, request.version, keep_alive)
        seconds = time.perf_counter() - started
        service.metrics.answered(ROUTE, reply.status, seconds)
        if reply.problem is not None:
            service.metrics.problem(reply.problem)
        guard.log_access(service, context, "POST", ROUTE, reply.status, seconds)
        return response


def _response(reply: predict.Reply, context: guard.Context, version: int, keep_alive: bool) -> bytes:
    head = _head(version, reply.status, keep_alive, http_date(), tuple(reply.headers.items()), reply.content_type)
    trace = f"traceparent: {context.traceparent}\r\n" if context.traceparent else ""
    own = f"{len(reply.body)}\r\nX-Request-ID: {context.request_id}\r\n{trace}{_COMMON}\r\n"
    return b"".join((head, own.encode("latin-1", "replace"), reply.body))


@functools.lru_cache(maxsize=16)
def _head(
    version: int, status: int, keep_alive: bool, date: str, own: tuple[tuple[str, str], ...], content_type: str
) -> bytes:
    """As far as all answers of one second and kind are the same: up to the length."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in own])
    return (
        f"HTTP/1.{version} {phrase(status)}\r\nServer: gunicorn\r\n"
        f"Date: {date}\r\nConnection: {'keep-alive' if keep_alive else 'close'}\r\n{lines}"
        f"Content-Type: {content_type}\r\nContent-Length: "
    ).encode("latin-1", "replace")


_COMMON = "".join(f"{name}: {value}\r\n" for name, value in guard.SECURITY_HEADERS)
