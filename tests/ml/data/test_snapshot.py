"""What is read of a snapshot without all of it: labels, ids, a sample."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.data import generate
from ml.data.blocks import parts
from ml.data.snapshot import Snapshot
from ml.data.sources import customers
from ml.settings import from_values
from tests.ml.data.production_rows import labelled


@pytest.fixture(params=[250_000, 70], ids=["file", "folder"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """Named customers with labelled production rows."""
    monkeypatch.setattr(parts, "PART_ROWS", request.param)
    data = {"source": "customers", "id_columns": [customers.ID]}
    settings = from_values({"home": str(tmp_path), "data": data, "customers": {"n_samples": 300}})
    return generate(settings, labelled=labelled(150))


def test_labels_and_ids_are_those_of_the_part(made: Snapshot) -> None:
    for name in ("train", "recent"):
        part = made.part(name)
        np.testing.assert_array_equal(made.labels(name), part.y)
        np.testing.assert_array_equal(made.ids(name), part.ids)


def test_a_sample_is_drawn_once_and_in_order(made: Snapshot) -> None:
    part, some = made.part("test"), made.sample("test", 20, seed=1)
    assert len(some.X) == len(some.y) == 20
    assert some.time is not None
    assert part.time is not None
    places = np.flatnonzero(np.isin(part.ids, some.ids))  # a customer may come twice
    assert set(some.ids) <= set(part.ids[places])  # type: ignore[arg-type,index]
    again, other = made.sample("test", 20, seed=1), made.sample("test", 20, seed=2)
    pd.testing.assert_frame_equal(some.X, again.X)
    assert not some.X.equals(other.X)
    pd.testing.assert_frame_equal(made.sample("test", 10_000).X, part.X)


def test_labelled_production_rows_are_in_every_sample(made: Snapshot) -> None:
    n = made.manifest.labelled.train
    whole, some = made.part("train"), made.sample("train", n + 10)
    pd.testing.assert_frame_equal(some.X[10:].reset_index(drop=True), whole.X[-n:].reset_index(drop=True))
    assert len(made.sample("train", n - 1).y) == n - 1


def test_nobody_is_named_where_there_are_no_ids(tmp_path: Path) -> None:
    assert len(generate(from_values({"home": str(tmp_path)})).ids("train")) == 0
