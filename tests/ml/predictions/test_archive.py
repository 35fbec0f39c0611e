"""Days in Parquet files are read as those in the database, whatever comes after they were moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions import archive, archiver
from ml.settings import Settings
from tests.ml.predictions.archived_days import ASKED, DAY, filled, in_database, parquet, windows
from tests.ml.predictions.logged import history, label, record


def test_windows_read_archived_days_the_same(found: Settings) -> None:
    """Rows, order, types, labels, and what is made of them."""
    engine = filled(found)
    before, counted = windows(engine), [predictions.counts(engine), predictions.counts(engine, version="2", rows=5)]
    trained = predictions.labelled(found)
    assert archiver.archive(found, 2.9 * DAY) == 8
    assert len(parquet(found)) == 2
    assert in_database(engine) == sorted(f"{day}{i}" for day in (2, 3) for i in range(4))
    for asked, old, new in zip(ASKED, before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old, obj=str(asked))
    assert [predictions.counts(engine), predictions.counts(engine, version="2", rows=5)] == counted
    pd.testing.assert_frame_equal(predictions.labelled(found), trained)
    assert archiver.archive(found, 2.9 * DAY) == 0


def test_a_label_that_comes_after_its_row_is_archived_is_joined(found: Settings) -> None:
    """As are one that is put right, and one that repeats."""
    engine = filled(found)
    archiver.archive(found, 2.0 * DAY)
    predictions.insert_feedback(engine, [label("01", "0", 9.0 * DAY), label("10", "0", 9.0 * DAY)])
    predictions.insert_feedback(engine, [label("10", "0", 9.1 * DAY)])
    seen = predictions.window(engine).set_index("prediction_id")["actual"]
    assert (seen["01"], seen["10"], seen["00"]) == ("0", "0", "0")
    assert history(engine, "10") == [("1", 1.5 * DAY), ("0", 9.0 * DAY)]


def test_an_archived_id_that_comes_again_is_known(found: Settings) -> None:
    engine = filled(found)
    archiver.archive(found, 2.0 * DAY)
    predictions.insert(
        engine, [record("00", time=3.9 * DAY), record("11", time=1.2 * DAY), record("new", time=3.95 * DAY)]
    )
    assert len(predictions.window(engine)) == 17
    assert predictions.window(engine, rows=1)["prediction_id"].tolist() == ["new"]


def test_a_row_of_an_archived_day_that_comes_late_is_read_and_archived_too(found: Settings) -> None:
    engine = filled(found)
    archiver.archive(found, 2.0 * DAY)
    predictions.insert(engine, [record("late", time=1.1 * DAY)])
    first = predictions.window(engine, until=2.0 * DAY)
    assert first["prediction_id"].tolist() == ["00", "01", "02", "03", "10", "late", "11", "12", "13"]
    assert archiver.archive(found, 2.0 * DAY) == 1
    assert len(parquet(found)) == 3
    pd.testing.assert_frame_equal(predictions.window(engine, until=2.0 * DAY), first)


def test_a_day_that_moves_between_the_two_looks_of_a_window_is_there_once(
    found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = filled(found)
    before, real = predictions.window(engine), archive.files

    def meanwhile(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        archiver.archive(found, 2.0 * DAY)
        return real(*given, **more)

    monkeypatch.setattr(archive, "files", meanwhile)
    pd.testing.assert_frame_equal(predictions.window(engine), before)


def test_an_archive_that_is_away_is_an_error_that_passes(found: Settings) -> None:
    """No window is given without the rows that it should have."""
    engine = filled(found)
    archiver.archive(found, 2.0 * DAY)
    aside = found.var / "aside"
    (found.var / "archive").rename(aside)
    with pytest.raises(StoreUnavailable, match=r"archive_url"):
        predictions.window(engine)
    assert len(predictions.window(engine, rows=4)) == 4, "what does not reach into it is not held up"
    aside.rename(found.var / "archive")
    assert len(predictions.window(engine)) == 16


def test_an_address_may_be_of_any_arrow_file_system(found: Settings, tmp_path: Path) -> None:
    """Here the local one by its address; s3:// and gs:// go the same way."""
    where = tmp_path / "bucket"
    log = msgspec.structs.replace(found.log, archive_url=where.as_uri())
    found = msgspec.structs.replace(found, log=log)
    engine = filled(found)
    before = predictions.window(engine)
    assert archiver.archive(found, 2.0 * DAY) == 8
    assert len(list(where.glob("*.parquet"))) == 2
    pd.testing.assert_frame_equal(predictions.window(engine), before)
