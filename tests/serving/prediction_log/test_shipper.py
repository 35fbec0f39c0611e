"""Segments to database: nothing lost, nothing doubled, whatever ends in between."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from ml import predictions
from ml.errors import StoreUnavailable
from ml.exploration.policy import Action, Policy
from ml.predictions import windows
from ml.schema.rows import RowReader
from ml.schema.schema import identity
from ml.settings import Settings
from ml.settings.sections import Explore
from ml.storage import database
from serving.model.store import Served, open_served
from serving.prediction_log import records, segments
from serving.prediction_log import shipper as shippers
from serving.prediction_log.records import moved_bytes
from serving.prediction_log.shipper import LogShipper
from serving.prediction_log.writer import PredictionLog
from serving.scoring import score
from serving.status import collector, reader
from tests.serving import tiny


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path)


@pytest.fixture
def served(settings: Settings) -> Served:
    return open_served(settings.var / "serving", tiny.publish(settings, "1"))


@pytest.fixture
def log(settings: Settings) -> PredictionLog:
    return PredictionLog(settings)


def answer(log: PredictionLog, served: Served, *ids: str) -> None:
    rows = score.reader(served).records([tiny.row() for _ in ids])
    log.append(served, score.score(served, rows, list(ids)))


def in_database(settings: Settings) -> list[str]:
    with database.engine(settings).connect() as connection:
        return sorted(connection.execute(sa.select(predictions.predictions.c.prediction_id)).scalars())


def test_rows_of_an_open_segment_are_moved_and_the_segment_stays(
    settings: Settings, log: PredictionLog, served: Served
) -> None:
    answer(log, served, "a")
    shipper = LogShipper(settings)
    shipper.step()
    answer(log, served, "b", "c")
    shipper.step()
    assert in_database(settings) == ["a", "b", "c"]
    (segment,) = segments.segments(log.folder)
    assert moved_bytes(segment) == segment.stat().st_size


def test_segment_is_deleted_once_its_writer_has_gone(settings: Settings, log: PredictionLog, served: Served) -> None:
    answer(log, served, "a")
    log.close()
    LogShipper(settings).step()
    assert in_database(settings) == ["a"]
    assert list(log.folder.iterdir()) == []


def test_values_arrive_as_they_were_answered(settings: Settings, log: PredictionLog, served: Served) -> None:
    rows = score.reader(served).records([tiny.row(f0=0.1, f1=99.0) | {"f2": None}])
    scored = score.score(served, rows, ["a"])
    log.append(served, scored)
    LogShipper(settings).step()
    with database.engine(settings).connect() as connection:
        row = connection.execute(sa.select(predictions.predictions)).mappings().one()
    assert row["inputs"] == '{"f0":0.1,"f1":99.0,"f2":null,"f3":0.3}'
    assert (row["label"], row["model_version"]) == (scored.labels[0], "1")
    assert row["probability"] == float(scored.chosen[0])
    assert "outside of" in row["flags"]


def test_rows_carry_what_they_mean(settings: Settings, log: PredictionLog, served: Served) -> None:
    """By the content hash of the bundle that answered: its schema, and who each row is about."""
    schema = msgspec.structs.replace(served.bundle.schema, id_columns=("customer",), ignored=("customer",))
    rows = RowReader(schema).identified(score.reader(served).records([tiny.row()] * 2), {"customer": [" 7", "８"]})
    log.append(served, score.score(served, rows, ["a", "b"]))
    LogShipper(settings).step()
    frame = predictions.window(database.engine(settings))
    assert frame["model_sha256"].tolist() == [served.sha256] * 2
    assert frame["row_id"].tolist() == [identity(["7"]), identity(["8"])]
    meaning = windows.meanings(database.engine(settings), [served.sha256])[served.sha256]
    assert meaning == served.bundle.schema


def test_a_private_id_is_not_logged(settings: Settings, served: Served) -> None:
    settings = msgspec.structs.replace(settings, log=msgspec.structs.replace(settings.log, drop_columns=("customer",)))
    served.bundle.schema = msgspec.structs.replace(served.bundle.schema, id_columns=("customer",))
    rows = RowReader(served.bundle.schema).identified(score.reader(served).records([tiny.row()]), {"customer": [7]})
    assert rows.who == (identity(["7"]),)
    log = PredictionLog(settings)
    log.append(served, score.score(served, rows, ["a"]))
    LogShipper(settings).step()
    assert predictions.window(database.engine(settings))["row_id"].tolist() == [""]


def test_crash_between_commit_and_note_doubles_nothing(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(log, served, "a", "b")
    log.append_feedback([("a", "1")])
    log.close()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shippers, "_write_offset", killed)
    with pytest.raises(KeyboardInterrupt):
        LogShipper(settings).step()
    monkeypatch.undo()
    LogShipper(settings).step()
    assert in_database(settings) == ["a", "b"]
    with database.engine(settings).connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(predictions.feedback)).scalar() == 1


def test_repeated_prediction_id_is_logged_once(settings: Settings, log: PredictionLog, served: Served) -> None:
    for _ in range(3):
        answer(log, served, "same")
    LogShipper(settings).step()
    assert in_database(settings) == ["same"]


def test_database_that_is_away_keeps_the_segments(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(log, served, "a")
    log.close()

    def away(*_: object) -> None:
        raise StoreUnavailable("the database does not answer")

    shipper = LogShipper(settings)
    monkeypatch.setattr(predictions, "insert", away)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            shipper.step()
    assert len(segments.segments(log.folder)) == 1
    monkeypatch.undo()
    shipper.step()
    assert in_database(settings) == ["a"]
    assert segments.segments(log.folder) == []


def test_torn_tail_of_a_dead_worker_is_dropped_with_its_segment(
    settings: Settings, log: PredictionLog, served: Served
) -> None:
    answer(log, served, "a")
    log.close()
    (segment,) = segments.segments(log.folder)
    with segment.open("ab") as file:
        file.write(b"RFT1\xff\x00\x00\x00half")
    LogShipper(settings).step()
    assert in_database(settings) == ["a"]
    assert segments.segments(log.folder) == []


def test_damaged_segment_is_salvaged_and_kept(settings: Settings, log: PredictionLog, served: Served) -> None:
    answer(log, served, "a")
    size = segments.segments(log.folder)[0].stat().st_size
    answer(log, served, "b")
    answer(log, served, "c")
    log.close()
    (segment,) = segments.segments(log.folder)
    content = bytearray(segment.read_bytes())
    content[size + 20] ^= 0xFF
    segment.write_bytes(content)
    shipper = LogShipper(settings)
    shipper.step()
    assert in_database(settings) == ["a", "c"]
    assert shipper.damaged == 1
    assert (log.folder / "damaged" / segment.name).read_bytes() == bytes(content)


def test_a_segment_is_forgotten_only_after_its_rows_are_on_the_disk(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit syncs (tests/ml/storage/test_database.py); here: nothing is deleted or marked as moved before it."""
    steps: list[str] = []
    answer(log, served, "a", "b")
    log.append_feedback([("a", "1")])
    log.close()
    engine = database.engine(settings)
    unlink, replace = Path.unlink, Path.replace
    monkeypatch.setattr(
        Path, "unlink", lambda self, **more: (steps.append(f"unlink {self.suffix}"), unlink(self, **more))
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (steps.append("note"), replace(self, to)))
    sa.event.listen(engine, "commit", lambda _: steps.append("commit"))
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _k, text, *_: steps.append(text.split(" (")[0]))
    LogShipper(settings).step()
    told = [step for step in steps if step.startswith(("INSERT", "commit", "note", "unlink"))]
    last = told.index("INSERT INTO feedback")
    assert told.index("INSERT INTO predictions") < last
    assert [step for step in told[last:] if step != "commit"][1:] == ["note", "unlink .seg", "unlink .moved"]
    assert told[last + 1] == "commit"


