"""What quick models are given of the champion's own table, however large that is."""

from pathlib import Path

import msgspec
import pandas as pd

from ml.data import generate
from ml.drift import backtest
from ml.settings import from_values
from tests.ml.data.production_rows import labelled


def test_no_more_of_the_table_is_read_than_a_retraining_reads(tmp_path: Path) -> None:
    settings = from_values({"home": str(tmp_path), "data": {"source": "customers"}, "customers": {"n_samples": 400}})
    made = generate(settings, labelled=labelled(400))
    added, train = made.manifest.labelled.train, made.part("train")
    own = len(train.y) - added
    assert added > 50
    whole = backtest.base(settings)
    assert whole is not None
    assert whole.rows is not None
    pd.testing.assert_frame_equal(whole.rows[0], train.X.iloc[:own])
    for most, rows in ((added + 30, 30), (added - 10, 0)):
        fewer = msgspec.structs.replace(settings, train=msgspec.structs.replace(settings.train, max_rows=most))
        found = backtest.base(fewer)
        assert found is not None
        assert (0 if found.rows is None else len(found.rows[0])) == rows
