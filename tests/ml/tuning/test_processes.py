"""Trials in processes: the same results, whoever is killed."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ml import tuning
from ml.errors import TrainingError
from ml.settings import CHECKOUT
from ml.tuning import study
from ml.tuning.executors import Processes
from ml.tuning.trial import TrialRequest, TrialStore
from tests.ml.tuning.searching import Rows, facts, settings


class Tracker:
    """Remembers which trials it was told of, and in which process."""

    def __init__(self):
        self.told = []

    def trial(self, trial):
        self.told.append((trial.number, os.getpid()))


def test_two_processes_find_what_one_does(tmp_path):
    """Past the start-up trials too: a suggestion never looks at trials that may still run. The tracker is told once of
    each, in this process."""
    one = tuning.search(Rows(), settings(max_evals=20), workdir=tmp_path / "one")
    tracker = Tracker()
    two = tuning.search(Rows(), settings(max_evals=20, workers=2), workdir=tmp_path / "two", tracker=tracker)
    assert facts(one.trials) == facts(two.trials)
    assert two.best == one.best
    assert sorted(tracker.told) == [(number, os.getpid()) for number in range(20)]


SEARCH = """
import sys
from pathlib import Path
from ml import tuning
from tests.ml.tuning.searching import Rows, settings
if __name__ == "__main__":
    tuning.search(Rows(), settings(max_evals=14, workers=2), workdir=Path(sys.argv[1]))
"""


def test_kill_9_loses_no_finished_trial_and_leaves_no_process(tmp_path):
    """The search and its workers, killed in the middle, then finished by another search."""
    program = [sys.executable, "-c", SEARCH, str(tmp_path)]
    process = subprocess.Popen(program, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.rglob("trial-*.json"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = _children(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {p: p.read_bytes() for p in tmp_path.rglob("trial-*.json")}
    assert len(kept) >= 4
    assert len(workers) == 2
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    found = tuning.search(Rows(), settings(max_evals=14), workdir=tmp_path)
    assert all(p.read_bytes() == content for p, content in kept.items())
    whole = tuning.search(Rows(), settings(max_evals=14), workdir=tmp_path / "whole")
    assert facts(found.trials) == facts(whole.trials)


def _children(pid):
    """Processes that it has started, by any of its threads."""
    return {int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()}


def _in_daemon(folder, results):
    found = tuning.search(Rows(), settings(max_evals=4, workers=2), workdir=folder)
    results.put(facts(found.trials))


def test_workers_start_inside_a_daemon_process(tmp_path):
    """Where multiprocessing may not: a scheduler's task process is one."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_in_daemon, args=(tmp_path, results), daemon=True)
    process.start()
    found = results.get(timeout=120)
    process.join(timeout=30)
    assert found == facts(tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path / "here").trials)


def test_a_trial_is_run_again_when_its_worker_dies(tmp_path):
    """In a new worker, with the same result as if nothing had happened."""
    problem = study.make_problem(Rows(), settings())
    problem.save(tmp_path)
    store = TrialStore(tmp_path)
    engine = Processes(tmp_path, workers=1)
    try:
        engine._workers[0]._process.send_signal(signal.SIGKILL)
        engine.submit(TrialRequest(number=0, family="logistic", params={"C": 1.0}, seed=0))
        found = engine.wait()
    finally:
        engine.close()
    assert found.status == "ok"
    assert facts([store.load()[0]]) == facts([found])


@contextlib.contextmanager
def every_child_killed():
    """Until the block ends, no process that this one starts in it lives for long."""
    over, before = threading.Event(), _children("self")  # those before are others': multiprocessing's tracker is one

    def kill():
        while not over.wait(0.01):
            for pid in _children("self") - before:
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_search_killed_again_and_again_has_its_baselines_in_the_end(tmp_path):
    """A worker's death is not the trial's result: the next search in the folder runs the trial."""
    for _ in range(2):
        with every_child_killed(), pytest.raises(TrainingError, match="ended with code -9"):
            tuning.search(Rows(), settings(workers=2, max_evals=2), workdir=tmp_path)
    assert not list(tmp_path.rglob("trial-*.json"))
    found = tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path)
    whole = tuning.search(Rows(), settings(max_evals=4), workdir=tmp_path / "whole")
    assert facts(found.trials) == facts(whole.trials)
    assert found.baseline_loss == whole.baseline_loss < np.inf
