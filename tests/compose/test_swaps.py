"""Versions are swapped under load through the published port: no request fails, no answer mixes two."""

from __future__ import annotations

import json
import re
import threading
import time

from bench import load
from tests.compose.cluster import SERVICES, SETTLED, Cluster

HEADER = re.compile(rb"\r\nX-Model-Version: (\w+)\r\n", re.IGNORECASE)
SWAPS = 20
RUNS = 2  # of these are whole runs of the loop, the others a person's promotions at the command line
PROMOTE = ("python", "-m", "ml", "promote", "--force", "--reason", "a swap", "--version")


class Traffic:
    """Single rows over two kept connections, until the block ends; each answer is looked at."""

    def __init__(self, cluster: Cluster) -> None:
        self.seen: dict[str, int] = {}
        self.mixed: list[bytes] = []
        self.result: load.Result | None = None
        self._request = load.post("/predict", json.dumps({"rows": [cluster.service("/model")["example"]]}).encode())
        self._port = cluster.service_port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        self.result = load.run(
            self._port, self._request, connections=2, seconds=3600, on_answer=self._look, stop=self._end.is_set
        )

    def _look(self, _sent: float, content: bytes) -> None:
        head, _, body = content.partition(b"\r\n\r\n")
        found = HEADER.search(head)
        if found is None or b" 200 " not in head[:20]:
            return
        version = json.loads(body)["model_version"]
        self.seen[version] = self.seen.get(version, 0) + 1
        if found[1].decode() != version:
            self.mixed.append(head)


def test_no_request_fails_while_versions_are_swapped(cluster: Cluster) -> None:
    """And one of the services is killed in the middle, and started again."""
    versions = [cluster.champion()]
    killed, *_ = cluster.containers("service")
    worker, took = cluster.containers("worker")[0], []
    with Traffic(cluster) as traffic:
        versions += [_promoted(cluster, seed, traffic.seen) for seed in range(RUNS)]
        for number in range(SWAPS - RUNS):
            if number == (SWAPS - RUNS) // 2:
                cluster.docker("kill", killed)
            if number == (SWAPS - RUNS) * 3 // 4:
                cluster.docker("start", killed)
            began = time.monotonic()
            cluster.docker("exec", worker, *PROMOTE, versions[number % len(versions)])
            took.append(time.monotonic() - began)
            assert cluster.champion() == versions[number % len(versions)]
        cluster.until(lambda: set(cluster.states().values()) <= SETTLED, "the service does not come back")
    result = traffic.result
    assert result is not None
    told = f"{result.answered} answered, failed {result.failures}, mixed {len(traffic.mixed)}"
    cluster.note(
        f"{SWAPS} swaps under load, {SERVICES} services, one killed: {told}; {max(took):.0f} s at most for one"
    )
    assert result.failures == {}
    assert traffic.mixed == []
    assert set(traffic.seen) == set(versions)


def _promoted(cluster: Cluster, seed: int, seen: dict[str, int]) -> str:
    """A run with another seed; its version, once the traffic has met it."""
    run_id = cluster.api.trigger("retrain", {"families": ["logistic"], "policy": "always", "seed": seed + 100})
    assert cluster.finished(run_id)["state"] == "success"
    (version,) = cluster.ledger(run_id, "promoted")
    cluster.until(lambda: seen.get(version), "the new version answers nobody")
    return version
