"""Processes killed in the middle: the run ends as it would have, with one version, and the service goes on."""

from __future__ import annotations

import os
import signal

import psutil

from ml import http, registry, tracking
from ml.pipeline.run_key import run_key
from ml.registry import ledger
from ops import supervision
from tests.stack.conftest import Stack

# A search that is long enough to be met in the middle, and no longer.
QUICK = {"max_evals": 6, "families": ["logistic"]}


def _versions_of(running: Stack, run_id: str) -> set[str]:
    key = run_key(run_id)
    return {info.version for info in registry.versions(running.layout.settings) if info.tags[tracking.RUN_KEY] == key}


def _ends_with_one_version(running: Stack, run_id: str) -> str:
    assert running.finished("retrain", run_id)["state"] == "success"
    [version] = _versions_of(running, run_id)
    assert running.get("/health/ready")["model_version"]
    return version


def test_tasks_killed_one_after_another_end_with_one_promoted_version(running: Stack) -> None:
    """In the search, in `register`, and in `promote` after the alias has moved and before a worker has confirmed."""
    settings = running.layout.settings
    before = registry.champion(settings)
    assert before is not None
    running.choose({"tune": {"workers": 2}})  # with processes of its own
    run_id = running.api.trigger("retrain", QUICK | {"policy": "always"})
    running.task_process(run_id, "tune").kill()
    running.choose()
    running.task_process(run_id, "register").kill()
    follower = psutil.Process(running.pid("follower"))
    running.until(lambda: running.task(run_id, "register")["state"] == "success", "register is not tried again")
    follower.suspend()  # so that nothing can confirm
    try:
        promote = running.task_process(run_id, "promote")
        running.until(lambda: registry.champion(settings) != before, "the alias does not move")
        promote.kill()
        promote.wait()
        intention = ledger.open_intention(settings)
        assert intention is not None, "the ledger says that a move is under way"
        assert (intention.from_version, intention.to_version) == (before.version, *_versions_of(running, run_id))
        answer = running.get("/predict", {"rows": [running.get("/model")["example"]]})
        assert answer["model_version"] == before.version, "the old one answers meanwhile"
    finally:
        follower.resume()
    version = _ends_with_one_version(running, run_id)
    tries = {task: running.task(run_id, task)["try_number"] for task in ("tune", "register", "promote")}
    assert tries == {"tune": 2, "register": 2, "promote": 2}
    assert ledger.open_intention(settings) is None
    moves = ledger.events(settings, run_key=run_key(run_id), what=ledger.SERVED)
    assert [(move.what, move.to_version) for move in moves] == [(ledger.PROMOTED, version)]
    assert running.get("/health/ready")["model_version"] == version


def test_a_killed_scheduler_is_replaced_and_register_waits_for_mlflow(running: Stack) -> None:
    """The scheduler dies in the search; MLflow is down when `register` begins: retried until it is back."""
    control = supervision.supervisor(running.layout)
    run_id = running.api.trigger("retrain", QUICK)
    task = running.task_process(run_id, "tune")
    scheduler = running.pid("airflow-scheduler")
    os.kill(scheduler, signal.SIGKILL)
    running.until(lambda: not task.is_running() or task.status() == psutil.STATUS_ZOMBIE, "the orphaned task goes on")
    running.until(lambda: running.pid("airflow-scheduler") not in (0, scheduler), "there is no new scheduler")
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
    running.until(lambda: http.answers(f"{running.layout.url('mlflow')}/health"), "MLflow does not come back")
