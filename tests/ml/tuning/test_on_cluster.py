"""Trials on a real Dask cluster: the same as on one machine, whoever is killed, resumed anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml import tuning
from ml.errors import EngineUnavailable
from tests.ml.engine.clusters import LocalCluster, cluster, until
from tests.ml.tuning.searching import Rows, facts, settings

EVALS = 12


def on(made: LocalCluster, **tune):
    return settings(engine="dask", engine_address=made.address, max_evals=EVALS, **tune)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory):
    """The search that others are compared with."""
    return tuning.search(Rows(), settings(workers=2, max_evals=EVALS), workdir=tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory):
    """A cluster that is given workers."""
    with cluster(tmp_path_factory.mktemp("growing"), 0) as made:
        yield made


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_finds_what_one_machine_does(
    tmp_path: Path, here, growing: LocalCluster, workers: int
) -> None:
    """Each number of each trial, and the blend of them."""
    growing.start_workers(workers - len(growing.workers))
    until(lambda: _workers(growing) == workers)
    found = tuning.search(Rows(), on(growing), workdir=tmp_path)
    assert facts(found.trials) == facts(here.trials)
    assert found.best == here.best
    assert found.best_loss == here.best_loss


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path, here) -> None:
    """Its trial is run by another."""
    told = []

    def kill_one(done: int, total: int, trial) -> None:
        told.append(trial.number)
        if done == 4:
            made.kill(made.workers[0])

    with cluster(tmp_path, 2) as made:
        found = tuning.search(Rows(), on(made), workdir=tmp_path, progress=kill_one)
    assert sorted(told) == list(range(EVALS))
    assert facts(found.trials) == facts(here.trials)
    assert found.best == here.best


def test_a_lost_scheduler_loses_nothing_that_was_finished(tmp_path: Path, here) -> None:
    """The next try goes on, on another cluster or on this machine."""

    def lose(done: int, total: int, trial) -> None:
        if done == 5:
            made.kill(made.scheduler)

    with cluster(tmp_path, 2) as made, pytest.raises(EngineUnavailable):
        tuning.search(Rows(), on(made), workdir=tmp_path / "w", progress=lose)
    kept = {path: path.read_bytes() for path in (tmp_path / "w").rglob("trial-*.json")}
    assert len(kept) >= 5
    found = tuning.search(Rows(), settings(max_evals=EVALS), workdir=tmp_path / "w")
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert facts(found.trials) == facts(here.trials)


def test_many_workers_are_fed_and_a_resumed_search_is_the_same(tmp_path: Path, growing: LocalCluster) -> None:
    """Four workers and a small `outstanding`: the search begins with more, and keeps to it where it is resumed."""

    class Enough(Exception):
        pass

    def stop(done: int, total: int, trial) -> None:
        if done == 6:
            raise Enough

    few = {"outstanding": 2}
    growing.start_workers(4 - len(growing.workers))
    until(lambda: _workers(growing) == 4)
    with pytest.raises(Enough):
        tuning.search(Rows(), on(growing, **few), workdir=tmp_path / "w", progress=stop)
    found = tuning.search(Rows(), settings(max_evals=EVALS, **few), workdir=tmp_path / "w")
    whole = tuning.search(Rows(), settings(max_evals=EVALS, outstanding=6), workdir=tmp_path / "whole")
    other = tuning.search(Rows(), settings(max_evals=EVALS, **few), workdir=tmp_path / "other")
    assert facts(found.trials) == facts(whole.trials)
    assert facts(found.trials) != facts(other.trials)


def _workers(made: LocalCluster) -> int:
    from distributed import Client

    with Client(made.address, set_as_default=False) as client:
        return len(client.nthreads())
