"""Days in Parquet files are read as those in the database, whatever ends the move or comes after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions import archive, tables
from ml.settings import Settings
from ml.storage import database
from tests.ml.predictions.logged import history, label, record

DAY = 86_400.0
ASKED: list[dict[str, Any]] = [
    {},
    {"rows": 3},
    {"rows": 7},
    {"rows": 0},
    {"since": 1.2 * DAY},
    {"until": 1.2 * DAY},
    {"since": 0.5 * DAY, "until": 2.5 * DAY, "rows": 4},
    {"version": "2"},
    {"version": "2", "sha256": "s2", "rows": 2},
    {"sha256": "s1"},
    {"labelled_only": True},
    {"labelled_only": True, "rows": 2},
    {"labels_after": 3.0 * DAY},
    {"labels_before": 3.0 * DAY},
]


def filled(found: Settings) -> sa.Engine:
    """Four days of four rows, of two versions, every other one labelled, one label put right and one repeated."""
    engine = database.engine(found)
    rows = [
        record(
            f"{day}{i}", time=(day + i / 5) * DAY, model_version=str(1 + i % 2), model_sha256=f"s{1 + i % 2}",
            inputs={"x": i / 10, "c": None if i == 3 else "a"},
        )
        for day in range(4)
        for i in range(4)
    ]  # fmt: skip
    for row in rows[::3]:
        row |= {"action": "approve", "propensity": 0.9, "label_propensity": None}
    predictions.insert(engine, rows)
    told = {"prediction_id": "00", "action": "call", "propensity": 0.5, "label_propensity": 0.5, "told_at": 9.0}
    predictions.insert_actions(engine, [told])
    labels = [label(row["prediction_id"], "1", row["time"] + 0.5 * DAY) for row in rows[::2]]
    predictions.insert_feedback(engine, [*labels, label("00", "0", 3.5 * DAY), label("02", "1", 3.5 * DAY)])
    return engine


def windows(engine: sa.Engine) -> list[pd.DataFrame]:
    return [predictions.window(engine, **asked) for asked in ASKED]


def in_database(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.execute(sa.select(predictions.predictions.c.prediction_id)).scalars())


def parquet(found: Settings) -> list[Path]:
    return sorted((found.var / "archive").glob("*.parquet"))


def test_windows_read_archived_days_the_same(found: Settings) -> None:
    """Rows, order, types, labels, and what is made of them."""
    engine = filled(found)
    before, counted = windows(engine), [predictions.counts(engine), predictions.counts(engine, version="2", rows=5)]
    trained = predictions.labelled(found)
    assert archive.archive(found, 2.9 * DAY) == 8
    assert len(parquet(found)) == 2
    assert in_database(engine) == sorted(f"{day}{i}" for day in (2, 3) for i in range(4))
    for asked, old, new in zip(ASKED, before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old, obj=str(asked))
    assert [predictions.counts(engine), predictions.counts(engine, version="2", rows=5)] == counted
    pd.testing.assert_frame_equal(predictions.labelled(found), trained)
    assert archive.archive(found, 2.9 * DAY) == 0


def test_a_label_that_comes_after_its_row_is_archived_is_joined(found: Settings) -> None:
    """As are one that is put right, and one that repeats."""
    engine = filled(found)
    archive.archive(found, 2.0 * DAY)
    predictions.insert_feedback(engine, [label("01", "0", 9.0 * DAY), label("10", "0", 9.0 * DAY)])
    predictions.insert_feedback(engine, [label("10", "0", 9.1 * DAY)])
    seen = predictions.window(engine).set_index("prediction_id")["actual"]
    assert (seen["01"], seen["10"], seen["00"]) == ("0", "0", "0")
    assert history(engine, "10") == [("1", 1.5 * DAY), ("0", 9.0 * DAY)]


def test_an_archived_id_that_comes_again_is_known(found: Settings) -> None:
    engine = filled(found)
    archive.archive(found, 2.0 * DAY)
    predictions.insert(
        engine, [record("00", time=3.9 * DAY), record("11", time=1.2 * DAY), record("new", time=3.95 * DAY)]
    )
    assert len(predictions.window(engine)) == 17
    assert predictions.window(engine, rows=1)["prediction_id"].tolist() == ["new"]


def test_a_row_of_an_archived_day_that_comes_late_is_read_and_archived_too(found: Settings) -> None:
    engine = filled(found)
    archive.archive(found, 2.0 * DAY)
    predictions.insert(engine, [record("late", time=1.1 * DAY)])
    first = predictions.window(engine, until=2.0 * DAY)
    assert first["prediction_id"].tolist() == ["00", "01", "02", "03", "10", "late", "11", "12", "13"]
    assert archive.archive(found, 2.0 * DAY) == 1
    assert len(parquet(found)) == 3
    pd.testing.assert_frame_equal(predictions.window(engine, until=2.0 * DAY), first)


@pytest.mark.parametrize("where", ["_write", "_digest_of", "_leave"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_leaves_the_rows_where_they_were(
    found: Settings, monkeypatch: pytest.MonkeyPatch, where: str, after: bool
) -> None:
    engine = filled(found)
    before, real = windows(engine), getattr(archive, where)

    def killed(*given: Any) -> None:
        if after:
            real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, where, killed)
    with pytest.raises(KeyboardInterrupt):
        archive.archive(found, 2.0 * DAY)
    monkeypatch.undo()
    assert len(in_database(engine)) == 16
    for old, new in zip(before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old)
    assert archive.archive(found, 2.0 * DAY) == 8
    assert len(parquet(found)) == 2, "what the killed run left is deleted"
    for old, new in zip(before, windows(engine), strict=True):
        pd.testing.assert_frame_equal(new, old)


def test_a_day_that_moves_between_the_two_looks_of_a_window_is_there_once(
    found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = filled(found)
    before, real = predictions.window(engine), archive.files

    def meanwhile(*given: Any, **more: Any) -> Any:
        monkeypatch.undo()
        archive.archive(found, 2.0 * DAY)
        return real(*given, **more)

    monkeypatch.setattr(archive, "files", meanwhile)
    pd.testing.assert_frame_equal(predictions.window(engine), before)


def test_a_file_that_is_not_what_was_written_is_not_believed(found: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of it, as a failing disk or bucket may give back."""
    engine, real = filled(found), archive._write

    def damaged(*given: Any) -> Any:
        written = real(*given)
        table = pq.read_table(given[-1])
        flipped = pa.array(["0", *table["label"].to_pylist()[1:]])
        pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", flipped), given[-1])
        return written

    monkeypatch.setattr(archive, "_write", damaged)
    with pytest.raises(StoreUnavailable, match="other rows than written"):
        archive.archive(found, 2.0 * DAY)
    assert len(in_database(engine)) == 16
    assert parquet(found) == []


def test_past_their_retention_files_go_with_labels_and_keys(found: Settings) -> None:
    engine = filled(found)
    archive.archive(found, 2.0 * DAY)
    assert predictions.purge(found, DAY) == 0
    assert archive.purge(found, DAY) == 4
    assert len(parquet(found)) == 1
    assert predictions.window(engine)["prediction_id"].tolist() == [f"{day}{i}" for day in (1, 2, 3) for i in range(4)]
    assert history(engine, "00") == []
    with engine.connect() as connection:
        keys = list(connection.execute(sa.select(tables.prediction_keys.c.time)).scalars())
    assert min(keys) == DAY


def test_an_archive_that_is_away_is_an_error_that_passes(found: Settings) -> None:
    """No window is given without the rows that it should have."""
    engine = filled(found)
    archive.archive(found, 2.0 * DAY)
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
    assert archive.archive(found, 2.0 * DAY) == 8
    assert len(list(where.glob("*.parquet"))) == 2
    pd.testing.assert_frame_equal(predictions.window(engine), before)


def test_files_are_readable_by_their_owner_alone(found: Settings) -> None:
    filled(found)
    archive.archive(found, 2.0 * DAY)
    assert {file.stat().st_mode & 0o777 for file in parquet(found)} == {0o600}