def test_what_is_kept_aside_is_on_the_disk_before_its_segment_goes(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(log, served, "poison")
    log.close()
    steps: list[str] = []
    fsync, unlink = os.fsync, Path.unlink

    def synced(handle: int) -> None:
        steps.append("sync " + Path(os.readlink(f"/proc/self/fd/{handle}")).name[-6:])
        fsync(handle)

    def refuse(*_: object) -> None:
        raise ValueError("cannot be stored")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "unlink", lambda self, **more: (steps.append("unlink"), unlink(self, **more)))
    monkeypatch.setattr(predictions, "insert", refuse)
    LogShipper(settings).step()
    assert steps[:4] == ["sync gments", "sync .jsonl", "sync amaged", "unlink"]


def test_record_the_database_never_takes_does_not_hold_up_the_rest(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(log, served, "good", "poison")
    log.close()
    real = predictions.insert

    def picky(engine: sa.Engine, rows: list[dict[str, object]]) -> None:
        if any(row["prediction_id"] == "poison" for row in rows):
            raise ValueError("cannot be stored")
        real(engine, rows)

    monkeypatch.setattr(predictions, "insert", picky)
    LogShipper(settings).step()
    assert in_database(settings) == ["good"]
    (kept,) = (log.folder / "damaged").iterdir()
    assert '"poison"' in kept.read_text()


def test_many_rows_come_in_batches(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shippers, "BATCH_ROWS", 10)
    for i in range(25):
        answer(log, served, f"{i:02}")
    LogShipper(settings).step()
    assert len(in_database(settings)) == 25


def test_overview_tells_traffic_and_accuracy(settings: Settings, log: PredictionLog, served: Served) -> None:
    answer(log, served, *"abcd")
    label = "1"
    log.append_feedback([("a", label), ("b", "0"), ("b", label), ("c", "0")])  # the latest label of b counts
    LogShipper(settings).step()
    (window,), _ = collector.windows(settings)
    rows = score.reader(served).records([tiny.row()])
    right = 2 if score.score(served, rows).labels == [label] else 1
    assert (window.predictions, window.labelled, window.version) == (4, 3, "1")
    assert window.accuracy == right / 3
    reader.write(settings.var / "serving", collector.collect(settings))
    kept = reader.read(settings.var / "serving")
    assert kept.windows == (window,)
    assert kept.recent == dict.fromkeys(reader.RANGES, (window,))


def history(settings: Settings, prediction_id: str = "a") -> list[str]:
    """The labels of a prediction in the database, in the order of time."""
    f = predictions.feedback.c
    query = sa.select(f.label).where(f.prediction_id == prediction_id).order_by(f.received_at, f.id)
    with database.engine(settings).connect() as connection:
        return list(connection.execute(query).scalars())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("1", "1"), ("11", "1"), ("111", "1"), ("10", "10"), ("1101", "101"), ("1001", "101")],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["in one request", "one by one"])
