"""A real cluster: what is asked is answered, whoever dies, and one that is gone is told."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from distributed import Client

from ml.engine import cluster as clusters
from ml.engine import remote
from ml.engine.cluster import Cluster
from ml.errors import EngineError, EngineUnavailable, SettingsError
from tests.ml.engine import asks
from tests.ml.engine.clusters import LocalCluster, cluster, until


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two files that are sent."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory):
    """A cluster of two workers, for tests that leave it as it is."""
    with cluster(tmp_path_factory.mktemp("two"), 2) as made:
        yield made


def test_each_ask_has_its_answer(two: LocalCluster, files: Path) -> None:
    """In any order; the workers see the files, and no folder of ours."""
    engine: Cluster[int] = Cluster(two.address, files, asks.opened, asks.together)
    try:
        until(lambda: engine.workers == 2)
        for number in range(8):
            engine.submit(number, str(number).encode())
        assert dict(engine.wait() for _ in range(8)) == {n: b"ab" + str(n).encode() for n in range(8)}
    finally:
        engine.close()


def test_a_killed_worker_costs_no_answer(tmp_path: Path, files: Path) -> None:
    """Another one does its work, though the files lay with the one that was killed."""
    with cluster(tmp_path, 1) as made:
        engine: Cluster[str] = Cluster(made.address, files, asks.opened, asks.once_deadly)
        try:
            engine.submit("a", os.fsencode(tmp_path / "marker"))
            made.workers[0].wait(timeout=60)
            made.start_workers(1)
            assert engine.wait() == ("a", b"ab")
        finally:
            engine.close()


def test_work_that_every_worker_dies_of_is_given_up(tmp_path: Path, files: Path) -> None:
    """Dask tries it on four; it is not waited for without end, and the others' answers come."""
    with cluster(tmp_path, 5) as made:
        engine: Cluster[str] = Cluster(made.address, files, asks.opened, asks.deadly)
        try:
            until(lambda: engine.workers == 5)
            engine.submit("a", b"")
            assert engine.wait() == ("a", None)
        finally:
            engine.close()


def test_a_lost_scheduler_is_an_error_that_passes(tmp_path: Path, files: Path) -> None:
    """Told at once, in the middle of the work."""
    with cluster(tmp_path, 1) as made:
        engine: Cluster[str] = Cluster(made.address, files, asks.opened, asks.long)
        try:
            engine.submit("a", os.fsencode(tmp_path / "begun"))
            until((tmp_path / "begun").exists)
            made.kill(made.scheduler)
            with pytest.raises(EngineUnavailable, match=made.address):
                engine.wait()
        finally:
            engine.close()


def test_without_workers_it_is_not_waited_for_without_end(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the start nor once the last one has died."""
    monkeypatch.setattr(clusters, "WORKERS_S", 0.5)
    with cluster(tmp_path, 0) as made:
        with pytest.raises(EngineUnavailable, match=f"no worker for .*dask worker {made.address}"):
            Cluster(made.address, files, asks.opened, asks.long)
        monkeypatch.setattr(clusters, "WORKERS_S", 60.0)
        made.start_workers(1)
        engine: Cluster[str] = Cluster(made.address, files, asks.opened, asks.long)
        try:
            engine.submit("a", os.fsencode(tmp_path / "begun"))
            until((tmp_path / "begun").exists)
            monkeypatch.setattr(clusters, "WORKERS_S", 0.5)
            made.kill(made.workers[0])
            with pytest.raises(EngineUnavailable, match="no worker for"):
                engine.wait()
        finally:
            engine.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://no.such.host.invalid:8786", "tcp://127.0.0.1:x"])
def test_no_scheduler_is_an_error_that_passes(address: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address in the sentence."""
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    with pytest.raises(EngineUnavailable, match=address):
        Cluster(address, files, asks.opened, asks.together)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://no.such.host.invalid:8786", "tcp://127.0.0.1:x"])
def test_nothing_is_left_open_for_the_collector(address: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collected while another client starts, an open one waits for a lock that its own thread holds."""
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    with pytest.raises(EngineUnavailable):
        Cluster(address, files, asks.opened, asks.together)
    left = [one for one in gc.get_objects() if isinstance(one, Client)]
    assert all(one.status == "closed" for one in left)


def test_a_worker_of_other_code_is_refused(two: LocalCluster, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would give other numbers; what differs is named, both ways."""
    monkeypatch.setattr(remote, "identity", lambda: {**own, "torch": "1.0", "refit": "other"})
    engine: Cluster[int] = Cluster(two.address, files, asks.opened, asks.together)
    try:
        engine.submit(0, b"")
        with pytest.raises(EngineError, match=rf"torch {own['torch']} \(1.0\), refit {own['refit']} \(other\)"):
            engine.wait()
    finally:
        engine.close()


own = remote.identity()


def test_a_cluster_without_our_code_is_told(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started elsewhere, without the checkout on its path."""
    monkeypatch.setattr("tests.ml.engine.clusters.CHECKOUT", tmp_path)
    with cluster(tmp_path, 1) as made, pytest.raises(EngineError, match="No module named"):
        Cluster(made.address, files, asks.opened, asks.together)


def test_without_the_package_the_command_is_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment of the runtime alone."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install -r requirements-engine\.txt"):
        Cluster("tcp://127.0.0.1:9", files, asks.opened, asks.together)
