"""What dies or is away for a while, in the middle of a run: the run ends as it would have, with one version."""

from __future__ import annotations

import time

import pytest

from tests.compose.cluster import Cluster, moment

STAGES = ("generate", "train", "tune", "evaluate", "register", "promote")
SEARCH = {"families": ["logistic"], "policy": "always"}
NOTICED_S = 90.0  # what is promised: a killed worker and a lost queue are noticed within it


@pytest.fixture(autouse=True)
def _promoted(cluster: Cluster) -> None:
    """There is a champion, and nothing runs."""
    cluster.champion()
    cluster.until(lambda: not cluster.api.active_runs("retrain"), "a run does not end")


def _ends_with_one_version(cluster: Cluster, run_id: str) -> None:
    assert cluster.finished(run_id)["state"] == "success", cluster.failures(run_id)
    assert len(cluster.ledger(run_id, "registered")) == 1
    (version,) = cluster.ledger(run_id, "promoted")
    assert cluster.champion() == version


def test_a_task_that_was_queued_when_redis_was_killed_goes_on(cluster: Cluster) -> None:
    """All workers are away meanwhile, so that the task is surely in the queue."""
    workers, redis = cluster.containers("worker"), cluster.containers("redis")
    cluster.docker("stop", *workers)
    run_id = cluster.api.trigger("retrain", SEARCH)
    cluster.in_state(run_id, "generate", "queued")
    cluster.until(cluster.queue_length, "the task is not in the queue")
    cluster.docker("kill", *redis)
    cluster.docker("start", *redis, *workers)
    back = time.time()
    started = moment(cluster.in_state(run_id, "generate", "running", "success")["start_date"])
    cluster.note(f"queued when Redis was killed: goes on {started - back:.0f} s after workers and Redis are back")
    assert started - back <= NOTICED_S
    _ends_with_one_version(cluster, run_id)


def test_redis_killed_under_workers_that_are_connected(cluster: Cluster) -> None:
    """In the search; the next task comes through the new connection."""
    run_id = cluster.api.trigger("retrain", SEARCH | {"max_evals": 40})
    cluster.in_state(run_id, "tune", "running")
    redis = cluster.containers("redis")
    cluster.docker("kill", *redis)
    time.sleep(5)
    cluster.docker("start", *redis)
    ended = moment(cluster.in_state(run_id, "tune", "success")["end_date"])
    started = moment(cluster.in_state(run_id, "evaluate", "running", "success")["start_date"])
    cluster.note(f"Redis killed in the search: {started - ended:.0f} s from its end to the next task")
    assert started - ended <= NOTICED_S
    _ends_with_one_version(cluster, run_id)


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_in_a_stage(cluster: Cluster, stage: str) -> None:
    """Its container stays down; the other worker takes the task up."""
    run_id = cluster.api.trigger("retrain", SEARCH | {"max_evals": 40})
    task = cluster.in_state(run_id, stage, "running")
    if stage == "tune":
        time.sleep(3)  # so that it has trials to go on from
    assert task["hostname"] in cluster.containers("worker")
    cluster.docker("kill", task["hostname"])
    killed = time.time()
    try:
        cluster.until(lambda: cluster.task(run_id, stage)["try_number"] == 2, f"{stage} is not tried again")
        again = moment(cluster.in_state(run_id, stage, "running", "success")["start_date"])
        _ends_with_one_version(cluster, run_id)
        took = time.time() - killed
        cluster.note(
            f"worker killed in {stage}: tried again {again - killed:.0f} s later, run ended {took:.0f} s later"
        )
    finally:
        cluster.docker("start", task["hostname"])
    assert again - killed <= NOTICED_S


@pytest.mark.parametrize("service", ["redis", "postgres", "s3"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_minute_without(cluster: Cluster, stage: str, service: str) -> None:
    """Stopped in a stage, so that what follows meets it too. The service answers all the while."""
    run_id = cluster.api.trigger("retrain", SEARCH | {"max_evals": 40})
    cluster.in_state(run_id, stage, "running")
    stopped = cluster.containers(service)
    cluster.docker("stop", *stopped)
    try:
        time.sleep(60)
        row = cluster.service("/model")["example"]
        assert cluster.service("/predict", {"rows": [row]})["predictions"], "the service answers without it"
    finally:
        cluster.docker("start", *stopped)
    back = time.time()
    _ends_with_one_version(cluster, run_id)
    cluster.note(f"a minute without {service} in {stage}: the run had ended {time.time() - back:.0f} s after it")
