"""Who must report a version before it is promoted, who is named instead, and when nothing is promoted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ml.errors import PromotionError
from ml.fleet import confirmation, services
from ml.fleet.confirmation import Confirmed
from ml.fleet.services import Fleet, Loaded, Refused, Service, State
from ml.settings import from_values


def service(name: str, version: str = "1", *, refused: str = "", age_s: float = 0.0, seen: float = 100.0) -> Service:
    state = State(
        workers=(Loaded(version), Loaded(version)),
        refused=Refused(refused, "altered", age_s) if refused else None,
    )
    return Service(id=name, host=name, address=f"http://{name}", started=0.0, seen=seen, stale=False, state=state)


def stale(name: str, version: str = "1") -> Service:
    found = service(name, version)
    return Service(**{field: getattr(found, field) for field in found.__struct_fields__} | {"stale": True})


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Confirmed | None]:
    """One fleet a look, the last one again and again."""

    def asked(*looks: list[Service], confirm: str = "auto") -> Confirmed | None:
        left = list(looks)
        monkeypatch.setattr(services, "known", lambda _: Fleet(100.0, tuple(left.pop(0) if len(left) > 1 else left[0])))
        settings = from_values({"registry": {"confirm": confirm, "confirm_timeout_s": 0.2}})
        return confirmation.wait(settings, "2", lambda loaded: loaded.version == "2", sleep=lambda _: None)

    return asked


Ask = Callable[..., Confirmed | None]


def test_all_that_live_are_waited_for(ask: Ask) -> None:
    found = ask([service("a"), service("b")], [service("a", "2"), service("b")], [service("a", "2"), service("b", "2")])
    assert found is not None
    assert ([one.id for one in found.serving], found.workers, found.without) == (["a", "b"], 4, ())


def test_a_service_that_comes_meanwhile_is_waited_for_too(ask: Ask) -> None:
    found = ask([service("a")], [service("a", "2"), service("b")], [service("a", "2"), service("b", "2")])
    assert found is not None
    assert [one.id for one in found.serving] == ["a", "b"]


def test_one_that_cannot_load_is_named_and_the_rest_is_promoted(ask: Ask) -> None:
    found = ask([service("a"), service("b")], [service("a", "2"), service("b", refused="2")])
    assert found is not None
    assert [str(one) for one in found.without] == ["b at http://b: altered"]


@pytest.mark.parametrize("others", [[], [service("b", refused="2")], [service("b", refused="2"), service("c", "2")]])
def test_too_few_promote_nothing(ask: Ask, others: list[Service]) -> None:
    with pytest.raises(PromotionError) as caught:
        ask([service("a"), *others], [service("a", refused="2"), *others])
    assert caught.value.code == "release.fleet_not_confirmed"
    assert "a at http://a: altered" in str(caught.value)


def test_required_means_every_one(ask: Ask) -> None:
    with pytest.raises(PromotionError):
        ask([service("a", "2"), service("b", "2"), service("c", refused="2")], confirm="required")


def test_an_older_refusal_is_of_an_earlier_try(ask: Ask) -> None:
    earlier = service("b", refused="2", age_s=30.0)
    found = ask([service("a", "2"), earlier], [service("a", "2"), earlier], [service("a", "2"), service("b", "2")])
    assert found is not None
    assert [one.id for one in found.serving] == ["a", "b"]


def test_one_that_died_holds_nothing_up_and_is_told(ask: Ask) -> None:
    found = ask([service("a"), service("b")], [service("a", "2"), service("b")], [service("a", "2"), stale("b")])
    assert found is not None
    assert [one.id for one in found.serving] == ["a"]
    assert [str(one) for one in found.gone] == ["b at http://b"]


def test_when_all_died_nothing_is_promoted(ask: Ask) -> None:
    with pytest.raises(PromotionError, match="0 of 0"):
        ask([service("a")], [stale("a")])


def test_one_that_lives_and_does_nothing_is_named_after_the_time(ask: Ask) -> None:
    found = ask([service("a", "2"), service("b")])
    assert found is not None
    assert str(found.without[0]) == "b at http://b: it reports version 1 after 0.2 s"


def test_where_none_is_registered_another_way_is_taken(ask: Ask) -> None:
    assert ask([stale("a")]) is None
