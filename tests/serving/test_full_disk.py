"""A disk that is full in earnest under the whole service: a small file system of its own, filled and freed again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.settings import Settings
from serving.model.store import ModelStore, worker_states
from tests.serving import tiny
from tests.serving.counting import ID, logged, lost_and_doubled
from tests.serving.running import Server, serving, wait_for
from tests.small_disk import SmallDisk, mounted

CSV = {"Content-Type": "text/csv"}
FORM = {"Content-Type": "multipart/form-data; boundary=B"}
TABLE = b"f0,f1,f2,f3\n" + b"1,2,3,4\n" * 1_000
PAGE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + TABLE + b"\r\n--B--\r\n"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The service's home and its temporary files are on it."""
    with mounted(tmp_path / "disk", 64) as made:
        monkeypatch.setenv("TMPDIR", str(made.path))
        yield made


@pytest.fixture
def settings(disk: SmallDisk) -> Settings:
    made = tiny.settings_for(disk.path / "home")
    made.home.mkdir()
    tiny.publish(made, "1")
    return made


def statuses(server: Server) -> dict[str, set[int]]:
    """What every entrance answers, asked often enough to meet both workers."""
    asks = {
        "predict": lambda: server.predict([tiny.row()]),
        "file": lambda: server.request("POST", "/predict/file", TABLE, CSV),
        "invocations": lambda: server.request("POST", "/invocations", TABLE, CSV),
        "page": lambda: server.request("POST", "/file", PAGE, FORM),
        "model": lambda: server.get("/model"),
        "metrics": lambda: server.get("/metrics"),
        "live": lambda: server.get("/health/live"),
        "monitoring": lambda: server.get("/monitoring"),
    }
    return {name: {ask()[0] for _ in range(5)} for name, ask in asks.items()}


@pytest.mark.parametrize(("policy", "worker_class"), [("refuse", "fast"), ("answer", "fast"), ("answer", "gthread")])
def test_every_route_answers_and_it_is_ready_again_by_itself(
    settings: Settings, disk: SmallDisk, policy: str, worker_class: str
) -> None:
    """Files for the metrics, mapped, once ended workers and master with SIGBUS here."""
    values = {"LOG__ON_FAILURE": policy, "SERVING__WORKER_CLASS": worker_class}
    with serving(settings.home, SERVING__WORKERS="2", **values) as server:
        wait_for(lambda: len(server.ready()["workers"]) == 2, what="two workers")
        before, answered = set(server.workers()), []
        disk.fill()
        found = statuses(server)
        logged = {200} if policy == "answer" else {503}
        for name in ("predict", "file", "invocations"):
            assert found.pop(name) == logged, name
        assert found.pop("page") == {503}, "its result cannot be kept"
        assert set().union(*found.values()) == {200}, found
        if policy == "answer":
            answered = [i.decode() for i in ID.findall(server.predict([tiny.row()])[2])]
        assert set(server.workers()) == before
        disk.make_room()
        for _ in range(4):  # each worker heals by itself, asked or not
            wait_for(lambda: server.ready()["problems"] == [], what="recovery")
        wait_for(lambda: statuses(server)["page"] == {200}, what="results are kept again")
        assert set(server.workers()) == before
    assert lost_and_doubled(settings, answered) == (0, 0)


def test_it_starts_on_a_full_disk(settings: Settings, disk: SmallDisk) -> None:
    """The supervisor may start it anew at the worst moment."""
    disk.fill()
    with serving(settings.home, SERVING__WORKERS="2", LOG__ON_FAILURE="answer") as server:
        assert server.predict([tiny.row()])[0] == 200
        disk.make_room()
        wait_for(lambda: len(server.ready()["workers"]) == 2, what="the workers' reports")
        wait_for(lambda: server.ready()["problems"] == [], what="recovery")


def test_a_worker_whose_report_could_not_be_written_writes_it_when_there_is_room(
    settings: Settings, disk: SmallDisk
) -> None:
    store = ModelStore(settings.var / "serving")
    disk.fill()
    store.start()
    try:
        assert worker_states(store.folder) == []
        disk.make_room()
        wait_for(lambda: [s.pid for s in worker_states(store.folder)] == [os.getpid()], what="the report")
    finally:
        store.close()


