"""Fitting what a search chose, on all rows that it may learn from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ml.models.base import OnEpoch
from ml.settings import Settings
from ml.training.candidate import Candidate, CandidateSpec, fit_candidate

if TYPE_CHECKING:
    from ml.data.snapshot import Part
    from ml.schema.schema import Schema


class Rows(Protocol):
    """A snapshot, or a view of one."""

    @property
    def schema(self) -> Schema:
        """Of the parts' columns."""
        ...

    def part(self, name: str) -> Part:
        """The rows "train" and "validation"."""
        ...


@dataclass(frozen=True)
class Refitted:
    """The winner, and the rows it was fitted on: X (n, d) canonical, y (n,) class codes."""

    candidate: Candidate
    X: Any
    y: npt.NDArray[np.int64]


def refit(
    best: CandidateSpec, rows: Rows, settings: Settings, *, on_all: bool, on_epoch: OnEpoch | None = None
) -> Refitted:
    """Fit the winner of a search as it was compared.

    Parameters
    ----------
    best
        `TuneResult.best`.
    rows
        The snapshot that was searched.
    on_all
        `TuneResult.fit_on_all`. True: on training and validation rows together, where families that stop early
        hold rows out by themselves. False (large tables): on the training rows, stopping on the validation rows,
        so that `TuneResult.probabilities` are this very model's (unless trials were thinned to `tune.max_rows`).
    """
    import pandas as pd

    train, valid = rows.part("train"), rows.part("validation")
    X, y, weight = train.X, train.y, train.weight
    if on_all:
        X, y = pd.concat([X, valid.X], ignore_index=True), np.concatenate([y, valid.y])
        weight = None if weight is None or valid.weight is None else np.concatenate([weight, valid.weight])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that did not converge won the search all the same
        candidate = fit_candidate(
            best,
            X,
            y,
            schema=rows.schema,
            validation=None if on_all else (valid.X, valid.y),
            sample_weight=weight,
            on_epoch=on_epoch,
            device=settings.train.device,
        )
    return Refitted(candidate, X, y)
