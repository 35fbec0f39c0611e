"""Regression rows, and the view of a snapshot that learners have."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml.data import generate
from ml.gate import regression_rows
from ml.gate.regression_rows import RegressionRowsLost, SnapshotWithoutHoldout
from ml.pipeline.final_fit import AllRows
from ml.settings import from_values
from ml.storage import database


def test_learners_read_a_sample_of_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the final fit no larger a share of the rows that judged."""
    monkeypatch.setattr(regression_rows, "MOST_ROWS", 20)
    settings = from_values({"home": str(tmp_path), "train": {"max_rows": 150}})
    made = generate(settings)
    view = SnapshotWithoutHoldout(made, settings)
    assert [len(view.part(name).y) for name in ("train", "validation", "test")] == [150, 150, 200]
    pd.testing.assert_frame_equal(view.part("train").X, view.part("train").X)
    assert 0 < AllRows(made, settings).added <= 50
    whole = SnapshotWithoutHoldout(made, from_values({"home": str(tmp_path)}))
    assert [len(whole.part(name).y) for name in ("train", "validation")] == [600, 200]


def test_the_number_of_rows_hashed_at_once_changes_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_values({"home": str(tmp_path), "data": {"source": "customers"}, "customers": {"n_samples": 300}})
    made = generate(settings)
    part = made.part("train")
    whole = regression_rows.row_hashes(part.X, part.y, made.schema)
    monkeypatch.setattr(regression_rows, "HASHED_ROWS", 7)
    np.testing.assert_array_equal(regression_rows.row_hashes(part.X, part.y, made.schema), whole)
    frame = part.X.assign(__refit_label=np.asarray(made.schema.classes, dtype=object)[part.y].astype(str))
    np.testing.assert_array_equal(whole, pd.util.hash_pandas_object(frame, index=False))


def test_rows_of_a_version_that_did_not_note_them_are_noted(tmp_path: Path) -> None:
    """So that their loss is noticed from then on, and mended."""
    settings = from_values({"home": str(tmp_path)})
    made = generate(settings)
    assert regression_rows.keep(settings, made)
    with database.engine(settings).begin() as connection:
        connection.execute(sa.delete(regression_rows.kept))
    assert not regression_rows.keep(settings, made)
    rows = regression_rows.load(settings, made.schema)
    shutil.rmtree(settings.var / "golden")
    again = regression_rows.load(settings, made.schema)
    assert rows is not None
    assert again is not None
    pd.testing.assert_frame_equal(rows[0], again[0])
    shutil.rmtree(settings.var / "golden")
    shutil.rmtree(settings.data_dir)
    with pytest.raises(RegressionRowsLost, match="renew"):
        regression_rows.reserved(settings, made)


def test_none_were_kept_before_the_first_promotion(tmp_path: Path) -> None:
    settings = from_values({"home": str(tmp_path)})
    assert regression_rows.load(settings, generate(settings).schema) is None
