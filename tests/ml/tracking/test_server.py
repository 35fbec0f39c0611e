"""MLflow behind a check of Origin: no page of another port can move the alias."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ml.tracking import server as mlflow_server
from ops import layout, supervision
from tests.serving import tiny


async def _status(method: str, headers: dict[str, str]) -> int:
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "headers": fields}
    await mlflow_server.OwnOrigin(app)(scope, None, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", None, 200),
        ("POST", "http://localhost:5000", 200),
        ("POST", "http://localhost:9999", 403),
        ("DELETE", "null", 403),
        ("OPTIONS", "http://localhost:9999", 403),
        ("GET", "http://localhost:9999", 200),
    ],
)
def test_another_origin_changes_nothing(method: str, origin: str | None, status: int) -> None:
    headers = {"Host": "localhost:5000"} | ({"Origin": origin} if origin else {})
    assert asyncio.run(_status(method, headers)) == status


def test_the_stack_starts_mlflow_behind_it(tmp_path: Any) -> None:
    command = supervision.mlflow(layout.Layout(tiny.settings_for(tmp_path))).command
    assert command[1:3] == ["-m", "ml.tracking.server"]


def test_mlflow_s_own_function_is_what_is_wrapped() -> None:
    """Of a private name: a release of MLflow that renames it must not start without the check."""
    from mlflow import server

    command = server._build_uvicorn_command(None, "127.0.0.1", 1, 1, "mlflow.server.fastapi_app:app")
    assert command[-1] == "mlflow.server.fastapi_app:app"
