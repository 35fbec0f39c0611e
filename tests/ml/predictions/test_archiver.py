"""Days go to Parquet files whole or stay where they were, whatever ends the move."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions import archiver, tables
from ml.settings import Settings
from tests.ml.predictions.archived_days import DAY, filled, in_database, parquet, windows
from tests.ml.predictions.logged import history


@pytest.mark.parametrize("where", ["_write", "_digest_of", "_leave"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_leaves_the_rows_where_they_were(
    found: Settings, monkeypatch: pytest.MonkeyPatch, where: str, after: bool
) -> None:
    engine = filled(found)
    before, real = windows(engine), getattr(archiver, where)

    def killed(*given: Any) -> None:
        if after:
            real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(archiver, where, killed)
    with pytest.raises(KeyboardInterrupt):
        archiver.archive(found, 2.0 * DAY)
    monkeypatch.undo()
    assert len(in_database(engine)) == 16
    for old, new in zip(before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old)
    assert archiver.archive(found, 2.0 * DAY) == 8
    assert len(parquet(found)) == 2, "what the killed run left is deleted"
    for old, new in zip(before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old)


def test_a_file_that_is_not_what_was_written_is_not_believed(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of it, as a failing disk or bucket may give back."""
    engine, real = filled(found), archiver._write

    def damaged(*given: Any) -> Any:
        written = real(*given)
        table = pq.read_table(given[-1])
        flipped = pa.array(["0", *table["label"].to_pylist()[1:]])
        pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", flipped), given[-1])
        return written

    monkeypatch.setattr(archiver, "_write", damaged)
    with pytest.raises(StoreUnavailable, match="other rows than written"):
        archiver.archive(found, 2.0 * DAY)
    assert len(in_database(engine)) == 16
    assert parquet(found) == []


def test_past_their_retention_files_go_with_labels_and_keys(found: Settings) -> None:
    engine = filled(found)
    archiver.archive(found, 2.0 * DAY)
    assert predictions.purge(found, DAY) == 0
    assert archiver.purge(found, DAY) == 4
    assert len(parquet(found)) == 1
    assert predictions.window(engine)["prediction_id"].tolist() == [f"{day}{i}" for day in (1, 2, 3) for i in range(4)]
    assert history(engine, "00") == []
    with engine.connect() as connection:
        keys = list(connection.execute(sa.select(tables.prediction_keys.c.time)).scalars())
    assert min(keys) == DAY


def test_files_are_readable_by_their_owner_alone(found: Settings) -> None:
    filled(found)
    archiver.archive(found, 2.0 * DAY)
    assert {file.stat().st_mode & 0o777 for file in parquet(found)} == {0o600}
