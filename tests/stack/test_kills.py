"""Processes killed in the middle: the run ends as it would have, with one version, and the service goes on."""

from __future__ import annotations

import os
import signal

import psutil

from ml import registry, tracking
from ml.run_key import run_key
from ops import stack
from tests.stack.conftest import Stack


def _versions_of(running: Stack, run_id: str) -> set[str]:
    key = run_key(run_id)
    return {info.version for info in registry.versions(running.layout.settings) if info.tags[tracking.RUN_KEY] == key}


def _ends_with_one_version(running: Stack, run_id: str) -> None:
    assert running.finished("retrain", run_id)["state"] == "success"
    assert len(_versions_of(running, run_id)) == 1
    assert running.get("/health/ready")["model_version"]


def test_a_task_killed_in_tune_goes_on_where_it_was(running: Stack) -> None:
    run_id = running.api.trigger("retrain", {"max_evals": 6})
    running.task_process(run_id, "tune").kill()
    _ends_with_one_version(running, run_id)
    assert running.task(run_id, "tune")["try_number"] == 2


def test_a_task_killed_in_register_makes_no_second_version(running: Stack) -> None:
    run_id = running.api.trigger("retrain", {"max_evals": 1})
    running.task_process(run_id, "register").kill()
    _ends_with_one_version(running, run_id)


def test_a_killed_scheduler_is_replaced_and_its_run_ends(running: Stack) -> None:
    run_id = running.api.trigger("retrain", {"max_evals": 6})
    task = running.task_process(run_id, "tune")
    scheduler = running.pid("airflow-scheduler")
    os.kill(scheduler, signal.SIGKILL)
    running.until(lambda: not task.is_running() or task.status() == psutil.STATUS_ZOMBIE, "the orphaned task goes on")
    running.until(lambda: running.pid("airflow-scheduler") not in (0, scheduler), "there is no new scheduler")
    _ends_with_one_version(running, run_id)


def test_register_waits_for_mlflow(running: Stack) -> None:
    """MLflow down when `register` begins: retried until it is back, the service answers all the while."""
    control = stack.supervisor(running.layout)
    run_id = running.api.trigger("retrain", {"max_evals": 1})
    running.until(lambda: running.task(run_id, "evaluate")["state"] == "running", "evaluate does not run")
    process = running.task_process(run_id, "register")
    process.suspend()
    try:
        control.stopProcess("mlflow", True)
    finally:
        process.resume()
    try:
        running.until(
            lambda: running.task(run_id, "register")["state"] in ("up_for_retry", "success"), "register hangs"
        )
        assert running.get("/predict", {"rows": [running.get("/model")["example"]]})["predictions"]
    finally:
        control.startProcess("mlflow", True)
    _ends_with_one_version(running, run_id)


def test_a_killed_program_comes_back(running: Stack) -> None:
    """Also MLflow, whose child holds the port when its parent is killed."""
    for program in ("mlflow", "service", "follower"):
        before = running.pid(program)
        os.kill(before, signal.SIGKILL)
        running.until(
            lambda program=program, before=before: running.pid(program) not in (0, before), f"no new {program}"
        )
    running.until(lambda: running.get("/health/ready")["model_version"], "the service does not come back")
    running.until(lambda: stack.answers(f"{running.layout.url('mlflow')}/health"), "MLflow does not come back")
