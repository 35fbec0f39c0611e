"""Follow a DAG run: a line a task, and a failed task's own error."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from ml.pipeline import progress
from ml.pipeline.run_key import run_key
from ops.airflow_api import AirflowApi
from ops.errors import RunFailed
from ops.layout import Layout
from ops.terminal import Terminal

POLL_INTERVAL_S = 0.4


class Watch:
    """One run, shown until it ends."""

    def __init__(self, api: AirflowApi, layout: Layout, terminal: Terminal, dag_id: str, run_id: str) -> None:
        self._api, self._layout, self._terminal = api, layout, terminal
        self._dag_id, self._run_id = dag_id, run_id
        self._shown: dict[str, str] = {}

    def to_the_end(self) -> dict[str, Any]:
        """Return what every task returned, by task id.

        Raises
        ------
        RunFailed
            The run failed: with the error of the task that failed first.
        """
        address = f"{self._layout.url('airflow')}/dags/{self._dag_id}/runs/{self._run_id}"
        self._terminal.line(f"Running {self._dag_id}: {address}")
        started = time.monotonic()
        while True:
            state = self._api.run(self._dag_id, self._run_id)["state"]
            tasks = self._in_order(self._api.tasks(self._dag_id, self._run_id))
            for task in tasks:
                self._show(task)
            if state in ("success", "failed"):
                break
            self._live(tasks, time.monotonic() - started)
            time.sleep(POLL_INTERVAL_S)
        if state == "failed":
            raise RunFailed(self._failure(tasks))
        return {task["task_id"]: self._result(task) for task in tasks if task["state"] == "success"}

    @staticmethod
    def _in_order(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As they started; those that have not, last."""
        return sorted(tasks, key=lambda task: task["start_date"] or "9")

    def _show(self, task: dict[str, Any]) -> None:
        name, state = task["task_id"], task["state"] or ""
        if self._shown.get(name) == state:
            return
        self._shown[name] = state
        if state in ("success", "failed", "skipped"):
            mark = {"success": "✓", "skipped": "–"}.get(state, "✗")
            tries = f", try {task['try_number']}" if task["try_number"] > 1 else ""
            self._terminal.line(f"  {mark} {name:<10} {task['duration'] or 0:5.1f} s{tries}")
        elif state == "up_for_retry":
            cause = self._cause(task) or "its process was killed"
            self._terminal.line(f"  … {name:<10} is tried again: {cause}")
        elif state == "awaiting_input":
            self._terminal.line(f"  … {name:<10} waits for a person: {self._layout.url('airflow')}/required_actions")

    def _live(self, tasks: list[dict[str, Any]], elapsed: float) -> None:
        now = next((task for task in tasks if task["state"] == "running"), None)
        if now is None:
            self._terminal.live(f"    … {elapsed:.0f} s")
            return
        since = datetime.fromisoformat(now["start_date"])
        seconds = (datetime.now(since.tzinfo) - since).total_seconds()
        self._terminal.live(f"    {now['task_id']:<10} {seconds:5.1f} s {self._stage_progress(now['task_id'])}")

    def _stage_progress(self, task_id: str) -> str:
        """What the stage itself last said, such as `12 of 50`; from its workspace."""
        report = progress.read(self._layout.settings, run_key(self._run_id))
        if report is None or report.stage != task_id or not report.total:
            return ""
        return f"{report.done} of {report.total}  {report.note}"

    def _result(self, task: dict[str, Any]) -> Any:
        return self._api.result(self._dag_id, self._run_id, task["task_id"])

    def _failure(self, tasks: list[dict[str, Any]]) -> str:
        failed = [task for task in tasks if task["state"] == "failed"]
        if not failed:
            return f"The run {self._run_id} failed without a failed task: see {self._layout.url('airflow')}"
        task = failed[0]
        cause = self._cause(task) or "its process ended without an error: killed, or out of memory"
        page = f"{self._layout.url('airflow')}/dags/{self._dag_id}/runs/{self._run_id}/tasks/{task['task_id']}"
        return f"The task {task['task_id']} failed: {cause}\nIts log: {page}"

    def _cause(self, task: dict[str, Any]) -> str:
        """`Kind: message` of the exception that ended the last try; empty when there was none."""
        events = self._api.log(self._dag_id, self._run_id, task["task_id"], task["try_number"])
        for event in reversed(events):
            details = event.get("error_detail")
            if details:
                # The first entry is what was raised, the others are its causes.
                return f"{details[0]['exc_type']}: {details[0]['exc_value']}"
        return ""
