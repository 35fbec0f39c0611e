"""Fit one candidate, with its curves; save it and load it back."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.errors import TrainingError
from ml.evaluation.metrics import log_losses
from ml.messages import message
from ml.models import ALL_FAMILIES, refuse_unknown
from ml.models.base import OnEpoch, Params
from ml.models.families import restore
from ml.models.state import AnyState
from ml.schema.schema import Schema
from ml.storage import files

WEIGHTS, ARCHITECTURE, CANDIDATE, SCHEMA = "weights.safetensors", "architecture.json", "candidate.json", "schema.json"


class CandidateSpec(msgspec.Struct, frozen=True):
    """What is to be fitted: a family, its parameters (JSON-able), and the seed."""

    family: str
    params: Params = {}
    seed: int = 42


@dataclass(frozen=True)
class Candidate:
    """A fitted model and how it came to be.

    `history` has one entry an epoch (log-loss, accuracy, F1; `validation_` before the held-out ones)
    and is empty for families that are fitted in one go; `seconds` is wall time; `scores` are those of
    the validation rows, where some were given.
    """

    spec: CandidateSpec
    model: Any
    schema: Schema
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)


def fit_candidate(
    spec: CandidateSpec,
    X: Any,
    y: Any,
    *,
    schema: Schema,
    validation: tuple[Any, Any] | None = None,
    sample_weight: Any = None,
    on_epoch: OnEpoch | None = None,
    device: str = "auto",
    threads: int = 1,
) -> Candidate:
    """Fit `spec` on canonical rows.

    Parameters
    ----------
    X, y
        Canonical DataFrame (n, d) in schema order; class codes (n,) int64.
    validation
        Held-out (X, y): stops the fit early and is scored. Without it, a family that needs rows to
        stop on takes its own share of X, and `scores` is empty.
    on_epoch
        Called with each epoch's figures as it ends.

    Raises
    ------
    TrainingError
        An unknown family or parameter, or a fit that does not converge to numbers.
    """
    refuse_unknown([spec.family], ALL_FAMILIES)
    try:
        model = ALL_FAMILIES[spec.family].build(spec.params, schema, seed=spec.seed, device=device, threads=threads)
    except TypeError as error:
        raise TrainingError(message("training.parameters", family=spec.family, error=str(error))) from error
    started = time.perf_counter()
    model.fit(X, y, sample_weight=sample_weight, validation=validation, on_epoch=on_epoch)
    seconds = time.perf_counter() - started
    scores = {} if validation is None else score(model.predict_proba(validation[0]), validation[1])
    return Candidate(spec, model, schema, list(model.history), seconds, scores)


def score(probabilities: NDArray[Any], y: Any) -> dict[str, float]:
    """Log-loss (natural logarithm, floored at `REPORT_FLOOR`), accuracy, and F1 as in `history`.

    probabilities: (n, C); y: (n,) codes.

    >>> score(np.array([[0.9, 0.1], [0.2, 0.8]]), [0, 1])["accuracy"]
    1.0
    """
    codes = np.asarray(y, dtype=np.int64)
    guess = probabilities.argmax(axis=1)
    return {
        "log_loss": float(log_losses(probabilities, codes).mean()),
        "accuracy": float((guess == codes).mean()),
        "f1": _f1(codes, guess, probabilities.shape[1]),
    }


def _f1(codes: NDArray[np.int64], guess: NDArray[np.int64], n_classes: int) -> float:
    wanted = [1] if n_classes == 2 else range(n_classes)
    each = []
    for c in wanted:
        hit = int(((codes == c) & (guess == c)).sum())
        total = int((codes == c).sum() + (guess == c).sum())
        each.append(2.0 * hit / total if total else 0.0)
    return float(np.mean(each))


class _Facts(msgspec.Struct, frozen=True):
    """Content of candidate.json; JSON has null for what is not finite."""

    spec: CandidateSpec
    history: Sequence[Mapping[str, float | None]]
    seconds: float
    scores: Mapping[str, float | None]


def save_candidate(candidate: Candidate, folder: Path) -> Path:
    """Write the candidate to `folder`: arrays as safetensors, the rest as JSON. All of it or nothing.

    A folder that is there already is replaced.
    """
    from safetensors.numpy import save

    state, arrays = candidate.model.to_state()
    files.make_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        files.write_bytes(temporary / WEIGHTS, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
        files.write_json(temporary / ARCHITECTURE, state)
        files.write_bytes(temporary / SCHEMA, candidate.schema.to_json())
        facts = _Facts(candidate.spec, candidate.history, candidate.seconds, candidate.scores)
        files.write_json(temporary / CANDIDATE, facts)
        files.replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def load_candidate(folder: Path) -> Candidate:
    """Read what `save_candidate` wrote. Nothing is unpickled.

    Raises
    ------
    TrainingError
        A file is missing, cut short, or of another make.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        facts = msgspec.json.decode((folder / CANDIDATE).read_bytes(), type=_Facts)
        state = msgspec.json.decode((folder / ARCHITECTURE).read_bytes(), type=AnyState)
        arrays = load((folder / WEIGHTS).read_bytes())
        schema = Schema.from_json((folder / SCHEMA).read_bytes())
        model = restore(state, arrays)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, msgspec.MsgspecError, SafetensorError) as error:
        found = f"{type(error).__name__}: {error}"
        raise TrainingError(message("training.no_candidate", folder=str(folder), error=found)) from error
    model.history_ = [_figures(epoch) for epoch in facts.history]
    return Candidate(facts.spec, model, schema, model.history_, facts.seconds, _figures(facts.scores))


def _figures(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}
