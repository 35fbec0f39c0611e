"""The ledger keeps what happened, and knows which version really served before."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import StoreUnavailable
from ml.registry import ledger
from ml.settings import Settings, from_values


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_values({"home": str(tmp_path)})


def move(settings: Settings, old: str, new: str, what: str = ledger.PROMOTED) -> None:
    ledger.append(settings, what, who="test", from_version=old, to_version=new)


def test_events_come_back_newest_first(settings: Settings) -> None:
    """What is appended is read back, the latest on top."""
    ledger.append(settings, ledger.REGISTERED, who="ann", to_version="1", why="first", run_key="r1")
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version="1", numbers={"gain": 0.1})
    newest, oldest = ledger.events(settings)
    assert (newest.what, newest.numbers) == (ledger.PROMOTED, {"gain": 0.1})
    assert (oldest.who, oldest.why, oldest.run_key) == ("ann", "first", "r1")
    assert newest.time >= oldest.time


def test_limit_and_run_key_select(settings: Settings) -> None:
    """A tail and one run's events can be asked for."""
    for i in range(5):
        ledger.append(settings, ledger.REGISTERED, who="t", to_version=str(i), run_key=f"r{i % 2}")
    assert [e.to_version for e in ledger.events(settings, limit=2)] == ["4", "3"]
    assert [e.to_version for e in ledger.events(settings, run_key="r1")] == ["3", "1"]


def test_intention_is_open_until_its_outcome(settings: Settings) -> None:
    """A move that was cut short can be found, and one that ended cannot."""
    first = ledger.append(settings, ledger.PROMOTING, who="t", to_version="1")
    found = ledger.open_intention(settings)
    assert found is not None
    assert found.id == first
    ledger.append(settings, ledger.PROMOTED, who="t", to_version="1", intention=first)
    assert ledger.open_intention(settings) is None
    assert [e.what for e in ledger.events(settings)] == [ledger.PROMOTED], "intentions are not for readers"


def test_ledgers_of_two_models_are_apart(settings: Settings, tmp_path: Path) -> None:
    """One database can hold several models."""
    ledger.append(settings, ledger.PROMOTED, who="t", to_version="1")
    other = from_values({"home": str(tmp_path), "registry": {"model_name": "Other"}})
    assert ledger.events(other) == []


@pytest.mark.parametrize(
    ("moves", "version", "expected"),
    [
        ([("", "1")], "1", []),
        ([("", "1"), ("1", "2")], "2", ["1"]),
        ([("", "1"), ("1", "2"), ("2", "3")], "3", ["2", "1"]),
        ([("", "1"), ("1", "2"), ("2", "3"), ("3", "2")], "2", ["3", "1"]),
        ([("", "1"), ("1", "4")], "4", ["1"]),
        ([], "1", []),
    ],
    ids=["first", "second", "third", "after a rollback", "2 and 3 never served", "nothing yet"],
)
def test_served_before_is_what_really_served(
    settings: Settings, moves: list[tuple[str, str]], version: str, expected: list[str]
) -> None:
    """The way back goes along versions that served, not along version numbers."""
    for old, new in moves:
        move(settings, old, new)
    assert [number for number, _ in ledger.served_before(settings, version, "")] == expected


def test_failed_promotion_did_not_serve(settings: Settings) -> None:
    """A version whose promotion was put back is not a place to go back to."""
    move(settings, "", "1")
    move(settings, "1", "2", ledger.PROMOTION_FAILED)
    move(settings, "1", "3")
    assert ledger.served_before(settings, "3", "") == [("1", "")]


def test_two_bundles_of_one_number_both_served(settings: Settings) -> None:
    """Another registry's version 1 served after this one's: each is a place to go back to, once."""
    for number, sha256 in (("1", "a"), ("1", "b"), ("2", "c"), ("1", "a"), ("3", "d")):
        ledger.append(settings, ledger.PROMOTED, who="t", to_version=number, to_sha256=sha256)
    assert ledger.served_before(settings, "3", "d") == [("1", "a"), ("2", "c"), ("1", "b")]
    assert ledger.served_before(settings, "1", "a") == [("2", "c"), ("1", "b")]
    assert ledger.served_before(settings, "9", "e") == [("3", "d"), ("1", "a"), ("2", "c"), ("1", "b")], "never served"


def test_unreachable_database_is_transient(tmp_path: Path) -> None:
    """A database that does not answer is an error that may pass, and says so in one sentence."""
    settings = from_values({"home": str(tmp_path), "database_url": f"sqlite:///{tmp_path}/no/such/folder/x.db"})
    with pytest.raises(StoreUnavailable, match="does not answer"):
        ledger.append(settings, ledger.REGISTERED, who="t")
