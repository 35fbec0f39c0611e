"""A trial worker: of one machine, and of a cluster.

Of one machine: `python -m ml.tuning.worker FOLDER`, one trial request a line on standard input, one finished trial a
line back. Ends at the end of its input, so also when the search is killed: the trial that then runs is finished and
kept first. Of a cluster: `answer`, with all that a trial needs in the ask and all that it found in the answer.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ml.tuning.problem import Problem
from ml.tuning.trial import Trial, TrialRequest, TrialStore, attempt, run


class Ask(msgspec.Struct, frozen=True):
    """A trial request and the log-losses of its rival: the bytes of (n_held_out_rows,) float64."""

    request: TrialRequest
    rival: bytes | None


class Answer(msgspec.Struct, frozen=True):
    """A trial and its held-out probabilities: the bytes of (n_held_out_rows, n_classes) float32, as they are kept."""

    trial: Trial
    probabilities: bytes | None

    def array(self, n_classes: int) -> npt.NDArray[np.float64] | None:
        """The probabilities, None where not every fold ran."""
        if self.probabilities is None:
            return None
        return np.frombuffer(self.probabilities, np.float32).reshape(-1, n_classes).astype(np.float64)


def answer(problem: Problem, ask: bytes) -> bytes:
    """Run the trial of an `Ask`; the `Answer`."""
    asked = msgspec.msgpack.decode(ask, type=Ask)
    rival = None if asked.rival is None else np.frombuffer(asked.rival, np.float64)
    trial, found = attempt(asked.request, problem, rival)
    return msgspec.msgpack.encode(Answer(trial, None if found is None else found.astype(np.float32).tobytes()))


def main(folder: Path) -> None:
    """Run requested trials until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the search ends its workers
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    problem, store = Problem.load(folder), TrialStore(folder)
    for line in sys.stdin.buffer:
        trial = run(msgspec.json.decode(line, type=TrialRequest), problem, store)
        try:
            answers.write(msgspec.json.encode(trial) + b"\n")
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
