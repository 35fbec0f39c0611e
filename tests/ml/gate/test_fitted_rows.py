"""The rows that a version was fitted on: beside its bundle, checked against it, loaded from the registry's store."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ml import registry, tracking
from ml.bundle import reader
from ml.bundle.mlflow_flavor import log_bundle
from ml.bundle.reader import Bundle
from ml.errors import BundleError
from ml.gate import fitted_rows
from ml.gate.fitted_rows import FittedRows
from ml.registry import VersionInfo
from ml.settings import Settings
from ml.storage.files import to_json
from tests.ml.registry.versions import make_settings
from tests.ml.tiny import tiny_bundle

ROWS, IDS = np.array([7, 3, 3, 5], np.uint64), np.array([0, 9], np.uint64)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "home")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """One that names its rows, which lie beside it."""
    folder = tmp_path / "run" / "bundle"
    tiny_bundle(folder)
    digests = fitted_rows.write(folder.with_name(fitted_rows.FOLDER), ROWS, IDS)
    (folder / "metrics.json").write_bytes(to_json({"fitted_rows": digests}))
    return Bundle.open(folder, sha256=reader.seal(folder))


@pytest.fixture
def info(own: Settings, bundle: Bundle) -> VersionInfo:
    """Its version, in a registry of its own."""
    run_id = tracking.run(own, "one")
    uri = log_bundle(own, bundle.path, run_id, beside=beside(bundle))
    return registry.register(own, model_uri=uri, run_id=run_id, run_key="one", sha256=bundle.sha256)


def beside(bundle: Bundle) -> Path:
    return bundle.path.with_name(fitted_rows.FOLDER)


def same(found: FittedRows) -> bool:
    return (found.rows.tolist(), found.ids.tolist()) == ([3, 5, 7], [0, 9])


def test_they_are_read_from_the_run_that_made_them(own: Settings, bundle: Bundle) -> None:
    assert fitted_rows.are(beside(bundle), bundle)
    assert same(fitted_rows.of(own, bundle, "", beside=beside(bundle)))


def test_the_store_has_them_and_a_service_does_not_load_them(own: Settings, bundle: Bundle, info: VersionInfo) -> None:
    """On another machine, and once: the second time they are on this one."""
    loaded = Bundle.open(registry.download(own, info))
    assert not list(loaded.path.glob("trained*"))
    assert same(fitted_rows.of(own, loaded, info.version))
    shutil.rmtree(next((own.var / "mlflow").rglob(fitted_rows.FOLDER)))
    assert same(fitted_rows.of(own, loaded, info.version))


@pytest.mark.parametrize("where", ["cache", "store"])
def test_what_was_altered_is_not_believed(own: Settings, bundle: Bundle, info: VersionInfo, where: str) -> None:
    """A cache that was is loaded anew; a store that was is an error that names the version."""
    assert same(fitted_rows.of(own, bundle, info.version))
    cached = next((own.var / "cache" / fitted_rows.FOLDER).glob("*"))
    np.save(cached / fitted_rows.ROWS, np.array([], np.uint64))
    if where == "store":
        np.save(next((own.var / "mlflow").rglob(fitted_rows.IDS)), np.array([], np.uint64))
        with pytest.raises(BundleError, match=f"version {info.version}: the hashes .* were altered"):
            fitted_rows.of(own, bundle, info.version)
    else:
        assert same(fitted_rows.of(own, bundle, info.version))


def test_what_is_gone_is_told(own: Settings, bundle: Bundle, info: VersionInfo) -> None:
    """It is not taken for a version that was fitted on nothing."""
    shutil.rmtree(next((own.var / "mlflow").rglob(fitted_rows.FOLDER)))
    with pytest.raises(BundleError, match=f"version {info.version}: the hashes .* are not there any more"):
        fitted_rows.of(own, bundle, info.version)
    shutil.rmtree(beside(bundle))
    with pytest.raises(BundleError, match="evaluate again"):
        fitted_rows.of(own, bundle, "", beside=beside(bundle))
    assert not fitted_rows.are(beside(bundle), bundle)


def test_a_bundle_of_an_earlier_version_has_them_in_itself(own: Settings, tmp_path: Path) -> None:
    """One of still earlier ones has none."""
    tiny_bundle(tmp_path / "none")
    none = Bundle.open(tmp_path / "none")
    assert [len(part) for part in fitted_rows.of(own, none, "1")] == [0, 0]
    assert not fitted_rows.are(tmp_path / "none", none)
    tiny_bundle(tmp_path / "old")
    np.save(tmp_path / "old" / fitted_rows.ROWS, np.unique(ROWS))
    np.save(tmp_path / "old" / fitted_rows.IDS, np.unique(IDS))
    reader.seal(tmp_path / "old")
    assert same(fitted_rows.of(own, Bundle.open(tmp_path / "old"), "1"))
