"""Which service is out of rotation: never so many that nobody answers."""

from __future__ import annotations

import pytest

from ml.fleet import rotation
from ml.fleet.rotation import OTHER_KEY
from ml.fleet.services import Fleet, Loaded, Refused, Service, State
from ml.messages import code_of, message


def service(name: str, version: str = "2", *, refused: str = "", key: str = "", out: str = "") -> Service:
    state = State(
        workers=(Loaded(version),) if version else (),
        refused=Refused(refused, "altered", 0.0) if refused else None,
        hash_key=key,
        out=message(out, name="x") if out else "",
    )
    started = float(ord(name))
    return Service(id=name, host=name, address="", started=started, seen=100.0, stale=False, state=state)


def out(own: Service, *others: Service, champion: str = "2", left_s: float = 5.0) -> str:
    fleet = Fleet(100.0, (*others, own))
    return code_of(rotation.out(fleet, own, champion, lambda loaded: loaded.version == champion, left_s=left_s))


def test_who_serves_the_champion_is_in() -> None:
    assert out(service("b"), service("a")) == ""


def test_who_cannot_load_the_champion_is_out_while_others_serve_it() -> None:
    assert out(service("b", "1", refused="2"), service("a")) == "connections.out_refused"


@pytest.mark.parametrize(
    "others", [[], [service("a", "1")], [service("a"), service("c", "1"), service("d", "1")], [service("a", "")]]
)
def test_an_older_answer_is_better_than_none(others: list[Service]) -> None:
    assert out(service("b", "1", refused="2"), *others) == ""


def test_who_is_behind_has_time() -> None:
    assert out(service("b", "1"), service("a"), left_s=1.0) == ""
    assert out(service("b", "1"), service("a"), left_s=0.0) == "connections.out_behind"


def test_before_the_first_promotion_all_are_in() -> None:
    assert out(service("b", "1", refused="2"), service("a", "1"), champion="", left_s=0.0) == ""


def test_a_newcomer_with_another_key_is_out_and_the_others_stay() -> None:
    first, second = service("a", key="K"), service("b", key="K")
    assert out(service("c", key="L"), first, second) == OTHER_KEY
    assert out(first, second, service("c", key="L")) == ""
    assert out(second, first, service("c", key="L")) == ""


def test_one_that_is_out_for_its_key_does_not_become_the_measure() -> None:
    """The others were started anew, and are younger now."""
    wrong = service("a", key="L", out=OTHER_KEY)
    assert out(service("b", key="K"), wrong) == ""
    assert out(wrong, service("b", key="K")) == OTHER_KEY


def test_left_alone_it_is_in_again() -> None:
    assert out(service("a", key="L", out=OTHER_KEY)) == ""


def test_without_hashed_columns_no_key_is_compared() -> None:
    assert out(service("b"), service("a", key="K")) == ""
