"""The answer to `POST /predict`, made once for the Flask route and for the fast path."""

from __future__ import annotations

from typing import NamedTuple

from serving import problems
from serving.problems import Problem
from serving.scoring import responses, score
from serving.scoring.score import VERSION_HEADER
from serving.service import Service

JSON = "application/json"


class Reply(NamedTuple):
    """Status, body and the headers that belong to this answer alone."""

    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str = JSON


def answer(service: Service, body: bytes, content_type: str | None) -> Reply:
    """Read, score, log, answer. Errors become problems here, so that both callers answer them alike."""
    try:
        check_content_type(content_type)
        served = service.served()
        scored = score.predict(served, body, service.settings.serving)
        service.record(served, scored)
        return Reply(200, responses.body(scored), {VERSION_HEADER: served.version})
    except Exception as error:
        return refusal(error)


def refusal(error: Exception) -> Reply:
    """The problem+json of an error; what nobody foresaw is logged."""
    problem = problems.of(error)
    if problem.status == 500:
        raise error
    return Reply(problem.status, problems.body(problem), problem.headers, problems.MEDIA_TYPE)


def check_content_type(content_type: str | None) -> None:
    """Raise Problem (415) unless the body is said to be JSON."""
    if content_type == JSON:
        return
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise Problem(415, f"expected Content-Type {JSON}, got {content_type or 'none'}; files go to /predict/file")


__all__ = ["VERSION_HEADER", "Reply", "answer", "refusal"]
