"""50 swaps under load: does a request fail, how long is an old version answered, does an answer mix two?

A follower and a service with 4 workers run as shipped, against a registry that answers as MLflow does. Each swap moves
the alias and touches the file that it touches, as `promote` does. Every answer is checked: its header, its body and its
numbers must belong to one version.

    python -m bench.swap [--swaps 50] [--quick] [--json]
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench import harness, load
from ml.bundle.reader import Bundle
from ml.registry import rollout
from tests.serving import tiny
from tests.serving.counting import lost_and_doubled
from tests.serving.fake_registry import Registry
from tests.serving.running import ROOT, serving, wait_for

HEADER = re.compile(rb"\r\nX-Model-Version: (\w+)\r\n", re.IGNORECASE)  # a balancer writes names in its own way
FOLLOWER = ("-m", "serving.model.follower")


class Watch:
    """Checks every answer and notes when each version was last heard of."""

    def __init__(self, expected: dict[str, float]) -> None:
        self.expected = expected
        self.mixed = 0
        self.ids: list[str] = []
        self.last_heard: dict[str, float] = {}

    def __call__(self, _sent: float, content: bytes) -> None:
        head, _, body = content.partition(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            return
        answer = json.loads(body)
        version = answer["model_version"]
        found = HEADER.search(head)
        row = answer["predictions"][0]
        same = found is not None and found[1].decode() == version
        self.mixed += not same or row["probabilities"]["1"] != self.expected[version]
        self.ids.append(row["prediction_id"])
        self.last_heard[version] = time.monotonic()


def measure(swaps: int, workers: int, connections: int) -> dict[str, Any]:
    """Run it; counts, and staleness in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        home, registry = Path(folder) / "home", Registry(Path(folder) / "registry", Path(folder) / "home")
        versions = [str(i + 1) for i in range(swaps + 1)]
        for version in versions:
            registry.register(version, bias=int(version) / len(versions))
        expected = {v: _probability(registry.bundle(v)) for v in versions}
        settings = tiny.settings_for(home, registry={"tracking_uri": registry.url})
        environment = os.environ | {"REFIT_HOME": str(home), "REFIT_REGISTRY__TRACKING_URI": registry.url}
        environment["REFIT_CONFIG"] = str(home / "refit.toml")  # not the checkout's
        registry.champion = versions[0]
        home.mkdir(exist_ok=True)
        follower = subprocess.Popen([sys.executable, *FOLLOWER], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            with serving(home, SERVING__WORKERS=str(workers)) as server:
                wait_for(
                    lambda: [w["model_version"] for w in server.ready()["workers"]] == [versions[0]] * workers,
                    what="the first version on all workers",
                )
                return _swap(settings, server.port, registry, versions, Watch(expected), connections)
        finally:
            follower.terminate()
            follower.wait(timeout=20)
            registry.close()


def _swap(
    settings: Any, port: int, registry: Registry, versions: list[str], watch: Watch, connections: int
) -> dict[str, Any]:
    request = load.post("/predict", json.dumps({"rows": [tiny.row()]}).encode())
    end = threading.Event()
    results: list[load.Result] = []

    def traffic() -> None:
        results.append(load.run(port, request, connections=connections, seconds=600, on_answer=watch, stop=end.is_set))

    thread = threading.Thread(target=traffic)
    thread.start()
    stale, confirmed = [], []
    for before, after in pairwise(versions):
        time.sleep(0.3)
        moved = time.monotonic()
        registry.champion = after
        rollout.verify(settings_at(settings, port), after)
        confirmed.append(time.monotonic() - moved)
        time.sleep(0.3)
        stale.append(max(0.0, watch.last_heard.get(before, 0.0) - moved))
    end.set()
    thread.join()
    result = results[0]
    lost, doubled = lost_and_doubled(settings, watch.ids)
    return {
        "swaps": len(stale),
        "answered": result.answered,
        "failed": sum(result.failures.values()),
        "failures": result.failures,
        "mixed": watch.mixed,
        "last old answer after the alias moved, ms": _spread(stale),
        "all workers confirmed after, ms": _spread(confirmed),
        "answered and not in the log": lost,
        "twice in the log": doubled,
    }


def settings_at(settings: Any, port: int) -> Any:
    """The settings with the port that the service got."""
    import msgspec

    return msgspec.structs.replace(settings, serving_port=port)


def _probability(bundle: Path) -> float:
    row = np.array([[*tiny.row().values()]], np.float32)
    return float(Bundle.open(bundle).run(row, None)[0, 1])


def _spread(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    return {"median": round(float(np.median(values)), 1), "max": round(float(values.max()), 1)}


def main() -> None:
    """The command line; exits 1 when a request failed or an answer was mixed, lost or doubled."""
    parser = harness.options(__doc__, quick="10 swaps")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    found = measure(10 if options.quick else options.swaps, options.workers, options.connections)
    lines = [f"{name:45} {value}" for name, value in found.items()]
    harness.show(found, lambda: "\n".join(lines), as_json=options.json)
    if found["failed"] or found["mixed"] or found["answered and not in the log"] or found["twice in the log"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
