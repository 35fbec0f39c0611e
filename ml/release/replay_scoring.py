"""Replay scoring: what another version would have answered to the traffic that was really served.

The inputs of every answer are in the log, so a challenger is scored on exactly the rows that the champion
answered, without a second model in the service and without a millisecond for its callers.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml import predictions
from ml.bundle.reader import Bundle
from ml.drift import reference
from ml.exploration.weights import weights
from ml.settings import Settings
from ml.storage import database

if TYPE_CHECKING:
    import pandas as pd

    from ml.schema.schema import Schema


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A model beside the one that answered the same labelled rows: shares in [0, 1], None without rows."""

    rows: int = 0
    shadow: float | None = None  # accuracy of the model
    served: float | None = None  # accuracy of what was answered
    agreement: float | None = None  # share of rows on which both decide alike


def score(settings: Settings, version: str, rows: pd.DataFrame, sha256: str = "") -> tuple[Any, Any]:
    """Answers of a registered version to logged rows.

    Parameters
    ----------
    rows
        What `predictions.window` returned.
    sha256
        Of that version's bundle, where it is known.

    Returns
    -------
    labels
        (n,) object of str, decided by that version's own rule.
    probabilities
        (n, n_classes) float32, columns in the order of that version's classes.

    Raises
    ------
    RegistryError, BundleError
        There is no such version, or its bundle is altered or another one.
    """
    bundle = open_version(settings, version, sha256)
    numbers, categories = inputs(rows, bundle.schema)
    probabilities = bundle.run(numbers, categories)
    return bundle.label(probabilities), probabilities


def compare(settings: Settings, version: str, *, against: str, rows: int = 2_000) -> Comparison:
    """A version beside the one that answered, on the newest labelled rows of that one: see `beside`.

    Parameters
    ----------
    version
        The one to be tried.
    against
        The version whose answers it is held against.
    rows
        At most so many, the newest.
    """
    bundle = open_version(settings, version)
    most = settings.explore.max_weight
    return beside(bundle, live(settings, bundle, against=against, rows=rows), most=most)


def live(
    settings: Settings, bundle: Bundle, *, against: str, rows: int, since: float | None = None, sha256: str = ""
) -> pd.DataFrame:
    """The newest rows that version `against` answered (from `since` on, seconds) and whose label the bundle knows.

    Parameters
    ----------
    rows
        At most so many are read; those with a label that the bundle does not know are dropped then.
    sha256
        Of the bundle of `against`: not what another registry's version of that number answered.
    """
    window = predictions.window(
        database.engine(settings), since=since, rows=rows, version=against, sha256=sha256, labelled_only=True
    )
    return window[window["actual"].isin(bundle.classes)].reset_index(drop=True)


def beside(bundle: Bundle, rows: pd.DataFrame, *, most: float = np.inf) -> Comparison:
    """A model beside the one that answered the same labelled rows.

    Parameters
    ----------
    rows
        Of `live`.
    most
        That a row may count, weighed by inverse propensity.
    """
    if rows.empty:
        return Comparison()
    labels = bundle.label(bundle.run(*inputs(rows, bundle.schema)))
    actual, served = rows["actual"].to_numpy(dtype=object), rows["label"].to_numpy(dtype=object)
    weight = weights(rows["label_propensity"], most=most).rows
    if not weight.any():
        return Comparison()
    return Comparison(
        rows=len(rows),
        shadow=float(np.average(labels == actual, weights=weight)),
        served=float(np.average(served == actual, weights=weight)),
        agreement=float(np.average(labels == served, weights=weight)),
    )


def inputs(rows: pd.DataFrame, schema: Schema) -> tuple[Any, Any]:
    """Logged inputs as a model takes them: (n, K) float32 and (n, M) object of str; what is not there is missing."""
    frame, _ = reference.canonical(predictions.inputs_frame(rows), schema)
    n = len(rows)
    numbers = [frame[c] if c in frame else np.full(n, np.nan) for c in schema.numbers]
    texts = [frame[c] if c in frame else np.full(n, "", dtype=object) for c in schema.categories]
    limit = float(np.finfo(np.float32).max)
    return (
        np.clip(np.array(numbers, dtype=np.float64).reshape(-1, n).T, -limit, limit).astype(np.float32),
        np.array(texts, dtype=object).reshape(-1, n).T,
    )


def open_version(settings: Settings, version: str, sha256: str = "") -> Bundle:
    """A registered version's bundle, verified; kept open for the next call."""
    from ml import registry

    info = registry.version(settings, version, sha256)
    return _open(registry.download(settings, info), info.sha256)


@functools.lru_cache(maxsize=4)
def _open(path: Path, sha256: str) -> Bundle:
    return Bundle.open(path, sha256=sha256)
