"""What the loop did meanwhile: new verdicts, Airflow's runs, the gate's sentences, moves of the alias."""

from __future__ import annotations

import time
from collections.abc import Iterator

from demo.picture import Event
from ml import drift
from ml.drift.verdict import DriftVerdict
from ml.errors import StoreUnavailable
from ml.registry import ledger
from ml.settings import Settings
from ops.airflow_api import AirflowApi, AirflowUnavailable

SHOWN_REASONS = 3  # of a verdict; the rest is in its report
ENDED = ("success", "failed")


class Watcher:
    """Reports each thing once. `started` is the traffic's start (time.monotonic())."""

    def __init__(self, settings: Settings, airflow: AirflowApi, started: float) -> None:
        self._settings, self._airflow = settings, airflow
        self._offset = time.time() - (time.monotonic() - started)  # wall clock of the start
        self._checks = {c.id for c in drift.history(settings, 20)}
        self._ledger = {e.id for e in ledger.events(settings, limit=50)}
        self._known = {run["dag_run_id"] for run in self._runs()}
        self._tasks: dict[str, str] = {}  # of the runs that began since, the newest task that was seen
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
        except (StoreUnavailable, AirflowUnavailable):
            return  # busy: at the next look

    def _new_checks(self) -> Iterator[Event]:
        for check in reversed(drift.history(self._settings, 10)):
            if check.id in self._checks or check.verdict == "insufficient data":
                continue
            self._checks.add(check.id)
            self.last_check = check.time
            self.verdicts.append(check.verdict)
            yield Event(check.time - self._offset, "verdict", check.verdict, verdict_told(check))

    def _new_runs(self) -> Iterator[Event]:
        for run in reversed(self._runs()):
            name = run["dag_run_id"]
            if name not in self._known:
                self._known.add(name)
                self._tasks[name] = ""
                page = self._airflow.page("retrain", name)
                yield self._now("retrain", "retraining", f"AIRFLOW   runs retrain: {page}")
            if name in self._tasks and self._tasks[name] not in ENDED:
                yield from self._progress(name, run["state"])

    def _progress(self, name: str, state: str) -> Iterator[Event]:
        """The task that runs now, or the run's end; nothing between two tasks."""
        if state in ENDED:
            self._tasks[name] = state
            yield self._now("ended", state, f"          retrain ended: {state}")
            return
        running = [t["task_id"] for t in self._airflow.tasks("retrain", name) if t["state"] == "running"]
        if running and running[0] != self._tasks[name]:
            self._tasks[name] = running[0]
            yield self._now("task", running[0], f"          {running[0]} …")

    def _now(self, kind: str, text: str, told: str) -> Event:
        return Event(time.time() - self._offset, kind, text, told)

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
            told = f"LEDGER    {text}"
            if event.what == ledger.REGISTERED:  # with the gate's sentence, which the move repeats
                told += f"\nGATE      {event.why}"
            elif note := event.numbers.get("confirmation"):
                told += f", {note}"
            yield Event(event.time - self._offset, kinds.get(event.what, "ledger"), text, told)


def verdict_told(check: DriftVerdict) -> str:
    """A verdict as lines: what, why, and what follows from it."""
    reasons = [str(reason) for reason in check.reasons[:SHOWN_REASONS]]
    if more := len(check.reasons) - len(reasons):
        reasons.append(f"and {more} more")
    # A check is compared first and decided on after that: what follows may not be known yet.
    follows = [f"→ retrain: {'yes' if check.retrain else 'no'}, {check.decision}"] if check.decided else []
    return "\n          ".join([f"VERDICT   {check.verdict} ({check.window.rows} answers)", *reasons, *follows])
