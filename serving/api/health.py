"""Is the process alive, and can it answer? `GET /health/live`, `GET /health/ready`, `GET /metrics`.

`/health/ready` is what `promote` reads: the version of every worker of this machine, and what was refused and why.
"""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response

from ml.messages import Message, Text, code_of, message
from serving.api import guard, operations
from serving.api.operations import JSON, OBJECT
from serving.model.store import Refusal, read_refusals, worker_states
from serving.prediction_log.records import backlog_bytes
from serving.service import Service, current_service

bp = Blueprint("health", __name__)


@bp.get("/health/live")
@guard.opens(None)
@operations.describe("Is the process alive?", {JSON: OBJECT}, tag="health")
def live() -> Response:
    """The process runs and handles requests."""
    return _json({"status": "alive"})


@bp.get("/health/ready")
@guard.opens(None)
@operations.describe(
    "Can it answer? With every worker's version.", {JSON: OBJECT}, also={503: {JSON: OBJECT}}, tag="health"
)
def ready() -> Response:
    """200 when a model is loaded and answers can be logged, else 503; either way with what is the case."""
    content, ok = readiness(current_service())
    return _json(content, 200 if ok else 503)


@bp.get("/metrics")
@guard.opens("admin", by_address=True)
@operations.describe("Prometheus metrics.", {"text/plain": operations.TEXT}, tag="health")
def metrics() -> Response:
    """Prometheus's text format."""
    return Response(current_service().metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


def readiness(found: Service) -> tuple[dict[str, Any], bool]:
    """What `/health/ready` tells, and whether this worker can answer predictions."""
    served = found.store.current()
    states = worker_states(found.folder)
    problems: list[Text] = []
    if served is None:
        problems.append(message("connections.no_model"))
    if found.log.problem:
        problems.append(message("connections.prediction_log", error=found.log.problem))
    out = found.out_of_rotation
    if out:
        problems.append(out)
    ok = served is not None and not (found.log.problem and found.settings.log.on_failure == "refuse") and not out
    return {
        "status": "ready" if ok else "not ready",
        "model_version": served.version if served else None,
        "sha256": served.sha256 if served else None,
        "workers": [
            {"pid": s.pid, "model_version": s.model_version, "sha256": s.sha256, "refused": _refusal(s.refused)}
            for s in states
        ],
        "refused": _refusal(_newest_refusal(found)),
        "problems": [str(problem) for problem in problems],
        "codes": [code_of(problem) for problem in problems],
        "services": found.fleet.current.live if found.fleet is not None else 1,
        "log": {"lag_bytes": backlog_bytes(found.log.folder), "in_memory": found.log.waiting},
    }, ok


def _newest_refusal(found: Service) -> Refusal | None:
    """Of this worker's own and the follower's: what `promote` waits for is the newest."""
    own = [found.store.refused] if found.store.refused else []
    return max([*own, *read_refusals(found.folder)], key=lambda refusal: refusal.time, default=None)


def _refusal(refused: Refusal | None) -> dict[str, Any] | None:
    """With its reason in English, and as the message that it is, where it is one of ours."""
    if refused is None:
        return None
    own = refused.reason if isinstance(refused.reason, Message) else None
    told = {"version": refused.version, "reason": str(refused.reason), "message": own, "time": refused.time}
    return {name: msgspec.to_builtins(value) for name, value in told.items()}


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, mimetype="application/json")
