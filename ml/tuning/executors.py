"""Trial executors: where trials run. A search only asks and tells, so an executor is these three methods.

`Processes` starts its workers as plain programs (`python -m ml.tuning.worker`), not by
multiprocessing: it works inside a daemon process (an Airflow task), inherits no thread pool half-way
(fork after OpenMP hangs), and a worker that dies takes at most one trial with it, not the pool.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Protocol

import msgspec

from ml.engine.cluster import Cluster
from ml.settings import CHECKOUT
from ml.tuning.problem import Problem
from ml.tuning.trial import Trial, TrialRequest, TrialStore, rival_losses, run, unfinished
from ml.tuning.worker import Answer, Ask, answer

log = logging.getLogger(__name__)

A_WORKER = 1.5  # trials outstanding a worker of a cluster: half of them have the next one there already; our choice


class Executor(Protocol):
    """Runs trial requests in any order; a trial's result, errors too, is in the store before `wait` returns it."""

    outstanding: int  # trials that a suggestion should not wait for, so that no worker idles; 0: any number will do

    @property
    def capacity(self) -> int:
        """How many requests to keep outstanding."""
        ...

    def submit(self, request: TrialRequest) -> None:
        """Take a request; does not block."""
        ...

    def wait(self) -> Trial:
        """The next finished trial, failed ones included; blocks."""
        ...

    def close(self) -> None:
        """End the workers; what was not finished is lost."""
        ...


class Serial:
    """One trial at a time, in this process."""

    outstanding, capacity = 0, 1

    def __init__(self, problem: Problem, store: TrialStore) -> None:
        self._problem, self._store = problem, store
        self._requests: list[TrialRequest] = []

    def submit(self, request: TrialRequest) -> None:
        """Keep the request until `wait`."""
        self._requests.append(request)

    def wait(self) -> Trial:
        """Run the oldest request."""
        return run(self._requests.pop(0), self._problem, self._store)

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """`workers` programs, each with one trial at a time; one more request waits, so none is ever idle."""

    outstanding = 0

    def __init__(self, folder: Path, workers: int) -> None:
        self.capacity = workers + 1
        self._requests: queue.SimpleQueue[TrialRequest | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Trial | BaseException] = queue.SimpleQueue()
        self._workers = [_Worker(folder, number) for number in range(workers)]
        self._threads = [threading.Thread(target=self._serve, args=(w,), daemon=True) for w in self._workers]
        for thread in self._threads:
            thread.start()

    def submit(self, request: TrialRequest) -> None:
        """Queue the request for the next idle worker."""
        self._requests.put(request)

    def wait(self) -> Trial:
        """The next trial that any worker finished."""
        outcome = self._finished.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the workers."""
        for _ in self._threads:
            self._requests.put(None)
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join(timeout=10)

    def _serve(self, worker: _Worker) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._finished.put(self._run(worker, request))
            except Exception as error:  # handed to the search, which is waiting in another thread
                self._finished.put(error)

    def _run(self, worker: _Worker, request: TrialRequest) -> Trial:
        """The trial, tried again in a new worker when the first one died.

        Who kills a worker seldom means its trial: a machine that is short of memory, or somebody who ends the
        whole search. A trial that saw two workers die has failed for this search and is not kept, so that the
        next search in the folder runs it; a baseline would be missing for good otherwise.
        """
        try:
            try:
                return worker.run(request)
            except WorkerDied as died:
                if worker.stopped:  # by us: there is nothing to tell of, and no worker to try again with
                    raise
                log.warning("trial %d is run again: %s", request.number, died)
                return worker.run(request)
        except WorkerDied as died:
            return unfinished(request, str(died))


class OnCluster:
    """Trials on a Dask cluster, whose workers share no disk with us: we alone write the trial store.

    What a trial needs goes out with its request, what it found comes back. A trial that several workers died of has
    failed for this search and is not kept, as with `Processes`.
    """

    def __init__(self, address: str, problem: Problem, store: TrialStore) -> None:
        self._problem, self._store = problem, store
        with tempfile.TemporaryDirectory(prefix="refit-problem-") as folder:
            problem.save(Path(folder))
            self._cluster: Cluster[TrialRequest] = Cluster(address, Path(folder), Problem.load, answer)
        self.outstanding = math.ceil(A_WORKER * self._cluster.workers)

    @property
    def capacity(self) -> int:
        """Of the workers that there are now: they may come and go."""
        return math.ceil(A_WORKER * max(1, self._cluster.workers))

    def submit(self, request: TrialRequest) -> None:
        """Send the request with its rival's losses."""
        rival = rival_losses(request, self._problem, self._store)
        ask = Ask(request, None if rival is None else rival.tobytes())
        self._cluster.submit(request, msgspec.msgpack.encode(ask))

    def wait(self) -> Trial:
        """The next trial that any worker finished, kept."""
        request, said = self._cluster.wait()
        if said is None:
            return unfinished(request, "the workers that ran it died")
        found = msgspec.msgpack.decode(said, type=Answer)
        self._store.save(found.trial, found.array(len(self._problem.schema.classes)))
        return found.trial

    def close(self) -> None:
        """Leave the cluster to others."""
        self._cluster.close()


class WorkerDied(Exception):
    """Raised when a worker ended in the middle of a trial: out of memory, or a crash in native code."""


class _Worker:
    """One worker program, started on its first request and again after it died."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.stopped = False
        self._start()

    def run(self, request: TrialRequest) -> Trial:
        """Send a request and wait for its trial."""
        with self._lock:
            if self._process is None and not self.stopped:
                self._start()
        process = self._process
        if process is None:
            raise WorkerDied("the search was stopped")
        answer = b""
        try:
            _pipe(process.stdin).write(msgspec.json.encode(request) + b"\n")
            _pipe(process.stdin).flush()
            answer = _pipe(process.stdout).readline()
        except (BrokenPipeError, ValueError, OSError):
            pass  # told below: no answer
        if not answer.endswith(b"\n"):
            code = process.wait()
            self._process = None
            _close(process.stdin)
            _close(process.stdout)
            raise WorkerDied(f"the worker process ended with code {code}; its last words: {self._last_words()}")
        return msgspec.json.decode(answer, type=Trial)

    def stop(self) -> None:
        """End the program, in the middle of a trial if need be."""
        with self._lock:
            self.stopped = True
            process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                _close(pipe)

    def _start(self) -> None:
        # One thread a worker: two threads made such small fits slower, not faster.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ml.tuning.worker", str(self._folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=CHECKOUT,
                env={**os.environ, **threads, "PYTHONPATH": path},
            )  # fmt: skip

    def _log(self) -> Path:
        return self._folder / f"worker-{self._number}.log"

    def _last_words(self) -> str:
        lines = self._log().read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "none"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the worker was started without pipes")
    return pipe


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
