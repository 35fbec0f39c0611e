"""What only PostgreSQL has: days, keys, and several writers at once."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import msgspec
import pandas as pd
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.predictions import archiver, postgresql, tables
from ml.settings import Settings
from ml.storage import database
from tests.ml.predictions.logged import history, label, record

DAY = 86_400.0


def days(engine: sa.Engine, table: str = "predictions") -> list[int]:
    with engine.connect() as connection:
        return postgresql.days(connection, table)


def keys(engine: sa.Engine) -> dict[str, float]:
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(sa.select(tables.prediction_keys))}


def test_each_day_has_its_partition(on_postgresql: Settings) -> None:
    engine = database.engine(on_postgresql)
    predictions.insert(engine, [record("a", time=0.0), record("b", time=DAY - 0.001), record("c", time=5 * DAY)])
    assert days(engine) == days(engine, "feedback") == [0, 5]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM predictions_0").scalar() == 2


def test_an_id_that_comes_again_on_another_day_is_known(on_postgresql: Settings) -> None:
    engine = database.engine(on_postgresql)
    predictions.insert(engine, [record("a", time=1.0), record("a", time=2.0)])
    predictions.insert(engine, [record("a", time=9 * DAY)])
    assert predictions.window(engine)["time"].tolist() == [1.0]


def test_a_label_waits_for_its_prediction_and_then_stands_beside_it(on_postgresql: Settings) -> None:
    engine = database.engine(on_postgresql)
    predictions.insert_feedback(engine, [label("a", "1", 5.0), label("never", "1", 5.0)])
    assert keys(engine) == {"a": tables.WAITING, "never": tables.WAITING}
    predictions.insert(engine, [record("a", time=3 * DAY)])
    assert keys(engine) == {"a": 3 * DAY, "never": tables.WAITING}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT prediction_id FROM feedback_3").scalars().all() == ["a"]
        assert connection.exec_driver_sql("SELECT prediction_id FROM feedback_waiting").scalars().all() == ["never"]


@pytest.mark.parametrize("seed", range(3))
def test_labels_and_predictions_that_come_at_once_meet(on_postgresql: Settings, seed: int) -> None:
    """Six writers with the same few ids in small batches, in orders of their own: no label is left waiting."""
    engine, failed = database.engine(on_postgresql), list[Exception]()
    ids = [f"{i}" for i in range(120)]

    def write(number: int) -> None:
        chance = random.Random(seed * 10 + number)
        mine = chance.sample(ids, len(ids))
        for i in range(0, len(mine), 8):
            some = mine[i : i + 8]
            while True:
                try:
                    if number % 2:
                        predictions.insert(engine, [record(key, time=int(key) * 3_600.0) for key in some])
                    else:
                        predictions.insert_feedback(
                            engine, [label(key, "1", 9.0, id=f"{key}-{number}") for key in some]
                        )
                except StoreUnavailable as error:
                    failed.append(error)
                    continue
                break

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [], "they wait for each other, and never in a circle"
    assert keys(engine) == {key: int(key) * 3_600.0 for key in ids}
    frame = predictions.window(engine)
    assert sorted(frame["prediction_id"]) == sorted(ids)
    assert frame["actual"].tolist() == ["1"] * len(ids)
    assert {key: len(history(engine, key)) for key in ids} == dict.fromkeys(ids, 1)


def test_a_day_that_was_dropped_since_it_was_seen_is_made_again(on_postgresql: Settings) -> None:
    """By another machine's archive, for a row that was long on its way."""
    engine = database.engine(on_postgresql)
    predictions.insert(engine, [record("a", time=1.0)])
    with engine.begin() as connection:
        postgresql.drop(connection, ["predictions_0"])
    predictions.insert(engine, [record("b", time=2.0)])
    assert predictions.window(engine)["prediction_id"].tolist() == ["b"]


def test_a_purge_drops_days_whole(on_postgresql: Settings) -> None:
    """With the day's labels and keys; an id of it may come again then. A day that has not ended stays."""
    engine = database.engine(on_postgresql)
    predictions.insert(engine, [record(f"{day}", time=(day + 0.5) * DAY) for day in range(4)])
    predictions.insert_feedback(engine, [label(f"{day}", "1", 9 * DAY) for day in range(4)])
    assert predictions.purge(on_postgresql, 2.9 * DAY) == 2
    assert days(engine) == days(engine, "feedback") == [2, 3]
    assert keys(engine) == {"2": 2.5 * DAY, "3": 3.5 * DAY}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT to_regclass('predictions_1')").scalar() is None


def test_a_reader_holds_a_drop_up_and_is_not_cut_off(on_postgresql: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drop gives up after a while, is tried again, and what is past its days is there until then."""
    engine = database.engine(on_postgresql)
    predictions.insert(engine, [record("a", time=1.0)])
    monkeypatch.setattr(postgresql, "WAIT_S", 1)
    with engine.connect() as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 1
        with pytest.raises(StoreUnavailable):
            predictions.purge(on_postgresql, 2 * DAY)
        assert reader.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 1
    predictions.purge(on_postgresql, 2 * DAY)
    assert days(engine) == []


def test_a_row_that_comes_while_its_day_is_archived_waits_and_is_not_lost(
    on_postgresql: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, real = database.engine(on_postgresql), archiver._digest_of
    predictions.insert(engine, [record("a", time=1.0)])

    def write() -> None:
        """As the log shipper does: PostgreSQL may end either of the two that wait for each other."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                predictions.insert(engine, [record("late", time=2.0)])
                return

    late = threading.Thread(target=write)

    def meanwhile(*given: object) -> object:
        late.start()
        late.join(0.5)
        assert late.is_alive(), "it waits"
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(archiver, "_digest_of", meanwhile)
    with contextlib.suppress(StoreUnavailable):
        archiver.archive(on_postgresql, DAY)
    monkeypatch.undo()
    late.join()
    assert predictions.window(engine)["prediction_id"].tolist() == ["a", "late"]
    archiver.archive(on_postgresql, DAY)
    assert days(engine) == []
    assert predictions.window(engine)["prediction_id"].tolist() == ["a", "late"]


def test_what_the_server_never_takes_is_an_error_of_its_own(on_postgresql: Settings) -> None:
    """A zero byte in a text, which PostgreSQL has no place for: not one that passes, so that it is put aside."""
    engine = database.engine(on_postgresql)
    with pytest.raises(Exception, match="0x00") as refused:
        predictions.insert(engine, [record("a\0b")])
    assert not isinstance(refused.value, StoreUnavailable)
    predictions.insert(engine, [record("a")])
    assert len(predictions.window(engine)) == 1


def test_the_other_driver_copies_too(on_postgresql: Settings, tmp_path: Path) -> None:
    """psycopg, version 3, by the address's first part."""
    url = on_postgresql.database_url.replace("+psycopg2", "+psycopg")
    other = msgspec.structs.replace(on_postgresql, database_url=url)
    engine = database.engine(other)
    predictions.insert(engine, [record("a")])
    predictions.insert_feedback(engine, [label("a", "0", 200.0)])
    theirs, ours = predictions.window(engine), predictions.window(database.engine(on_postgresql))
    pd.testing.assert_frame_equal(theirs, ours)
    assert ours["actual"].tolist() == ["0"]
    engine.dispose()
