"""Rows of services in a real PostgreSQL: who lives is told by its clock."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from ml.fleet import services
from ml.fleet.services import Loaded, Refused, State
from ml.settings import Settings, from_values
from ml.storage import database

SERVING = State(workers=(Loaded("1", "ab"), Loaded("1", "ab")))


@pytest.fixture
def settings(postgresql_url: str) -> Settings:
    return of(postgresql_url, "a")


def of(url: str, home: str, **more: object) -> Settings:
    return from_values({"home": f"/nowhere/{home}", "database_url": url, **more})


def age(settings: Settings, identity: str, seconds: float) -> None:
    """As if its newest heartbeat had come so long ago."""
    t = services.table
    with database.engine(settings).begin() as connection:
        connection.execute(sa.update(t).where(t.c.id == identity).values(seen=t.c.seen - seconds))


def test_a_heartbeat_registers_and_renews(settings: Settings) -> None:
    first = services.beat(settings, "a1", State())
    assert [(one.id, one.stale, one.answers) for one in first.services] == [("a1", False, False)], "no worker yet"
    again = services.beat(settings, "a1", SERVING)
    [one] = again.live
    assert (one.state, one.versions) == (SERVING, ("1",))
    assert one.started == first.services[0].started
    assert one.seen > first.services[0].seen
    assert abs(one.seen - again.now) < 5


def test_who_misses_heartbeats_is_stale_and_later_forgotten(settings: Settings) -> None:
    other = msgspec.structs.replace(settings, home=settings.home / "other")
    services.beat(settings, "a1", SERVING)
    services.beat(other, "b1", SERVING)
    age(settings, "a1", services.MISSED * settings.serving.heartbeat_s + 1)
    found = services.known(other)
    assert [(one.id, one.stale) for one in found.services] == [("a1", True), ("b1", False)]
    assert [one.id for one in found.live] == ["b1"]
    age(settings, "a1", services.FORGET_S)
    assert [one.id for one in services.beat(other, "b1", SERVING).services] == ["b1"]


def test_each_tells_how_often_it_beats(settings: Settings, postgresql_url: str) -> None:
    slow = of(postgresql_url, "slow", serving={"heartbeat_s": 60.0})
    services.beat(slow, "s1", SERVING)
    age(settings, "s1", 4 * 60.0)
    assert [one.stale for one in services.known(settings).services] == [False]


def test_a_follower_that_starts_anew_takes_the_place_of_its_row(settings: Settings) -> None:
    services.beat(settings, "a1", SERVING)
    assert [one.id for one in services.beat(settings, "a2", SERVING).services] == ["a2"]
    # Two machines of one name and home, as copies of one disk are: each is there again with its next heartbeat.
    assert [one.id for one in services.beat(settings, "a1", SERVING).services] == ["a1"]


def test_a_service_that_ends_is_gone_at_once(settings: Settings) -> None:
    services.beat(settings, "a1", SERVING)
    services.withdraw(settings, "a1")
    assert services.known(settings).services == ()


def test_homes_of_other_models_are_another_fleet(settings: Settings, postgresql_url: str) -> None:
    services.beat(settings, "a1", SERVING)
    assert services.known(of(postgresql_url, "b", registry={"model_name": "Other"})).services == ()


def test_a_refusal_is_dated_by_the_databases_clock(settings: Settings) -> None:
    found = services.beat(settings, "a1", State(workers=SERVING.workers, refused=Refused("2", "altered", 30.0)))
    assert abs(found.now - 30.0 - found.services[0].refused_at) < 5


def test_without_postgresql_nothing_is_registered(tmp_path: object) -> None:
    alone = from_values({"home": str(tmp_path)})
    assert not services.is_used(alone)
    assert services.known(alone).services == ()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000"), ("score.example.com", None)],
)
def test_the_address_is_what_it_binds(host: str, expected: str | None) -> None:
    made = from_values({"serving": {"host": host}})
    assert services.address(made) == (expected or f"http://{host}:8000")


def test_bound_to_all_it_is_the_way_to_the_database() -> None:
    url = "postgresql+psycopg2://u:p@127.0.0.1/refit"
    found = from_values({"serving": {"host": "0.0.0.0"}, "database_url": url})
    assert services.address(found) == "http://127.0.0.1:8000"
