"""The few calls of Airflow's REST API that the one command needs.

**Source** https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ops import credentials
from ops.errors import StackError
from ops.layout import Layout


class AirflowApi:
    """A client with a token of the admin."""

    def __init__(self, layout: Layout) -> None:
        self._base = layout.url("airflow")
        self._login = {"username": credentials.ADMIN, "password": credentials.password(layout)}
        self._token = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to `/api/v2`; a token that has expired is renewed once.

        Raises
        ------
        StackError
            Airflow does not answer, or refuses: with what it says.
        """
        try:
            return self._with_token(method, f"/api/v2{path}", body)
        except urllib.error.HTTPError as error:
            raise StackError(f"Airflow refused {method} {path}: {error.code} {_detail(error)}") from error
        except (OSError, ValueError) as error:
            raise StackError(f"Airflow does not answer {method} {path}: {error}") from error

    def _with_token(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if self._token:
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code != 401:
                    raise
        self._token = self._send("POST", "/auth/token", self._login)["access_token"]
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self._base}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG processor has read it."""
        found = self.call("GET", f"/dags?dag_id_pattern={urllib.parse.quote(dag_id)}")
        return any(dag["dag_id"] == dag_id for dag in found["dags"])

    def import_errors(self) -> list[str]:
        """Errors of DAG files, as `file: last line of the trace`."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def unpause(self, dag_id: str) -> None:
        self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}"))

    def active_runs(self, dag_id: str) -> list[str]:
        """Ids of the runs that are queued or running, oldest first."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued&order_by=run_after")
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances")["task_instances"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.call("GET", path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[dict[str, Any]]:
        """A task's log, one mapping an event."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        content = self.call("GET", path)["content"]
        return [event if isinstance(event, dict) else {"event": str(event)} for event in content]


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")


def _detail(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:300]
