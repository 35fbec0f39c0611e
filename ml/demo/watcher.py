"""What the loop did meanwhile: new verdicts, Airflow's runs, the gate's sentences, moves of the alias."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ml import drift, ledger
from ml.demo.airflow import Airflow, AirflowUnavailable
from ml.demo.picture import Event
from ml.errors import StoreUnavailable
from ml.settings import Settings


class Watcher:
    """Reports each thing once. `started` is the traffic's start (time.monotonic())."""

    def __init__(self, settings: Settings, airflow: Airflow, started: float) -> None:
        self._settings, self._airflow = settings, airflow
        self._offset = time.time() - (time.monotonic() - started)  # wall clock of the start
        self._checks = {c.id for c in drift.history(settings, 20)}
        self._ledger = {e.id for e in ledger.events(settings, limit=50)}
        self._tasks: dict[str, str] = {}
        self._known = {run["dag_run_id"] for run in self._runs()}
        self.last_check = 0.0  # wall clock of the newest check
        self.verdicts: list[str] = []  # since the last `forget`
        self.promoted = False

    def forget(self) -> None:
        """A new phase begins."""
        self.verdicts, self.promoted = [], False

    def news(self) -> Iterator[Event]:
        """Everything new, oldest first."""
        try:
            yield from self._new_checks()
            yield from self._new_runs()
            yield from self._new_moves()
        except StoreUnavailable:
            return  # busy: at the next look

    def _new_checks(self) -> Iterator[Event]:
        for check in reversed(drift.history(self._settings, 10)):
            if check.id in self._checks or check.verdict == "insufficient data":
                continue
            self._checks.add(check.id)
            self.last_check = check.time
            self.verdicts.append(check.verdict)
            yield Event(check.time - self._offset, "verdict", f"{check.verdict}|{check.sentence}")

    def _new_runs(self) -> Iterator[Event]:
        for run in reversed(self._runs()):
            name = run["dag_run_id"]
            if name in self._known and name not in self._tasks:
                continue
            if name not in self._known:
                self._known.add(name)
                yield Event(
                    time.time() - self._offset, "retrain", f"retrain|Airflow run: {self._airflow.page('retrain', name)}"
                )
            tasks = self._airflow.tasks("retrain", name) if run["state"] in ("queued", "running") else []
            now = next((t["task_id"] for t in tasks if t["state"] == "running"), run["state"])
            if self._tasks.get(name) != now:
                self._tasks[name] = now
                yield Event(time.time() - self._offset, "task", f"{now}|retrain: {now}")

    def _runs(self) -> list[dict[str, str]]:
        try:
            return self._airflow.runs("retrain", 3)
        except AirflowUnavailable:
            return []

    def _new_moves(self) -> Iterator[Event]:
        for event in reversed(ledger.events(self._settings, limit=20)):
            if event.id in self._ledger:
                continue
            self._ledger.add(event.id)
            self.promoted = self.promoted or event.what == ledger.PROMOTED
            kinds = {ledger.PROMOTED: "promotion", ledger.ROLLED_BACK: "rollback"}
            text = f"{event.what} {event.to_version or event.from_version}".strip()
            yield Event(event.time - self._offset, kinds.get(event.what, "ledger"), f"{text}|{text}: {event.why}")
