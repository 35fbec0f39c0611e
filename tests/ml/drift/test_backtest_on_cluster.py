"""Quick models on a real Dask cluster: the losses of this machine, which fits them itself where the cluster is away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ml.data import generate
from ml.drift import backtest
from ml.engine import cluster as clusters
from ml.settings import Settings, from_values
from tests.ml.data.production_rows import labelled
from tests.ml.engine import asks
from tests.ml.engine.clusters import cluster

Losses = Mapping[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With a snapshot of numbers and categories, some cells of it empty."""
    values = {"home": str(tmp_path_factory.mktemp("home")), "data": {"source": "customers"}}
    made = from_values({**values, "customers": {"n_samples": 600}, "retrain": {"backtest_rows": 400}})
    generate(made)
    return made


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "PAYS_CELLS", 1)


def played(settings: Settings, **tune: str) -> Losses:
    on = from_values({**_values(settings), "tune": tune})
    source = backtest.base(on)
    assert source is not None
    rows = labelled(500)
    weighed = rows.iloc[100:400].assign(__refit_label_propensity=np.linspace(0.2, 1.0, 300))
    windows = {"all": rows.iloc[:400], "sliding": weighed, "since drift": rows.iloc[390:400]}
    return backtest.losses(on, source, windows, rows.iloc[400:])


def _values(settings: Settings) -> dict[str, object]:
    from ml.settings import to_values

    return to_values(settings)


@pytest.fixture(scope="module")
def here(settings: Settings) -> Losses:
    found = played(settings)
    assert list(found) == [
        "all (hist_gradient_boosting)", "all (logistic)", "sliding (hist_gradient_boosting)", "sliding (logistic)",
    ]  # fmt: skip
    return found


def same(found: Losses, here: Losses) -> None:
    assert list(found) == list(here)
    for name, loss in here.items():
        assert found[name].tolist() == loss.tolist(), name


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_fits_what_is_fitted_here(
    tmp_path: Path, settings: Settings, here: Losses, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    with cluster(tmp_path, workers) as made:
        same(played(settings, engine="dask", engine_address=made.address), here)
    assert not caplog.records


def test_a_cluster_that_is_away_costs_no_check(
    settings: Settings, here: Losses, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log is told."""
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    with caplog.at_level(logging.WARNING, "ml.drift.backtest"):
        same(played(settings, engine="dask", engine_address="tcp://127.0.0.1:9"), here)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "on this machine instead: the Dask scheduler at tcp://127.0.0.1:9 cannot be reached" in told


def test_neither_does_one_whose_workers_die_of_it(
    tmp_path: Path, settings: Settings, here: Losses, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    monkeypatch.setattr(backtest, "answer", asks.deadly)
    with cluster(tmp_path, 4) as made, caplog.at_level(logging.WARNING, "ml.drift.backtest"):
        same(played(settings, engine="dask", engine_address=made.address), here)
    assert "for want of memory perhaps" in caplog.text


def test_what_costs_little_is_not_sent(
    settings: Settings, here: Losses, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cluster is not even asked for."""
    monkeypatch.setattr(backtest, "PAYS_CELLS", 10**9)
    same(played(settings, engine="dask", engine_address="tcp://127.0.0.1:9"), here)
    assert not caplog.records


def test_a_frame_arrives_as_it_was(tmp_path: Path) -> None:
    """Numbers and texts, without weights too."""
    x = pd.DataFrame({"a": np.array([1.5, np.nan], np.float32), "b": pd.Series(["x", None], dtype="str")})
    rows = backtest.Rows(x, np.array([0, 1]), None)
    rows.save(tmp_path / "rows")
    again = backtest.Rows.load(tmp_path / "rows")
    pd.testing.assert_frame_equal(again.x, x)
    assert (again.y.tolist(), again.weight) == ([0, 1], None)