def test_a_body_that_no_file_can_hold_is_refused_in_words(settings: Settings, disk: SmallDisk) -> None:
    """Bodies beyond a megabyte wait in a temporary file."""
    with serving(settings.home, SERVING__WORKERS="1", LOG__ON_FAILURE="answer") as server:
        disk.fill()
        status, headers, body = server.request("POST", "/predict/file", TABLE * 200, CSV)
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert b"No space left" in body
        disk.make_room()
        assert server.predict([tiny.row()])[0] == 200


@pytest.mark.parametrize("worker_class", ["fast", "gthread"])
def test_what_is_logged_is_answered_and_what_cannot_be_answered_is_not_logged(
    tmp_path: Path, disk: SmallDisk, worker_class: str
) -> None:
    """Of the two only the temporary files are on the full disk: answers of a few megabytes wait in memory, larger ones
    are refused before their first row is logged."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    tiny.publish(tiny.settings_for(home), "1")
    table, large = (b"f0,f1,f2,f3\n" + b"1,2,3,4\n" * n for n in (8_000, 120_000))
    with serving(home, SERVING__WORKERS="1", SERVING__WORKER_CLASS=worker_class) as server:
        wait_for(lambda: server.ready()["workers"], what="the worker")
        disk.fill()
        answers = [
            server.predict([tiny.row()] * 4_000),
            server.request("POST", "/predict/file", table, CSV),
            server.request("POST", "/invocations", table, CSV),
        ]
        assert [status for status, _, _ in answers] == [200, 200, 200]
        assert min(len(body) for _, _, body in answers) > 262_144
        assert logged(home).total() == 20_000
        for leave in (0, 9_000_000):  # none, and enough for the first parts
            disk.make_room()
            disk.fill(leave)
            for path in ("/predict/file", "/invocations"):
                assert server.request("POST", path, large, CSV)[0] == 503, path
        assert logged(home).total() == 20_000
        disk.make_room()
        for path in ("/predict/file", "/invocations"):
            status, _, body = server.request("POST", path, large, CSV)
            assert (status, len(body) > 8_000_000) == (200, True), path
        assert logged(home).total() == 260_000


def form(table: bytes) -> bytes:
    return PAGE.replace(TABLE, table)


@pytest.mark.parametrize("worker_class", ["fast", "gthread"])
def test_a_result_of_the_page_that_cannot_be_kept_is_not_logged(
    tmp_path: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, worker_class: str
) -> None:
    """Only the page's results are on the full disk: also where their first part still fits."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    home, large = tmp_path / "elsewhere", b"f0,f1,f2,f3\n" + b"1,2,3,4\n" * 120_000
    home.mkdir()
    tiny.publish(tiny.settings_for(home), "1")
    (disk.path / "results").mkdir()
    (home / "var" / "serving" / "results").symlink_to(disk.path / "results")
    with serving(home, SERVING__WORKERS="1", SERVING__WORKER_CLASS=worker_class) as server:
        wait_for(lambda: server.ready()["workers"], what="the worker")
        for leave in (0, 6_000_000):
            disk.make_room()
            disk.fill(leave)
            status, _, body = server.request("POST", "/file", form(large), FORM)
            assert (status, b"disk is full" in body) == (503, True)
            assert list((disk.path / "results").iterdir()) == []
        assert logged(home).total() == 0
        disk.make_room()
        assert server.request("POST", "/file", form(large), FORM)[0] == 200
        assert logged(home).total() == 120_000
        [kept] = (disk.path / "results").iterdir()
        assert len(kept.read_bytes().splitlines()) == 120_001, "nothing of what was reserved is left"


def test_an_answer_that_outgrows_its_room_says_what_is_logged(tmp_path: Path, disk: SmallDisk) -> None:
    """Its later rows are thirty times as long as its first ones."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    tiny.publish(tiny.settings_for(home), "1")
    table = b"f0,f1,f2,f3,note\n" + b"1,2,3,1,a\n" * 100_000 + b"1,2,3,1,%b\n" % (b"b" * 300) * 60_000
    with serving(home, SERVING__WORKERS="1") as server:
        wait_for(lambda: server.ready()["workers"], what="the worker")
        disk.fill(52_000_000)  # the table, and the answer as its first part foretells it
        status, _, body = server.request("POST", "/predict/file", table, CSV)
        told = re.search(rb"([0-9,]+) of 160,000 rows are in the prediction log", body)
        assert (status, told is not None) == (503, True), body
        assert told is not None
        assert logged(home).total() == int(told[1].replace(b",", b"")) > 50_000
