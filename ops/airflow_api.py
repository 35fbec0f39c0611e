"""The few calls of Airflow's REST API that the one command and the demonstration need.

**Source** https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

from ml import http
from ops import StackError
from ops.layout import ADMIN, Layout, admin_password

TIMEOUT_S = 60.0  # Airflow's first answers after a start are slow; our choice


class AirflowUnavailable(StackError):
    """Raised when Airflow does not answer, or refuses: with what it says."""


class AirflowApi:
    """A client with a token of the admin.

    Parameters
    ----------
    url
        Of Airflow's API server, without a path.
    password
        The admin's; asked for at each login.
    """

    def __init__(self, url: str, password: Callable[[], str]) -> None:
        self.url = url
        self._password = password
        self._token = ""

    @classmethod
    def embedded(cls, layout: Layout) -> AirflowApi:
        """Of the stack that this command starts, whose generated password is in a file."""
        return cls(layout.url("airflow"), lambda: admin_password(layout))

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to `/api/v2`; a token that has expired is renewed once.

        Parameters
        ----------
        path
            Below `/api/v2`, with its query.
        body
            Sent as JSON; None sends no body.

        Raises
        ------
        AirflowUnavailable
            Airflow does not answer, or refuses: with what it says.
        """
        try:
            return self._with_token(method, f"/api/v2{path}", body)
        except http.HttpError as error:
            raise AirflowUnavailable(f"Airflow: {error}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:  # the file of passwords, or a strange answer
            raise AirflowUnavailable(f"Airflow at {self.url} cannot be asked: {error}") from error

    def _with_token(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if self._token:
            try:
                return self._send(method, path, body)
            except http.HttpError as error:
                if error.status != 401:
                    raise
                self._token = ""  # expired
        login = {"username": ADMIN, "password": self._password()}
        self._token = self._send("POST", "/auth/token", login)["access_token"]
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return http.request(method, f"{self.url}{path}", body, headers=headers, timeout_s=TIMEOUT_S)

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG processor has read it."""
        dags = self.call("GET", f"/dags?dag_id_pattern={urllib.parse.quote(dag_id)}")
        return any(dag["dag_id"] == dag_id for dag in dags["dags"])

    def import_errors(self) -> list[str]:
        """Errors of DAG files, as `file: last line of the trace`."""
        errors = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start runs of a DAG."""
        self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def cancel(self, dag_id: str, run_id: str) -> None:
        """Mark an active run as failed: Airflow ends its running tasks at their next heartbeat and starts no others."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}?update_mask=state", {"state": "failed"})

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run."""
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}"))

    def runs(self, dag_id: str, limit: int = 5) -> list[dict[str, Any]]:
        """The newest runs, newest first."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit={limit}")["dag_runs"])

    def page(self, dag_id: str, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.url}/dags/{dag_id}/runs/{_quoted(run_id)}"

    def active_runs(self, dag_id: str) -> list[str]:
        """Ids of the runs that are queued or running, oldest first."""
        runs = self.call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued&order_by=run_after")
        return [run["dag_run_id"] for run in runs["dag_runs"]]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances")["task_instances"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned; None where that is nothing, as of `approve` when nobody had to be asked."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries"
        kept = {entry["key"] for entry in self.call("GET", path)["xcom_entries"]}
        return self.call("GET", f"{path}/return_value")["value"] if "return_value" in kept else None

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[dict[str, Any]]:
        """A task's log, one mapping an event."""
        path = f"/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        content = self.call("GET", path)["content"]
        return [event if isinstance(event, dict) else {"event": str(event)} for event in content]


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")
