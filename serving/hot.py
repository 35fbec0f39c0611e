"""The fast path: `POST /predict` from parsed head and body to response bytes, past Flask.

It calls what the Flask route calls (`guard`, `predict.answer`) and only writes the answer out itself; a test
holds both to the same status, headers and bytes. Whatever is not plainly this request goes to Flask.
"""

from __future__ import annotations

import logging
import time

from serving import guard, predict, problems
from serving.framing import Request
from serving.service import Service
from serving.wsgi import http_date, phrase

logger = logging.getLogger("refit.serving")

ROUTE = "/predict"
TARGET = ROUTE.encode()


class HotRoute:
    """Answers `POST /predict` for one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limit = service.settings.serving.big_body_bytes

    def takes(self, request: Request) -> bool:
        """Whether this is a request for here: the exact path, and a body that is small and of known length."""
        return request.target == TARGET and request.method == b"POST" and 0 < request.length <= self.limit

    def answer(self, request: Request, body: bytes, address: str, keep_alive: bool) -> bytes:
        """The whole response."""
        started = time.perf_counter()
        service, header = self.service, request.header
        context = guard.Context.of(header)
        try:
            refused = guard.check(service, "POST", ROUTE, header, address)
            reply = (
                predict.refusal(refused)
                if refused is not None
                else predict.answer(service, body, header("content-type"))
            )
        except Exception as error:  # as Flask's error handler does: the caller learns nothing of the inside
            logger.exception("a request failed for an unforeseen reason")
            problem = problems.of(error)
            reply = predict.Reply(problem.status, problems.body(problem), problem.headers, problems.MEDIA_TYPE)
        response = _response(reply, context, request.version, keep_alive)
        seconds = time.perf_counter() - started
        service.metrics.answered(ROUTE, reply.status, seconds)
        guard.log_access(service, context, "POST", ROUTE, reply.status, seconds)
        return response


def _response(reply: predict.Reply, context: guard.Context, version: int, keep_alive: bool) -> bytes:
    own = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
    common = _COMMON if not context.traceparent else f"traceparent: {context.traceparent}\r\n{_COMMON}"
    head = (
        f"HTTP/1.{version} {_PHRASES.get(reply.status) or phrase(reply.status)}\r\nServer: gunicorn\r\n"
        f"Date: {http_date()}\r\nConnection: {'keep-alive' if keep_alive else 'close'}\r\n{own}"
        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
        f"X-Request-ID: {context.request_id}\r\n{common}\r\n"
    )
    return head.encode("latin-1", "replace") + reply.body


_COMMON = "".join(f"{name}: {value}\r\n" for name, value in guard.SECURITY_HEADERS)
_PHRASES = {200: phrase(200)}
