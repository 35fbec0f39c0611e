"""The log's segments: what is in them after an append, and what happens when they cannot be written."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ml.errors import SettingsError
from ml.settings import Settings
from serving.model.store import Served, open_served
from serving.prediction_log import segments
from serving.prediction_log.records import (
    HEAD,
    Feedback,
    Label,
    Model,
    Position,
    Predictions,
    Record,
    begin,
    encode,
    frame,
)
from serving.prediction_log.writer import LogUnavailable, PredictionLog
from serving.scoring import score
from tests.serving import tiny
from tests.serving.counting import whole
from tests.serving.running import wait_for


@pytest.fixture
def served(tmp_path: Path) -> Served:
    settings = tiny.settings_for(tmp_path / "model")
    return open_served(settings.var / "serving", tiny.publish(settings, "1"))


def started(tmp_path: Path, **log: object) -> PredictionLog:
    made = PredictionLog(tiny.settings_for(tmp_path, log={"sync_interval_s": 0.01, **log}))
    made.start()
    return made


def scored(served: Served, *ids: str) -> score.Scored:
    rows = score.reader(served).records([tiny.row() for _ in ids])
    return score.score(served, rows, list(ids))


def read(folder: Path) -> list[object]:
    return [r for s in segments.segments(folder) for r in whole(s)]


def logged_ids(folder: Path) -> list[str]:
    return [i for r in read(folder) if isinstance(r, Predictions) for i in r.ids]


def test_appended_rows_are_in_the_file_when_append_returns(tmp_path: Path, served: Served) -> None:
    log = started(tmp_path)
    log.append(served, scored(served, "a", "b"))
    model, record = read(log.folder)
    log.close()
    assert isinstance(model, Model)
    assert isinstance(record, Predictions)
    first = next(segments.rows(record, model))
    assert first["prediction_id"] == "a"
    assert first["inputs"] == tiny.row()
    assert first["model_version"] == "1"
    assert first["probabilities"][first["label"]] == first["probability"]


def test_labels_go_through_the_same_segments(tmp_path: Path) -> None:
    log = started(tmp_path)
    log.append_feedback([("a", "1"), ("b", "0")])
    log.close()
    (record,) = read(log.folder)
    assert isinstance(record, Feedback)
    assert [(x.prediction_id, x.label) for x in record.labels] == [("a", "1"), ("b", "0")]
    assert len({x.id for x in record.labels}) == 2


def test_segment_is_closed_when_it_is_full_and_the_next_describes_the_model_again(
    tmp_path: Path, served: Served
) -> None:
    log = started(tmp_path, segment_bytes=300)
    for i in range(10):
        log.append(served, scored(served, str(i)))
    log.close()
    assert len(segments.segments(log.folder)) > 2
    assert all(isinstance(whole(s)[0], Model) for s in segments.segments(log.folder))
    assert logged_ids(log.folder) == [str(i) for i in range(10)]


def test_segment_is_sealed_only_when_its_writer_is_gone(tmp_path: Path, served: Served) -> None:
    log = started(tmp_path)
    log.append(served, scored(served, "a"))
    (segment,) = segments.segments(log.folder)
    assert not segments.is_sealed(segment)
    log.close()
    assert segments.is_sealed(segment)


MARKER = b"a random marker."


def written(*records: Record, marker: bytes = MARKER) -> tuple[bytes, list[Position]]:
    """(a segment of these records, the place before each and behind the last)."""
    content, place = begin(marker)
    places = [place]
    for record in records:
        payload = encode(record)
        fields, place = frame(payload, place)
        content += fields + payload
        places.append(place)
    return content, places


def read_from(content: bytes, *, sealed: bool) -> list[tuple[int, Record | None]]:
    place = segments.start(content)
    assert place is not None
    return [(end.at, record) for end, record in segments.records(content[place.at :], place, sealed=sealed)]


def predictions(numbers: bytes) -> Predictions:
    return Predictions(0.0, "1", ["x"], numbers, [], ["1"], b"", b"", [])


@pytest.mark.parametrize("cut", [1, 9, 40], ids=["in the record", "more", "more still"])
@pytest.mark.parametrize("sealed", [True, False])
def test_torn_tail_is_left_and_what_is_whole_is_read(cut: int, sealed: bool) -> None:
    content, places = written(Feedback([]), Feedback([]), predictions(b""))
    found = read_from(content[:-cut], sealed=sealed)
    assert found == [(places[1].at, Feedback([])), (places[2].at, Feedback([]))]


def test_damaged_stretch_is_told_and_what_follows_is_read_once_the_segment_is_sealed() -> None:
    content, places = written(Feedback([]), Feedback([]), Feedback([]))
    damaged = bytearray(content)
    damaged[places[2].at - 1] ^= 1
    found = read_from(bytes(damaged), sealed=True)
    assert found == [(places[1].at, Feedback([])), (places[2].at, None), (places[3].at, Feedback([]))]
    assert read_from(bytes(damaged), sealed=False) == found[:1]


def test_frames_that_are_moved_or_left_out_are_told_as_damage() -> None:
    content, places = written(Feedback([]), predictions(b""), Feedback([]))
    a, b, c = (content[x.at : y.at] for x, y in pairwise(places))
    head = content[: HEAD.size]
    assert [r for _, r in read_from(head + b + a + c, sealed=True)] == [None, Feedback([])]
    assert read_from(head + a + c, sealed=True) == [(places[1].at, Feedback([]))]


def test_damaged_head_is_made_up_for_by_the_first_frame_and_another_version_is_not_read() -> None:
    content, places = written(Feedback([]))
    for at in (0, 6, 12, 25):  # magic, version, marker, check
        damaged = bytearray(content)
        damaged[at] ^= 1
        assert read_from(bytes(damaged), sealed=True) == [(places[1].at, Feedback([]))]
    assert segments.start(content[: HEAD.size - 1]) is None
    assert segments.start(b"RFT1" + content[4 : HEAD.size]) is None


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "being written"])
def test_bytes_of_a_request_never_become_a_record(sealed: bool) -> None:
    """A whole segment as the numbers of a row, and the reader comes at every moment of its being written."""
    forged = Feedback([Label("0", "victim", "1", 0.0)])
    attack = written(forged, marker=b"another marker..")[0]
    content, places = written(Feedback([]), predictions(attack), Feedback([]))
    for end in range(HEAD.size, len(content)):
        assert all(record != forged for _, record in read_from(content[:end], sealed=sealed))
    assert read_from(content, sealed=sealed)[-1][0] == places[-1].at


def test_a_known_marker_forges_nothing_while_the_record_is_being_written() -> None:
    """Were the marker to leak: a frame for the very offset at which its bytes will lie in the file."""
    forged = encode(Feedback([Label("0", "victim", "1", 0.0)]))
    content, places = written(predictions(b"\0" * 2000))
    fields, _ = frame(forged, Position(MARKER, places[0].at + 500, 0))
    at = places[0].at + 500
    content = content[:at] + fields + forged + content[at + len(fields + forged) :]
    assert read_from(content[:-10], sealed=False) == []


def test_each_segment_has_a_marker_of_its_own(tmp_path: Path, served: Served) -> None:
    log = started(tmp_path, segment_bytes=300)
    for i in range(10):
        log.append(served, scored(served, str(i)))
    log.close()
    markers = {segments.start(s.read_bytes()).marker for s in segments.segments(log.folder)}  # type: ignore[union-attr]
    assert len(markers) == len(segments.segments(log.folder)) > 2


class FullDisk:
    """An `os.write` that takes half of what it is given and then finds the disk full, until it is `mended`."""

    def __init__(self) -> None:
        self.mended = False
        self.real = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if self.mended or fd < 3:
            return self.real(fd, data)
        if len(data) > 60:
            return self.real(fd, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def until_refused(log: PredictionLog, served: Served) -> int:
    """Append ids 0, 1, … until the log refuses; returns how many it took."""
    for i in range(100):
        try:
            log.append(served, scored(served, str(i)))
        except LogUnavailable:
            return i
    raise AssertionError("it took everything")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    full = FullDisk()
    monkeypatch.setattr(os, "write", full)
    return full


def test_full_disk_refuses_and_leaves_no_half_record(tmp_path: Path, served: Served, full_disk: FullDisk) -> None:
    log = started(tmp_path)
    with pytest.raises(LogUnavailable, match="No space left"):
        log.append(served, scored(served, "refused"))
    assert "No space left" in log.problem
    full_disk.mended = True
    log.append(served, scored(served, "taken"))
    log.close()
    assert log.problem == ""
    assert logged_ids(log.folder) == ["taken"]


def test_full_disk_is_bridged_in_memory_where_the_settings_say_so(
    tmp_path: Path, served: Served, full_disk: FullDisk
) -> None:
    log = started(tmp_path, on_failure="answer", max_memory_bytes=1_000)
    kept = until_refused(log, served)  # in the end the memory is full as well
    assert 0 < kept < 20
    assert log.waiting == kept
    full_disk.mended = True
    wait_for(lambda: log.waiting == 0, what="the records in memory are written")
    log.close()
    assert logged_ids(log.folder) == [str(i) for i in range(kept)]
    assert log.problem == ""


def test_file_size_limit_of_the_system_is_a_full_disk(tmp_path: Path, served: Served) -> None:
    """The real thing: the kernel refuses the write."""
    log = started(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
    try:
        kept = until_refused(log, served)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "too large" in log.problem
    log.append(served, scored(served, "after"))
    log.close()
    assert logged_ids(log.folder) == [*map(str, range(kept)), "after"]


def test_backlog_beyond_its_limit_pushes_back(tmp_path: Path, served: Served) -> None:
    log = started(tmp_path, max_backlog_bytes=2_000)
    log._watch_backlog()

    def refused() -> bool:
        try:
            log.append(served, scored(served, *map(str, range(20))))
        except LogUnavailable as error:
            return "has not taken" in str(error)
        return False

    wait_for(refused, what="back-pressure")
    for segment in segments.segments(log.folder):
        segment.unlink()  # what the log shipper does
    wait_for(lambda: not refused(), what="recovery")
    log.close()


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[Settings, PredictionLog]]:
    settings = tiny.settings_for(tmp_path, log={"drop_columns": ["f0"], "hash_columns": ["f1"]})
    log = PredictionLog(settings)
    log.start()
    yield settings, log
    log.close()


def test_private_columns_never_reach_the_disk(people: tuple[Settings, PredictionLog], served: Served) -> None:
    settings, log = people
    for value in (1.5, 1.5, 2.5):
        rows = score.reader(served).records([tiny.row(f0=0.625, f1=value)])
        log.append(served, score.score(served, rows))
    model, *found = read(log.folder)
    inputs = [next(segments.rows(record, model))["inputs"] for record in found]
    assert all("f0" not in row for row in inputs)
    assert inputs[0]["f1"] == inputs[1]["f1"] != inputs[2]["f1"]
    assert len(inputs[0]["f1"]) == 32
    key = settings.var / "secrets" / "log_hash_key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_machines_without_a_shared_disk_make_no_hash_keys_of_their_own(tmp_path: Path) -> None:
    storage = {"url": "s3://refit/loop"}
    settings = tiny.settings_for(tmp_path, log={"hash_columns": ["f1"]}, storage=storage)
    with pytest.raises(SettingsError, match="the same on each"):
        PredictionLog(settings).start()
    assert not (settings.var / "secrets").exists()


@pytest.mark.parametrize("durability", ["machine", "process"])
def test_the_name_of_a_new_segment_reaches_the_disk_too(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    log = started(tmp_path, durability=durability, sync_interval_s=60)
    log.append(served, scored(served, "a"))
    log.append(served, scored(served, "b"))
    before = synced.count(str(log.folder))
    log.close()
    assert (before, synced.count(str(log.folder))) == ((1, 1) if durability == "machine" else (0, 1))


def test_durability_machine_syncs_before_the_answer(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    log = started(tmp_path, durability="machine", sync_interval_s=60)
    log.append(served, scored(served, "a"))
    assert len(synced) == 1
    log.close()


def test_the_key_of_hashed_columns_may_be_a_file_that_services_share(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x" * 100 + "\n")
    hashed = []
    for home in ("a", "b"):
        settings = tiny.settings_for(tmp_path / home, log={"hash_columns": ["f1"], "hash_key_file": str(key)})
        served = open_served(settings.var / "serving", tiny.publish(settings, "1"))
        log = PredictionLog(settings)
        log.start()
        log.append(served, score.score(served, score.reader(served).records([tiny.row()]), ["p"]))
        log.close()
        [segment] = segments.segments(log.folder)
        content = segment.read_bytes()
        place = segments.start(content)
        assert place is not None
        found = [one for _, one in segments.records(content[place.at :], place, sealed=True)]
        hashed += [one.hashed for one in found if isinstance(one, Predictions)]
    assert hashed[0] == hashed[1]
    assert list(hashed[0]) == ["f1"]
    key.write_text("")
    with pytest.raises(SettingsError, match="0 bytes"):
        PredictionLog(settings).start()
    key.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        PredictionLog(settings).start()
