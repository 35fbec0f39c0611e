"""Fitting what a search chose, on all rows that it may learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.models.base import OnEpoch
from ml.settings import Settings
from ml.training import Candidate, CandidateSpec, fit_candidate

if TYPE_CHECKING:
    from ml.data.snapshot import Snapshot
    from ml.tuning.study import TuneResult


def refit(
    result: TuneResult, snapshot: Snapshot, settings: Settings, *, on_epoch: OnEpoch | None = None
) -> Candidate:
    """Fit `result.best` as it was compared.

    After cross-validation: on training and validation rows together; families that stop early hold out
    their own share. Otherwise on the training rows, stopping on the validation rows, so that
    `result.probabilities` are this very model's (unless trials were thinned to `tune.max_rows`).
    """
    import pandas as pd

    train, valid = snapshot.part("train"), snapshot.part("validation")
    X, y, weight = train.X, train.y, train.weight
    if result.cross_validated:
        X, y = pd.concat([X, valid.X], ignore_index=True), np.concatenate([y, valid.y])
        weight = None if weight is None or valid.weight is None else np.concatenate([weight, valid.weight])
    return fit_candidate(
        result.best,
        X,
        y,
        schema=snapshot.schema,
        validation=None if result.cross_validated else (valid.X, valid.y),
        sample_weight=weight,
        on_epoch=on_epoch,
        device=settings.train.device,
    )


def bagged(members: list[tuple[CandidateSpec, float]], bags: int, families: frozenset[str]) -> list[
    tuple[CandidateSpec, float]
]:  # fmt: skip
    """Each member of one of `families` as `bags` members with other seeds, and a share of its weight each.

    Such a fit holds out rows to stop on; each seed holds out others, so that together the bags learn
    from all rows, and their mean varies less.
    """
    out = []
    for spec, share in members:
        count = bags if spec.family in families else 1
        out += [(CandidateSpec(spec.family, spec.params, spec.seed + 1_000_003 * b), share / count) for b in range(count)]
    return out
