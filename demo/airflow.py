"""The calls of Airflow's REST API that the demonstration needs; plain HTTP, so `ml` imports no Airflow.

**Source** https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ml.errors import Transient
from ml.settings import Settings


class AirflowUnavailable(Transient):
    """Raised when Airflow does not answer or refuses."""


class Airflow:
    """A client of the local Airflow, with the admin's generated password."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://127.0.0.1:{settings.airflow_port}"
        self._passwords = settings.var / "secrets" / "airflow_passwords.json"
        self._token = ""

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Unpause a DAG and start a run; returns its id."""
        self._call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})
        return str(
            self._call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})["dag_run_id"]
        )

    def runs(self, dag_id: str, limit: int = 5) -> list[dict[str, Any]]:
        """The newest runs, newest first."""
        found: list[dict[str, Any]] = self._call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit={limit}")[
            "dag_runs"
        ]
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances"
        found: list[dict[str, Any]] = self._call("GET", path)["task_instances"]
        return found

    def page(self, dag_id: str, run_id: str) -> str:
        """A run's page."""
        return f"{self.url}/dags/{dag_id}/runs/{urllib.parse.quote(run_id, safe='')}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            if not self._token:
                login = {"username": "admin", "password": json.loads(self._passwords.read_text())["admin"]}
                self._token = self._send("POST", "/auth/token", login)["access_token"]
            return self._send(method, f"/api/v2{path}", body)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._token = ""  # expired: the next call logs in again
            raise AirflowUnavailable(f"Airflow refused {method} {path}: {error.code}") from error
        except (OSError, ValueError, KeyError) as error:
            raise AirflowUnavailable(f"Airflow at {self.url} does not answer: {error}") from error

    def _send(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=content, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
