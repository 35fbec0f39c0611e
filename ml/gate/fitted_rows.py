"""The rows that a version was fitted on, as hashes: beside its bundle, since a gate needs them and a service does not.

metrics.json, which the bundle's hash and signature vouch for, has the digest of each file. A bundle of an earlier
version of Refit has the files in itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml import tracking
from ml.bundle.reader import Bundle
from ml.errors import BundleError, RegistryError
from ml.messages import message
from ml.settings import Settings
from ml.storage import files

Hashes = npt.NDArray[np.uint64]

FOLDER = "fitted_rows"  # beside the bundle: in the run's workspace, and among the artifacts of the logged model
ROWS = "trained_on.npy"  # sorted hashes of the rows
IDS = "trained_ids.npy"  # the same of whom they are about


class FittedRows(NamedTuple):
    """Sorted hashes by `regression_rows.row_hashes` and by `evidence.id_hashes`; empty where nothing is known."""

    rows: Hashes = np.empty(0, np.uint64)
    ids: Hashes = np.empty(0, np.uint64)


def write(folder: Path, rows: Hashes, ids: Hashes) -> dict[str, str]:
    """Write both files; returns their digests, for metrics.json.

    Parameters
    ----------
    rows, ids
        (n,) hashes, in any order.
    """
    files.make_folder(folder)
    digests = {}
    for name, hashes in ((ROWS, rows), (IDS, ids)):
        buffer = io.BytesIO()
        np.save(buffer, np.unique(hashes), allow_pickle=False)
        files.write_bytes(folder / name, buffer.getvalue())
        digests[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
    return digests


def of(settings: Settings, bundle: Bundle, version: str, *, beside: Path | None = None) -> FittedRows:
    """What a version was fitted on.

    Parameters
    ----------
    version
        Its number in the registry, from which the files are loaded where this machine has none; "": it has none.
    beside
        Folder of the run that made it; None: not at hand.

    Raises
    ------
    BundleError
        The files are nowhere, or are not those that the bundle names.
    """
    digests: Mapping[str, str] = bundle.metrics.get("fitted_rows") or {}
    if not digests:
        return _read(bundle.path) if (bundle.path / ROWS).exists() else FittedRows()
    cached = settings.var / "cache" / FOLDER / digests[ROWS]
    for folder in (cached, beside):
        if folder is not None and are(folder, bundle):
            return _read(folder)
    if not version:
        raise BundleError(message("bundle.fitted_rows_not_there", folder=str(beside or cached)))
    files.make_folder(cached.parent)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".loading-") as temporary:
        loaded = _fetch(settings, version, Path(temporary))
        if not are(loaded, bundle):
            raise BundleError(message("bundle.fitted_rows_altered", version=version))
        files.make_folder(cached)
        for name in digests:
            os.replace(loaded / name, cached / name)
    return _read(cached)


def are(folder: Path, bundle: Bundle) -> bool:
    """Whether the folder has the files that a bundle names; False for one that names none."""
    digests: Mapping[str, str] = bundle.metrics.get("fitted_rows") or {}
    try:
        files = {name: (folder / name).read_bytes() for name in digests}
    except OSError:
        return False
    return bool(digests) and all(hashlib.sha256(files[name]).hexdigest() == digests[name] for name in digests)


def _fetch(settings: Settings, version: str, into: Path) -> Path:
    import mlflow.artifacts

    tracking.client(settings)  # sets the process's default URI
    address = f"models:/{settings.registry.model_name}/{version}/artifacts/{FOLDER}"
    try:
        with tracking.errors(tracking.uri(settings)):
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(into)))
    except RegistryError as error:
        raise BundleError(message("bundle.fitted_rows_gone", version=version, error=error.explanation)) from error


def _read(folder: Path) -> FittedRows:
    ids = folder / IDS
    found = [np.load(file, allow_pickle=False) for file in (folder / ROWS, ids) if file.exists()]
    return FittedRows(*found)
