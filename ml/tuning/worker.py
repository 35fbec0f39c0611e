"""A trial worker: one trial request a line on standard input, one finished trial a line back.

`python -m ml.tuning.worker FOLDER`. Ends at the end of its input, so also when the search is killed:
the trial that then runs is finished and kept first.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from ml.tuning.problem import Problem
from ml.tuning.trial import TrialRequest, TrialStore, run


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
