"""Live traffic against a running service: predict, and send the labels later. Standard library only to send.

A request that broke on its way is sent again with the same `prediction_id`s, which the service answers and
logs once; so no row is lost or doubled by a worker that was restarted.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ml.errors import DataError, Permanent, Transient
from ml.schema.schema import Schema

TRIES = 8
PAUSE_S = 0.25  # doubled with each try: about 30 s in all, longer than a restart takes


class ServiceUnavailable(Transient):
    """Raised when the service does not answer after several tries."""


class Answer(msgspec.Struct, frozen=True):
    """What was predicted for one row, by which version."""

    prediction_id: str
    label: str
    model_version: str


class Client:
    """One keep-alive connection to the service.

    Parameters
    ----------
    url
        Its root, for example `http://127.0.0.1:8000`.
    key
        API key, where the service asks for one.
    tries
        How often a request is sent at most.
    """

    def __init__(self, url: str, *, key: str = "", timeout_s: float = 60.0, tries: int = TRIES) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Permanent(f"expected the service's address such as http://127.0.0.1:8000, got {url!r}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self.url = url
        self._tries = tries
        self.requests = 0
        self.retried = 0

    def model(self) -> dict[str, Any]:
        """`GET /model`."""
        found: dict[str, Any] = self._call("GET", "/model")
        return found

    def schema(self) -> Schema:
        """What the version in service takes."""
        return msgspec.convert(self.model()["schema"], Schema)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Predict rows; each is given an id, so that sending them again is safe."""
        ids = [uuid.uuid4().hex for _ in rows]
        answer = self._call("POST", "/predict", {"rows": list(rows), "prediction_ids": ids})
        version = str(answer["model_version"])
        return [Answer(p["prediction_id"], p["label"], version) for p in answer["predictions"]]

    def feedback(self, labels: Sequence[tuple[str, str]]) -> None:
        """Send true labels: (prediction id, label) pairs."""
        items = [{"prediction_id": prediction_id, "label": label} for prediction_id, label in labels]
        self._call("POST", "/feedback", {"feedback": items})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode("utf-8")
        problem = ""
        for attempt in range(self._tries):
            if attempt:
                self.retried += 1
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            try:
                self._connection.request(method, self._prefix + path, content, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                problem = f"{type(error).__name__}: {error}"
                continue
            if answer.status < 300:
                self.requests += 1
                return json.loads(text)
            problem = f"{answer.status} {text[:500].decode('utf-8', 'replace')}"
            if answer.status < 500 and answer.status != 429:
                raise DataError(f"the service refused {method} {path}: {problem}")
        raise ServiceUnavailable(f"{self.url} does not answer {method} {path} after {self._tries} tries: {problem}")


class Delayed:
    """Labels that come some time after their predictions."""

    def __init__(self, client: Client, delay_s: float) -> None:
        self._client = client
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, list[tuple[str, str]]]] = deque()

    def later(self, labels: list[tuple[str, str]], now: float) -> None:
        """Keep labels until `now + delay`."""
        self._waiting.append((now + self._delay_s, labels))

    def send(self, now: float) -> int:
        """Send what is due; returns how many labels."""
        due: list[tuple[str, str]] = []
        while self._waiting and self._waiting[0][0] <= now:
            due += self._waiting.popleft()[1]
        if due:
            self._client.feedback(due)
        return len(due)

    def flush(self) -> int:
        """Send everything that still waits."""
        return self.send(float("inf"))
