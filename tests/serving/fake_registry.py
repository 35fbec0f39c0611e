"""A registry that is a folder behind MLflow's REST answers; also for bench/swap.py."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ml.bundle import signature
from tests.serving import tiny


class Registry:
    """Versions as folders, signed by the key of `home`, and one alias, over HTTP as MLflow 3 answers."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.signer = tiny.settings_for(home)
        self.hashes: dict[str, str] = {}
        self.champion = ""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                code, answer = registry.answer(url.path.rsplit("/mlflow/")[-1], parse_qs(url.query))
                body = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, call: str, query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
        if call == "registered-models/alias" and self.champion:
            tags = [{"key": "refit.sha256", "value": self.hashes[self.champion]}]
            return 200, {"model_version": {"version": self.champion, "tags": tags}}
        if call == "model-versions/get-download-uri":
            return 200, {"artifact_uri": str(self.root / query["version"][0])}
        return 400, {"error_code": "INVALID_PARAMETER_VALUE"}

    def bundle(self, version: str) -> Path:
        return self.root / version / "artifacts" / "bundle"

    def register(self, version: str, bias: float = 0.0, *, signed: bool = True) -> None:
        self.hashes[version] = tiny.write_bundle(self.bundle(version), bias=bias)
        if signed:
            signature.sign(self.signer, self.bundle(version))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