def test_repeated_label_adds_nothing_and_a_changed_one_adds_a_row(
    settings: Settings, log: PredictionLog, sent: str, kept: str, at_once: bool
) -> None:
    shipper = LogShipper(settings)
    for request in [sent] if at_once else sent:
        log.append_feedback([("a", label) for label in request] + [("other", "0")])
        shipper.step()
    assert "".join(history(settings)) == kept
    assert history(settings, "other") == ["0"]


def test_labels_of_two_workers_are_compared_in_the_order_of_time(settings: Settings) -> None:
    """The first segment has the labels before and after the one in the second: none of them repeats."""
    first, second = PredictionLog(settings), PredictionLog(settings)
    for log, label in ((first, "1"), (second, "0"), (first, "1")):
        log.append_feedback([("a", label)])
    LogShipper(settings).step()
    assert history(settings) == ["1", "0", "1"]


def test_a_killed_shipper_leaves_no_repeats(settings: Settings, log: PredictionLog) -> None:
    """They are settled with what brings them, and what there was before is not looked at again."""
    log.append_feedback([("a", "1")])
    log.append_feedback([("a", "1")])
    killed = LogShipper(settings)
    for segment in segments.segments(killed.folder):
        killed._move(segment)
    assert history(settings) == ["1"]


def test_rows_are_moved_while_the_overview_is_held_up(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that does not answer delays what the pages show, and no drift check."""
    answered, stop = threading.Event(), threading.Event()
    monkeypatch.setattr(collector, "collect", lambda _settings: answered.wait(60))
    runs = threading.Thread(target=shippers.run, args=(settings, stop))
    runs.start()
    try:
        answer(log, served, "a")
        while not in_database(settings):
            time.sleep(0.01)
    finally:
        answered.set()
        stop.set()
        runs.join()
    assert in_database(settings) == ["a"]


def with_policy(settings: Settings) -> Policy:
    return Policy(Explore(policy={"0": "approve", "1": "decline"}, share=0.5, labelled=("approve",)))


def test_what_followed_arrives_beside_its_answer(settings: Settings, log: PredictionLog, served: Served) -> None:
    """The policy's by the answer's own record, the caller's by one of its own, which stands before it."""
    ids = [f"row {i}" for i in range(20)]
    rows = score.reader(served).records([tiny.row() for _ in ids])
    scored = score.acted(score.score(served, rows, list(ids)), with_policy(settings))
    log.append(served, scored)
    log.append_actions([("row 0", Action("call", 0.25, None))])
    LogShipper(settings).step()
    window = predictions.window(database.engine(settings)).set_index("prediction_id")
    for key, action in list(zip(ids, scored.actions, strict=True))[1:]:
        assert action is not None
        found = window.loc[key, ["action", "propensity", "label_propensity"]]
        assert tuple(found) == tuple(action)
    assert set(window["action"]) == {"approve", "decline", "call"}
    assert window.loc["row 0", "propensity"] == 0.25


def test_a_segment_of_the_version_before_is_read(
    settings: Settings, log: PredictionLog, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited while Refit was replaced arrives: its records are the same without what followed."""

    class Before(msgspec.Struct, tag="P", array_like=True):
        time: float
        version: str
        ids: list[str]
        numbers: bytes
        categories: list[list[str]]
        labels: list[str]
        chosen: bytes
        probabilities: bytes
        flags: list[list[str]]
        hashed: dict[str, list[str]]
        who: tuple[str, ...]

    class Writer:
        def encode(self, record: object) -> bytes:
            if isinstance(record, records.Predictions):
                record = Before(*msgspec.structs.astuple(record)[:-1])
            return msgspec.msgpack.encode(record)

    monkeypatch.setattr(records, "VERSION", 3)
    monkeypatch.setattr(records, "_encoder", Writer())
    answer(log, served, "a", "b")
    monkeypatch.undo()
    LogShipper(settings).step()
    assert in_database(settings) == ["a", "b"]
