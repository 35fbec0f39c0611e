"""MLflow's server, which a page of another origin can ask for nothing that changes: `python -m ml.tracking.server …`.

MLflow takes requests from pages of any port of this machine (`mlflow.server.security_utils.is_localhost_origin`),
whatever `--cors-allowed-origins` says: any of them could move the alias `champion`. Here a request with an `Origin`
that is not its own Host is refused before MLflow sees it. Programs send no Origin. Arguments are those of
`mlflow server`; its application is wrapped, and nothing else of it is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

APPLICATION = "ml.tracking.server:application"
SAFE = ("GET", "HEAD")


def is_foreign(method: str, origin: str, host: str) -> bool:
    """Whether a request comes from a page of another origin and may change something.

    Parameters
    ----------
    origin
        The header Origin; "" where it is absent, as from other programs than browsers.
    host
        The header Host.

    >>> is_foreign("POST", "http://localhost:9999", "localhost:5000"), is_foreign("POST", "", "localhost:5000")
    (True, False)
    """
    return method not in SAFE and bool(origin) and origin.partition("://")[2] != host


class OwnOrigin:
    """ASGI middleware: 403 for what `is_foreign` says."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            if is_foreign(scope["method"], headers.get(b"origin", ""), headers.get(b"host", "")):
                head = [(b"content-type", b"text/plain")]
                await send({"type": "http.response.start", "status": 403, "headers": head})
                await send({"type": "http.response.body", "body": b"a page of another origin may not send this"})
                return
        await self.app(scope, receive, send)


def __getattr__(name: str) -> Any:
    """`application`, made where uvicorn asks for it: importing this module imports no MLflow."""
    if name != "application":
        raise AttributeError(name)
    from mlflow.server.fastapi_app import app

    return OwnOrigin(app)


def main(arguments: list[str]) -> None:
    """`mlflow server` with these arguments."""
    from mlflow import cli, server

    build: Callable[..., list[str]] = server._build_uvicorn_command
    server._build_uvicorn_command = lambda *given, **named: [*build(*given, **named)[:-1], APPLICATION]
    command: Callable[[list[str]], None] = cli.cli
    command(["server", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
