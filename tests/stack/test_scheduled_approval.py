"""A run that the clock starts and a person decides: no other begins meanwhile, a No is kept, and a later Yes counts.

The steps build on each other, in this order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ml import registry
from ml.pipeline.run_key import run_key
from ml.registry import ledger
from tests.stack.conftest import NEVER, Stack

TICK_S, OFTEN = 10, "* * * * * */10"  # with seconds: a tick of a minute would be waited for twice
PERSON = {"approval": "required", "gate": {"policy": "always"}}


@pytest.fixture(scope="module")
def required(running: Stack) -> Iterator[str]:
    """Settings that ask a person, as Airflow's DAG processor has read them; and back again. The id of the run."""
    running.choose(PERSON | {"schedule": {"retrain_cron": OFTEN}})
    try:
        _read_again(running, OFTEN, with_approval=True)
        run = running.until(lambda: next(iter(scheduled(running)), None), "the clock starts no run", every=0.5)
        yield run["dag_run_id"]
    finally:
        running.choose()
        _read_again(running, NEVER, with_approval=False)


def scheduled(running: Stack) -> list[dict[str, Any]]:
    """Runs of `retrain` that the clock started."""
    return list(running.api.call("GET", "/dags/retrain/dagRuns?run_type=scheduled")["dag_runs"])


def _read_again(running: Stack, cron: str, *, with_approval: bool) -> None:
    """Return when Airflow goes by the settings as they are now."""
    token = running.api.call("GET", "/dags/retrain/details")["file_token"]
    running.api.call("PUT", f"/parseDagFile/{token}")

    def read() -> bool:
        tasks = running.api.call("GET", "/dags/retrain/tasks")["tasks"]
        planned = running.api.call("GET", "/dags/retrain/details")["timetable_summary"]
        return planned.endswith(cron) and with_approval == any(task["task_id"] == "approve" for task in tasks)

    running.until(read, "the DAG is not read again", every=0.5)


def _asked(running: Stack, run_id: str) -> tuple[str, dict[str, Any]]:
    """The open question of this run among the Required Actions: its address, and what it says."""

    def find() -> dict[str, Any] | None:
        # A question of the try before stays listed until the task, cleared, runs again: its answer would be lost.
        if running.task(run_id, "approve")["state"] not in ("awaiting_input", "deferred"):
            return None
        pending = running.api.call("GET", "/dags/retrain/dagRuns/~/hitlDetails?response_received=false")
        return next((q for q in pending["hitl_details"] if q["task_instance"]["dag_run_id"] == run_id), None)

    found: dict[str, Any] = running.until(find, "nobody is asked", every=0.5)
    run = run_id.replace("+", "%2B").replace(":", "%3A")
    return f"/dags/retrain/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", found


def test_the_clock_starts_one_run_at_a_time(running: Stack, required: str) -> None:
    assert running.api.run("retrain", required)["state"] in ("queued", "running")
    _asked(running, required)
    tick = (time.time() // TICK_S + 1) * TICK_S
    # The scheduler's next sign of life after the tick comes from a loop that could have started another run.
    running.until(lambda: _last_beat(running) > tick, "the scheduler stands still", every=0.5)
    beat = _last_beat(running)
    running.until(lambda: _last_beat(running) > beat, "the scheduler stands still", every=0.5)
    assert [run["state"] for run in scheduled(running) if run["start_date"]] == ["running"]
    assert required == next(iter(running.api.active_runs("retrain")))


def _last_beat(running: Stack) -> float:
    from datetime import datetime

    told = running.api.call("GET", "/monitor/health")["scheduler"]["latest_scheduler_heartbeat"]
    return datetime.fromisoformat(told).timestamp()


def test_a_no_is_kept(running: Stack, required: str) -> None:
    running.choose(PERSON)  # the clock's part is shown
    _read_again(running, NEVER, with_approval=True)
    before = running.get("/model")["model_version"]
    address, asked = _asked(running, required)
    version = running.api.result("retrain", required, "register")["version"]
    assert asked["subject"] == f"Promote version {version}?"
    assert running.api.result("retrain", required, "evaluate")["sentence"] in asked["body"]
    assert running.get("/health/ready")["model_version"] == before, "nothing moves meanwhile"
    running.api.call("PATCH", address, {"chosen_options": ["Reject"], "params_input": {"reason": "not on a Sunday"}})
    assert running.finished("retrain", required)["state"] == "success"
    assert running.task(required, "promote")["state"] == "skipped"
    event, registered = ledger.events(running.layout.settings, run_key=run_key(required))
    assert (event.what, event.who, event.to_version) == (ledger.REFUSED, "admin", version)
    assert "not on a Sunday" in event.why
    assert (registered.what, registered.who) == (ledger.REGISTERED, "schedule")
    assert running.get("/health/ready")["model_version"] == before


def test_asked_again_a_yes_promotes(running: Stack, required: str) -> None:
    """A person who has thought again clears the task `approve`."""
    before = registry.champion(running.layout.settings)
    again = {
        "dry_run": False, "dag_run_id": required, "task_ids": ["approve"], "include_downstream": True,
        "only_failed": False, "reset_dag_runs": True,
    }  # fmt: skip
    running.api.call("POST", "/dags/retrain/clearTaskInstances", again)
    address, _ = _asked(running, required)
    assert registry.champion(running.layout.settings) == before
    running.api.call("PATCH", address, {"chosen_options": ["Approve"], "params_input": {"reason": "looks right"}})
    assert running.finished("retrain", required)["state"] == "success"
    event = ledger.events(running.layout.settings, limit=1)[0]
    version = running.api.result("retrain", required, "register")["version"]
    assert (event.what, event.who, event.to_version) == (ledger.PROMOTED, "admin", version)
    assert "looks right" in event.why
    assert running.get("/health/ready")["model_version"] == version
