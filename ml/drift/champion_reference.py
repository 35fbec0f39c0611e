"""The champion's own reference, from its registered bundle."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from ml.bundle.reader import Bundle
from ml.drift.reference import Baseline, canonical
from ml.settings import Settings


def load(settings: Settings) -> Baseline | None:
    """The reference of the version that serves; None before the first promotion.

    Raises
    ------
    RegistryUnavailable
        The registry does not answer.
    BundleError
        The registered bundle is incomplete or altered.
    RegistryError
        The version that serves was deleted in MLflow's registry: nothing can be compared with it.
    """
    from ml import registry

    info = registry.serving(settings)
    if info is None:
        return None
    return _read(registry.download(settings, info), info.version)


def of_version(settings: Settings, version: str) -> Baseline:
    """The reference of any registered version."""
    from ml import registry

    info = registry.version(settings, version)
    return _read(registry.download(settings, info), version)


@functools.lru_cache(maxsize=4)
def _read(path: Path, version: str) -> Baseline:
    return from_bundle(Bundle.open(path), version)


def from_bundle(bundle: Bundle, version: str) -> Baseline:
    """The reference that a bundle carries, in canonical form, scored by its own decision rule."""
    from ml.bundle.writer import ACTUAL, probability_column

    held_out = bundle.reference()
    frame, _ = canonical(held_out, bundle.schema)
    probabilities = held_out[[probability_column(c) for c in bundle.classes]].to_numpy(dtype=np.float64)
    return Baseline(
        version=version,
        schema=bundle.schema,
        frame=frame,
        actual=held_out[ACTUAL].to_numpy(dtype=object),
        label=bundle.label(probabilities),
        probabilities=probabilities,
        sha256=bundle.sha256,
        made_from=str(bundle.metrics.get("snapshot") or ""),
    )
