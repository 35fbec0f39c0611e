"""Backtest: what quick models of labelled production rows would have answered to the rows that came after them.

Two questions are answered with it: would a model of newer rows do better than the champion
(`ml.retraining.fresh_model_probe`), and which rows should a retraining learn from
(`ml.retraining.window_policy`)? The models are the untuned baselines of the
quick families, and each is fitted on at most `retrain.backtest_rows` rows, so that the cost is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.errors import DataError
from ml.evaluation.metrics import DRIFT_FLOOR, log_losses
from ml.exploration.weights import weights
from ml.schema.schema import LABEL_PROPENSITY
from ml.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema.schema import Schema

QUICK = ("hist_gradient_boosting", "logistic")  # seconds for 20,000 rows; the best first


class Base(NamedTuple):
    """The champion's schema, and what its own source gave to train on: None where that is nothing, or not here."""

    schema: Schema
    rows: tuple[pd.DataFrame, Any] | None


def base(settings: Settings, made_from: str = "", schema: Schema | None = None) -> Base | None:
    """The champion's snapshot without the labelled rows that were added to it; of more, `train.max_rows` rows.

    Parameters
    ----------
    made_from
        Its id; "": the newest snapshot.
    schema
        The champion's, where the snapshot itself is not on this machine; None: then there is no base.
    """
    from ml.data import ingestion
    from ml.data import snapshot as snapshots

    try:
        snapshot = snapshots.open(settings, made_from) if made_from else ingestion.latest(settings)
    except DataError:
        snapshot = None
    if snapshot is None:
        return None if schema is None else Base(schema, None)
    most = settings.train.max_rows
    part = snapshot.sample("train", most, settings.train.seed)  # what a retraining would read
    added = min(snapshot.manifest.labelled.train, most)
    n = len(part.y) - added  # labelled rows were put at the end
    return Base(snapshot.schema, (part.X.iloc[:n], part.y[:n]) if n else None)


def losses(
    settings: Settings, source: Base, windows: Mapping[str, pd.DataFrame], held: pd.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """Log-loss of every held row under a quick model of each window and family, by `model_name`.

    Parameters
    ----------
    windows
        Name → labelled rows (as `predictions.labelled`), all older than `held`; the source's own rows are added to
        the one named `all`. One with too few rows, or not all classes, is left out.
    held
        Labelled rows to judge on.

    Returns
    -------
    Name → (n_held,) nats, of probabilities that are floored and sum to one; rows whose label is no class are dropped
    from all of them alike. A window that cannot be fitted is left out.
    """
    x_held, y_held = canonical(held, source.schema)
    found = {}
    for name, rows in windows.items():
        x, y = canonical(rows, source.schema)
        weight = _weight(rows, source.schema, settings)
        if name == "all" and source.rows is not None:
            x, y = _concat(source.rows[0], x), np.concatenate([source.rows[1], y])
            weight = None if weight is None else np.concatenate([np.ones(len(y) - len(weight)), weight])
        if len(y) < settings.retrain.min_rows // 2 or len(np.unique(y)) < len(source.schema.classes):
            continue
        for family in quick(settings):
            loss = _losses(family, x, y, weight, x_held, y_held, source.schema, settings)
            if loss is not None:
                found[model_name(name, family)] = loss
    return found


def quick(settings: Settings) -> list[str]:
    """The quick families among those that are searched, the best first; logistic regression where none is."""
    return [name for name in QUICK if name in settings.train.families] or ["logistic"]


def model_name(window: str, family: str) -> str:
    """What a quick model is called in verdicts.

    >>> model_name("since drift", "logistic"), window_of("since drift (logistic)")
    ('since drift (logistic)', 'since drift')
    """
    return f"{window} ({family})"


def window_of(model: str) -> str:
    """The window of a quick model, by its name."""
    return model.partition(" (")[0]


def canonical(rows: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, Any]:
    """Labelled rows as a model takes them: inputs (n, columns) and codes (n,), without rows of no class."""
    from ml.schema.frame_coerce import canonical as coerce

    if rows.empty:
        return rows, np.zeros(0, dtype=np.int64)
    y = codes(rows, schema)
    x, _ = coerce(rows[y >= 0].reset_index(drop=True), schema.of_canonical_rows)
    return x, y[y >= 0]


def codes(rows: pd.DataFrame, schema: Schema) -> NDArray[np.int64]:
    """(n,) codes of labelled rows; below 0 where the label is no class."""
    from ml.data.inference import labels
    from ml.schema.findings import Report

    return labels.codes(rows, schema.of_canonical_rows, Report(), tolerate=None)


def _weight(rows: pd.DataFrame, schema: Schema, settings: Settings) -> NDArray[np.float64] | None:
    """Inverse-propensity weights of the rows that `canonical` keeps; None where the log has no propensities."""
    if rows.empty or LABEL_PROPENSITY not in rows.columns:
        return None
    found = weights(rows[LABEL_PROPENSITY], most=settings.explore.max_weight)
    return None if found.uniform and not found.without else found.rows[codes(rows, schema) >= 0]


def _concat(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([first, second], ignore_index=True) if len(second) else first


def _losses(
    family: str, x: Any, y: Any, weight: Any, x_held: Any, y_held: Any, schema: Schema, settings: Settings
) -> NDArray[np.float64] | None:
    from ml.models import FAMILIES

    keep = np.sort(np.random.default_rng(settings.train.seed).permutation(len(y))[: settings.retrain.backtest_rows])
    model = FAMILIES[family].build(FAMILIES[family].baseline(len(keep)), schema, seed=settings.train.seed)
    try:
        model.fit(x.iloc[keep], y[keep], sample_weight=None if weight is None else weight[keep])
    except DataError:  # a window in which nothing varies cannot win
        return None
    p = np.clip(model.predict_proba(x_held), DRIFT_FLOOR, 1.0)
    loss = log_losses(p / p.sum(axis=1, keepdims=True), y_held)
    return loss if np.isfinite(loss).all() else None
