"""Services behind a balancer: swaps under load, one of them killed in the middle. Does a request fail or mix versions?

Each service is a machine of its own but for the kernel: a home, gunicorn, follower and log shipper. They share a real
PostgreSQL and a registry that answers as MLflow does; before them is HAProxy with the configuration of the compose
file. Half way the last one is killed with all its processes (SIGKILL), and started again two swaps later. Each swap
moves the alias, and is confirmed by the rows of the services, as `promote` does it.

    python -m bench.services [--swaps 20] [--services 3] [--quick] [--json]
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench import harness, load
from bench.swap import Watch, _probability, _spread
from ml import predictions
from ml.fleet import services
from ml.registry import ledger, rollout
from ml.registry.rollout import Confirmation
from ml.settings import Settings
from ml.storage import database
from tests import haproxy, postgresql
from tests.serving import tiny
from tests.serving.fake_registry import Registry
from tests.serving.running import ROOT, Server, wait_for

BESIDE = ("serving.model.follower", "serving.prediction_log.shipper")
START_S = 120.0  # for all that is started: the machine may be busy


class Machine:
    """A service with what belongs to it; `values` are REFIT_* variables without the prefix."""

    def __init__(self, home: Path, values: dict[str, str]) -> None:
        home.mkdir(parents=True)
        self.server = Server(home, values)
        self.beside = [self._start(name) for name in BESIDE]

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        with (self.server.home / "beside.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=self.server.env, stderr=log, stdout=log
            )

    def kill(self) -> None:
        """End every process of it at once, as a power cut of the machine would."""
        for pid in [self.server.process.pid, *self.server.workers(), *(one.pid for one in self.beside)]:
            os.kill(pid, signal.SIGKILL)
        for one in (self.server.process, *self.beside):
            one.wait()

    def start(self) -> None:
        """Start it again."""
        self.server.start()
        self.beside = [self._start(name) for name in BESIDE]

    def stop(self) -> None:
        """End it in order: the log shipper last, with what was still answered."""
        self.server.stop()
        for one in self.beside:
            one.terminate()
            one.wait(timeout=40)


class Fleet:
    """Machines, what they share, and a balancer before them."""

    def __init__(self, folder: Path, registry: Registry, url: str, machines: list[Machine], port: int) -> None:
        self.registry, self.machines, self.port = registry, machines, port
        self.settings = tiny.settings_for(
            folder / "promoter",
            database_url=url,
            registry={"tracking_uri": registry.url, "confirm_timeout_s": START_S},
        )

    def live(self) -> list[tuple[str, ...]]:
        """The versions of each service that lives."""
        return [one.versions for one in services.known(self.settings).live]

    def promote(self, version: str) -> Confirmation:
        """As `ml.registry.promote`: intention, alias, confirmation, outcome.

        Raises
        ------
        PromotionError
            Too few took it over: the alias is where it was.
        """
        to = {"to_version": version, "to_sha256": self.registry.hashes[version], "who": "bench"}
        intention, before = ledger.append(self.settings, ledger.PROMOTING, **to), self.registry.champion
        self.registry.champion, outcome = version, ledger.PROMOTION_FAILED
        try:
            found = rollout.verify(self.settings, version)
            outcome = ledger.PROMOTED
        finally:
            if outcome != ledger.PROMOTED:
                self.registry.champion = before
            ledger.append(self.settings, outcome, intention=intention, **to)
        return found

    def stop(self) -> None:
        """End the machines that live."""
        for machine in self.machines:
            if machine.server.process.poll() is None:
                machine.stop()


@contextlib.contextmanager
def fleet(folder: Path, n: int, versions: list[str], url: str, **values: str) -> Iterator[Fleet]:
    """So many services that serve the first version, which was promoted.

    Parameters
    ----------
    url
        Of an empty database in PostgreSQL.
    values
        More REFIT_* variables without the prefix.
    """
    registry = Registry(folder / "registry", folder / "promoter")
    machines: list[Machine] = []
    try:
        for version in versions:
            registry.register(version, bias=int(version) / len(versions))
        keys = (folder / "promoter" / "var" / "trusted_keys").glob("*.pem")
        shared = {
            "DATABASE_URL": url,
            "REGISTRY__TRACKING_URI": registry.url,
            "REGISTRY__TRUSTED_KEYS": json.dumps([str(key) for key in keys]),
            **values,
        }
        registry.champion = versions[0]
        database.engine(tiny.settings_for(folder / "promoter", database_url=url))
        machines += [Machine(folder / f"service{i}", shared) for i in range(n)]
        with haproxy.balancing(folder, [one.server.port for one in machines]) as port:
            made = Fleet(folder, registry, url, machines, port)
            wait_for(lambda: len(made.live()) == n, START_S, "the services are registered")
            made.promote(versions[0])
            for machine in machines:
                wait_for(lambda m=machine: m.server.get("/health/ready")[0] == 200, START_S, "each is ready")
            yield made
    finally:
        for machine in machines:
            if machine.server.process.poll() is None:
                machine.kill()
        registry.close()


def measure(n: int, swaps: int, workers: int, connections: int, heartbeat_s: float = 2.0) -> dict[str, Any]:
    """Run it; counts, and seconds."""
    versions = [str(i + 1) for i in range(swaps + 1)]
    with postgresql.running() as server, tempfile.TemporaryDirectory() as folder:
        try:
            values = {"SERVING__WORKERS": str(workers), "SERVING__HEARTBEAT_S": str(heartbeat_s)}
            with fleet(Path(folder), n, versions, server.url, **values) as made:
                expected = {v: _probability(made.registry.bundle(v)) for v in versions}
                return _swap(made, versions, Timed(expected), connections)
        finally:
            database._engine(server.url).dispose()


class Timed(Watch):
    """Counts beside what `Watch` does the answers of a version that was not promoted yet, and those of an older one
    than was confirmed before their request was sent."""

    def __init__(self, expected: dict[str, float], latest: int = 1) -> None:
        super().__init__(expected)
        self.latest = latest  # whose alias was moved
        self.confirmed: list[tuple[float, int]] = []  # (monotonic seconds, version)
        self.old = 0
        self.unknown = 0

    def __call__(self, sent: float, content: bytes) -> None:
        """One answer, and when its request was sent."""
        super().__call__(sent, content)
        if b" 200 " in content[:20]:
            version = int(json.loads(content.partition(b"\r\n\r\n")[2])["model_version"])
            before = [known for moment, known in self.confirmed if moment <= sent]
            self.old += bool(before) and version < before[-1]
            self.unknown += version > self.latest


def _swap(made: Fleet, versions: list[str], watch: Timed, connections: int) -> dict[str, Any]:
    request = load.post("/predict", json.dumps({"rows": [tiny.row()]}).encode())
    end, results = threading.Event(), list[load.Result]()

    def traffic() -> None:
        results.append(
            load.run(made.port, request, connections=connections, seconds=1_200, on_answer=watch, stop=end.is_set)
        )

    thread = threading.Thread(target=traffic)
    thread.start()
    confirmed, with_dead, killed = [], 0.0, made.machines[-1]
    try:
        for number, after in enumerate(versions[1:], 1):
            time.sleep(0.3)
            moved = time.monotonic()
            watch.latest = int(after)
            middle = number == max(len(versions) // 2, 1)
            if middle:
                killed.kill()
            made.promote(after)
            now = time.monotonic()
            watch.confirmed.append((now, int(after)))
            if middle:
                with_dead = now - moved
            else:
                confirmed.append(now - moved)
            if number == min(max(len(versions) // 2, 1) + 2, len(versions) - 1):
                killed.start()
        wait_for(lambda: made.live() == [(versions[-1],)] * len(made.machines), START_S, "all serve the last version")
        wait_for(lambda: killed.server.get("/health/ready")[0] == 200, START_S, "it is back")
        time.sleep(0.5)
    finally:
        end.set()
        thread.join()
    result = results[0]
    made.stop()
    lost, doubled = _lost_and_doubled(made.settings, watch.ids)
    return {
        "services": len(made.machines),
        "swaps": len(versions) - 1,
        "answered": result.answered,
        "failed": sum(result.failures.values()),
        "failures": result.failures,
        "mixed": watch.mixed,
        "of a version that was not promoted": watch.unknown,
        "of an older version than was confirmed": watch.old,
        "all services confirmed after, ms": _spread(confirmed) if confirmed else {},
        "with one killed, s": round(with_dead, 1),
        "answered and not in the database": lost,
        "twice in the database": doubled,
    }


def _lost_and_doubled(settings: Settings, answered: list[str]) -> tuple[int, int]:
    with database.engine(settings).connect() as connection:
        there = list(connection.execute(sa.select(predictions.predictions.c.prediction_id)).scalars())
    return len(set(answered) - set(there)), len(there) - len(set(there))


def main() -> None:
    """The command line; exits 1 when a request failed or an answer was mixed, lost or doubled."""
    parser = harness.options(__doc__, quick="5 swaps")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--services", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    found = measure(options.services, 5 if options.quick else options.swaps, options.workers, options.connections)
    lines = [f"{name:45} {value}" for name, value in found.items()]
    harness.show(found, lambda: "\n".join(lines), as_json=options.json)
    wrong = ("failed", "mixed", "of a version that was not promoted", "answered and not in the database")
    if any(found[name] for name in (*wrong, "twice in the database")):
        sys.exit(1)


if __name__ == "__main__":
    main()
