"""What a worker knows of the other services: its share of the limit, and whether it is in rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.auth.limits import RateLimit
from serving.model import membership
from serving.model.membership import Membership, Watch
from tests.serving import tiny
from tests.serving.conftest import Make
from tests.serving.running import wait_for

URL = "postgresql+psycopg2://nobody@127.0.0.1:9/none"  # a worker does not ask it


def test_without_a_file_it_is_by_itself(tmp_path: Path) -> None:
    assert membership.read(tmp_path) == Membership()
    (tmp_path / membership.FILE).write_bytes(b"{")
    assert membership.read(tmp_path) == Membership()


def test_a_change_of_the_file_is_told(tmp_path: Path) -> None:
    told: list[Membership] = []
    watch = Watch(tmp_path, told.append)
    watch.start()
    try:
        for live in (2, 3):
            membership.write(tmp_path, Membership("a", live))
            wait_for(lambda n=live: watch.current.live == n)
    finally:
        watch.close()
    assert [one.live for one in told] == [2, 3]


def test_a_limit_is_shared_by_the_services_that_live() -> None:
    limit = RateLimit(10.0, 6)
    limit.share(3)
    assert (limit.rate, limit.burst) == (10.0 / 3, 2.0)
    assert [limit.wait_s("a") for _ in range(2)] == [0.0, 0.0]
    assert limit.wait_s("a") > 0.25
    limit.share(1)
    assert (limit.rate, limit.burst) == (10.0, 6.0)
    limit.share(100)
    assert limit.wait_s("b") == 0.0, "one request at least"


def test_one_out_of_rotation_is_not_ready_and_says_why(make: Make, tmp_path: Path) -> None:
    folder = tiny.settings_for(tmp_path).var / "serving"
    client = make(database_url=URL)
    membership.write(folder, Membership("a", 2))
    wait_for(lambda: client.get("/health/ready").status_code == 200)
    membership.write(folder, Membership("a", 2, "its key is another"))
    ready = wait_for(lambda: (found := client.get("/health/ready")).status_code == 503 and found)
    assert (ready.json["services"], ready.json["problems"]) == (2, ["its key is another"])
    assert [client.get(path).status_code for path in ("/ping", "/v2/health/ready")] == [404, 503]
    assert client.post("/predict", json={"rows": [tiny.row()]}).status_code == 200, "what was on its way is answered"
    membership.write(folder, Membership("a", 2))
    wait_for(lambda: client.get("/health/ready").status_code == 200)


def test_with_hashed_columns_it_is_ready_once_its_key_was_compared(make: Make, tmp_path: Path) -> None:
    client = make(database_url=URL, log={"hash_columns": ["f1"]})
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["codes"]) == (503, ["connections.hash_key_not_compared"])
    membership.write(tiny.settings_for(tmp_path).var / "serving", Membership("a", 1))
    wait_for(lambda: client.get("/health/ready").status_code == 200)


def test_a_service_that_starts_waits_for_its_first_heartbeat_but_not_for_long(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be away: then it answers without."""
    client = make(database_url=URL)
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["codes"]) == (503, ["connections.not_registered_yet"])
    monkeypatch.setattr(membership, "FIRST_BEAT_S", 0.0)
    assert client.get("/health/ready").status_code == 200
