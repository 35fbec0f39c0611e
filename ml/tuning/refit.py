"""Fitting what a search chose, on all rows that it may learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.models.base import OnEpoch
from ml.settings import Settings
from ml.training import Candidate, fit_candidate

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot
    from ml.tuning.study import TuneResult


def refit(result: TuneResult, snapshot: Snapshot, settings: Settings, *, on_epoch: OnEpoch | None = None) -> Candidate:
    """Fit `result.best` as it was compared.

    On training and validation rows together, where families that stop early hold rows out by themselves;
    on large tables on the training rows, stopping on the validation rows, so that `result.probabilities`
    are this very model's (unless trials were thinned to `tune.max_rows`).
    """
    import pandas as pd

    train, valid = snapshot.part("train"), snapshot.part("validation")
    X, y, weight = train.X, train.y, train.weight
    if result.fit_on_all:
        X, y = pd.concat([X, valid.X], ignore_index=True), np.concatenate([y, valid.y])
        weight = None if weight is None or valid.weight is None else np.concatenate([weight, valid.weight])
    return fit_candidate(
        result.best,
        X,
        y,
        schema=snapshot.schema,
        validation=None if result.fit_on_all else (valid.X, valid.y),
        sample_weight=weight,
        on_epoch=on_epoch,
        device=settings.train.device,
    )
