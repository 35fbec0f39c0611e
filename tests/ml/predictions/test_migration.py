"""A database of the first version, brought to this layout: every row, label and window as before."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import SettingsError
from ml.predictions import migration, postgresql, tables
from ml.settings import Settings
from ml.storage import database
from tests.ml.predictions.logged import history, label, record

FIRST = (
    """
CREATE TABLE predictions (prediction_id text PRIMARY KEY, time float8 NOT NULL, model_version text NOT NULL,
    inputs text NOT NULL, label text NOT NULL, probability float8 NOT NULL, probabilities text NOT NULL,
    flags text NOT NULL, model_sha256 text NOT NULL DEFAULT '', row_id text NOT NULL DEFAULT '')
""",
    "CREATE INDEX predictions_by_version_and_time ON predictions (model_version, time)",
    "CREATE INDEX predictions_by_time ON predictions (time)",
    """
CREATE TABLE feedback (id text PRIMARY KEY, prediction_id text NOT NULL, label text NOT NULL,
    received_at float8 NOT NULL)
""",
    "CREATE INDEX feedback_by_prediction ON feedback (prediction_id, received_at, id)",
    """
INSERT INTO predictions SELECT 'p' || i, i * 40000.0, '1', '{"x":' || i || '.5,"c":"ä"}', '1', 0.75,
    '{"0":0.25,"1":0.75}', '[]', 'abc', '' FROM generate_series(0, 9) i
""",
    "INSERT INTO feedback SELECT 'l' || i, 'p' || i, '1', 1e6 FROM generate_series(0, 4) i",
    "INSERT INTO feedback VALUES ('put right', 'p1', '0', 2e6), ('early', 'not yet', '1', 1e6)",
)


def of_the_first_version(settings: Settings) -> None:
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        for statement in FIRST:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_database_of_the_first_version_is_migrated(on_postgresql: Settings, caplog: pytest.LogCaptureFixture) -> None:
    of_the_first_version(on_postgresql)
    with caplog.at_level(logging.WARNING):
        engine = database.engine(on_postgresql)
    assert "layout 2" in caplog.text
    frame = predictions.window(engine)
    assert frame["prediction_id"].tolist() == [f"p{i}" for i in range(10)]
    inputs = predictions.inputs_frame(frame)
    assert inputs["x"].tolist() == [i + 0.5 for i in range(10)]
    assert set(inputs["c"]) == {"ä"}
    assert predictions.probabilities_array(frame, ("1",)).tolist() == [[0.75]] * 10
    assert frame["actual"].tolist()[:5] == ["1", "0", "1", "1", "1"]
    assert frame["actual"].isna().sum() == 5
    assert history(engine, "p1") == [("1", 1e6), ("0", 2e6)]
    with engine.connect() as connection:
        assert postgresql.days(connection) == [0, 1, 2, 3, 4]
        assert not sa.inspect(connection).has_table("first_predictions")
    predictions.insert(engine, [record("p3", time=9e5), record("not yet", time=9e5)])
    again = predictions.window(engine)
    assert again["prediction_id"].tolist() == [*(f"p{i}" for i in range(10)), "not yet"]
    assert again["actual"].iloc[-1] == "1", "a label that waited under the first layout waits under this"
    predictions.insert_feedback(engine, [label("p9", "0", 3e6)])
    pd.testing.assert_frame_equal(predictions.window(engine).iloc[:9], again.iloc[:9])


def test_a_migration_that_is_cut_short_leaves_the_first_layout(
    on_postgresql: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_first_version(on_postgresql)
    broken = (*migration._COPY[:-1], "SELECT 1 / 0", migration._COPY[-1])
    monkeypatch.setattr(migration, "_COPY", broken)
    with pytest.raises(sa.exc.DBAPIError):
        database.engine(on_postgresql)
    monkeypatch.undo()
    assert len(predictions.window(database.engine(on_postgresql))) == 10


def test_a_newer_layout_is_refused(on_postgresql: Settings) -> None:
    with database.engine(on_postgresql).begin() as connection:
        connection.exec_driver_sql(f"COMMENT ON TABLE predictions IS 'of layout {tables.LAYOUT + 1}'")
    database._prepare.cache_clear()
    with pytest.raises(SettingsError, match="newer version"):
        database.engine(on_postgresql)
    with database._engine(on_postgresql.database_url).begin() as connection:
        connection.exec_driver_sql(f"COMMENT ON TABLE predictions IS 'of layout {tables.LAYOUT}'")
