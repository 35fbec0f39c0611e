"""`up` closes the loop by itself: nobody triggers and nobody unpauses."""

from __future__ import annotations

import re
import time

from tests.compose.cluster import SETTLED, Cluster


def test_the_first_run_starts_by_itself_and_ends_promoted(cluster: Cluster) -> None:
    (run,) = cluster.until(lambda: cluster.api.runs("retrain"), "no first run")
    cluster.note(f"first run started {time.monotonic() - cluster.started:.0f} s after `up`")
    assert cluster.finished(run["dag_run_id"])["state"] == "success"
    (version,) = cluster.ledger(run["dag_run_id"], "promoted")
    assert cluster.champion() == version
    cluster.note(f"the promoted version answers {time.monotonic() - cluster.started:.0f} s after `up`")


def test_every_dag_is_unpaused(cluster: Cluster) -> None:
    dags = cluster.api.call("GET", "/dags")["dags"]
    assert {dag["dag_id"]: dag["is_paused"] for dag in dags} == dict.fromkeys(
        ("retrain", "drift_check", "rollback"), False
    )


def test_every_variable_of_the_file_is_filled_in(cluster: Cluster) -> None:
    """By whichever Compose this is; `$$` is for the shell in a container."""
    assert not re.findall(r"(?<!\$)\$\{.*", cluster.compose("config"))


def test_every_container_becomes_healthy_and_none_was_restarted(cluster: Cluster) -> None:
    """Of those that have a check; one that ran once has ended with 0."""

    def settled() -> bool:
        return set(cluster.states().values()) <= SETTLED

    cluster.until(settled, f"not all healthy: {cluster.states()}")
    assert set(cluster.restarts().values()) == {0}


def test_what_it_takes_at_rest(cluster: Cluster) -> None:
    """Told, not judged: the figures go into docs/deployment.md."""
    before, began = cluster.cpu_seconds(), time.monotonic()
    time.sleep(60)
    took = time.monotonic() - began
    cores = {name: (seconds - before[name]) / took for name, seconds in cluster.cpu_seconds().items()}
    told = ", ".join(f"{name} {share:.3f}" for name, share in sorted(cores.items(), key=lambda item: -item[1]))
    cluster.note(f"at rest: {sum(cores.values()):.2f} cores ({told}); {cluster.memory()}")
    assert cores
