"""A trial's result, and its place on disk: one JSON and one .npy file a trial, written atomically."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ml.models.base import Params
from ml.storage.files import write_bytes

Status = Literal["ok", "pruned", "failed"]
HyperoptValues = dict[str, int | float]  # label → the number of an option, or the drawn value


class Trial(msgspec.Struct, kw_only=True):
    """One configuration and what came of it.

    `loss` is the log-loss over the held-out rows of all folds; for a pruned trial it is estimated from
    the folds that ran (what they lost against the best trial on the same folds, added to its loss); None
    for a failed one. `values` are hyperopt's own values of the point; None for a baseline.
    """

    number: int
    family: str
    params: Params
    seed: int
    values: HyperoptValues | None = None
    resolved: Params = {}  # what the estimator was built with, its defaults included
    status: Status = "ok"
    loss: float | None = None
    scores: dict[str, float] = {}  # accuracy, macro F1 on the same held-out rows
    fold_losses: list[float] = []
    history: list[dict[str, float]] = []  # per epoch, of the first fold
    seconds: float = 0.0
    error: str = ""


class TrialStore:
    """A folder with the finished trials of one search.

    A trial is there once its JSON is: the probabilities are written before it. What was interrupted
    leaves at most a .npy file that the trial's next run overwrites.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[int, Trial]:
        """Number → finished trial."""
        trials = (msgspec.json.decode(path.read_bytes(), type=Trial) for path in self.folder.glob("trial-*.json"))
        return {trial.number: trial for trial in trials}

    def save(self, trial: Trial, probabilities: npt.NDArray[np.float64] | None) -> None:
        """Keep a finished trial, and its held-out probabilities where every fold ran."""
        if probabilities is not None:
            buffer = io.BytesIO()
            np.save(buffer, probabilities.astype(np.float32), allow_pickle=False)
            write_bytes(self.folder / f"trial-{trial.number:05d}.npy", buffer.getvalue())
        write_bytes(self.folder / f"trial-{trial.number:05d}.json", msgspec.json.format(msgspec.json.encode(trial)))

    def probabilities(self, number: int) -> npt.NDArray[np.float64]:
        """(n_held_out_rows, n_classes) of a trial of status "ok"."""
        stored = np.load(self.folder / f"trial-{number:05d}.npy", allow_pickle=False)
        return np.asarray(stored, dtype=np.float64)
