"""Two workers that have no volume in common: a run's tasks go to either, and it comes to the same."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ml.pipeline.run_key import run_key
from tests.compose.cluster import Cluster

# Three are enough for the placement to differ; more by TEST_COMPOSE_RUNS.
RUNS = int(os.environ.get("TEST_COMPOSE_RUNS", "3"))
# What a run came to, as a container reads it that may have run none of its stages.
READ = """
import hashlib, json, sys
import msgspec
from ml import settings
from ml.pipeline.stages.records import EvaluationRecord, SnapshotRecord, TuningRecord
from ml.pipeline.workspace import Workspace
space = Workspace(settings.load(), sys.argv[1])
generated, tuned, judged = (space.needed(kind) for kind in (SnapshotRecord, TuningRecord, EvaluationRecord))
space.fill(EvaluationRecord)
trials = json.loads((space.path / "tune" / "trials.json").read_text())
for one in trials:
    del one["seconds"], one["cost"]
files = {}
for name in ("bundle", "bundle.judged"):
    for path in sorted((space.path / name).rglob("*.onnx")):
        files[str(path.relative_to(space.path))] = hashlib.sha256(path.read_bytes()).hexdigest()
assert files
found = [generated.snapshot, tuned.best, tuned.best_loss, trials, str(judged.message), files]
print(msgspec.json.encode(found).decode())
"""


def test_no_two_containers_share_a_volume(cluster: Cluster) -> None:
    """As the engine has mounted them: the same for any of them elsewhere."""
    mounted = cluster.volumes()
    ours = {name: found for name, found in mounted.items() if "/state" in found}
    assert sum("worker" in name for name in ours) == 2
    sources = [source for found in mounted.values() for source in found.values()]
    assert len(sources) == len(set(sources)), mounted


def test_runs_end_alike_wherever_their_tasks_ran(cluster: Cluster) -> None:
    """The same seed on the same champion: snapshot, trials, verdict and graph are the same each time, and as on one."""
    cluster.champion()
    cluster.until(lambda: not cluster.api.active_runs("retrain"), "a run does not end")
    began, placed, found = time.monotonic(), list[set[str]](), list[Any]()
    for _ in range(RUNS):
        _run(cluster, placed, found)
    both = sum(len(hosts) == 2 for hosts in placed)
    seconds = (time.monotonic() - began) / RUNS
    first, *others = cluster.containers("worker")
    assert set().union(*placed) == {first, *others}
    cluster.docker("stop", *others)
    try:
        _run(cluster, placed, found)
    finally:
        cluster.docker("start", *others)
    assert placed[-1] == {first}
    alike = sum(one == found[0] for one in found)
    told = f"{RUNS} runs on two workers without a shared volume, {both} on both, {seconds:.0f} s each"
    cluster.note(f"{told}, and one on one worker alone: {alike} alike")
    assert all(one == found[0] for one in found)


def _run(cluster: Cluster, placed: list[set[str]], found: list[Any]) -> None:
    run_id = cluster.api.trigger("retrain", {"families": ["logistic"], "policy": "never", "seed": 11})
    assert cluster.finished(run_id)["state"] == "success", cluster.failures(run_id)
    placed.append({task["hostname"] for task in cluster.api.tasks("retrain", run_id) if task["hostname"]})
    found.append(_outcome(cluster, run_id))
    print(f"run {len(found)}: {placed[-1]}", flush=True)


def test_the_log_of_every_task_is_to_be_read(cluster: Cluster) -> None:
    """Airflow asks the worker that has it."""
    run_id = cluster.api.runs("retrain", limit=1)[0]["dag_run_id"]
    done = [task for task in cluster.api.tasks("retrain", run_id) if task["state"] == "success"]
    assert len(done) > 4
    for task in done:
        lines = json.dumps(cluster.api.log("retrain", run_id, task["task_id"], task["try_number"]))
        assert task["task_id"] in lines, lines[:500]
        assert "Could not read served logs" not in lines, lines[:500]


def _outcome(cluster: Cluster, run_id: str) -> Any:
    reader = cluster.containers("airflow-api")[0]  # it runs no task
    return json.loads(cluster.docker("exec", reader, "python", "-c", READ, run_key(run_id)).splitlines()[-1])
