"""Keys in the database: made at one machine, taken at each of them, also while the database is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.fleet import shared_keys
from ml.settings import Settings
from serving.auth import keys
from serving.auth.keys import Keys
from tests.serving import tiny


@pytest.fixture
def two(tmp_path: Path, postgresql_url: str) -> tuple[Settings, Settings]:
    """The homes of two services that others can reach."""
    shared = {"database_url": postgresql_url, "serving": {"host": "0.0.0.0"}}
    return tiny.settings_for(tmp_path / "a", **shared), tiny.settings_for(tmp_path / "b", **shared)


def test_a_key_made_at_one_machine_opens_the_other_until_it_is_revoked(two: tuple[Settings, Settings]) -> None:
    here, there = two
    presented = keys.create(here, ("predict",), "caller")
    found = Keys(here).find(presented)
    assert found is not None
    assert Keys(there).find(presented) is None, "its follower has not copied it yet"
    keys.mirror(there)
    assert Keys(there).find(presented) == found
    assert keys.revoke(there, found.id)
    assert Keys(there).find(presented) is None
    keys.mirror(here)
    assert Keys(here).find(presented) is None
    assert not keys.revoke(here, found.id)


def test_the_database_holds_no_key(two: tuple[Settings, Settings]) -> None:
    presented = keys.create(two[0], ("predict", "feedback"), "caller")
    [row] = shared_keys.known(two[1])
    assert (row.name, row.scopes) == ("caller", ("predict", "feedback"))
    assert presented not in str(row)


def test_a_key_of_before_counts_at_its_machine_alone(two: tuple[Settings, Settings]) -> None:
    here, there = two
    alone = tiny.settings_for(here.home)
    presented = keys.create(alone, ("predict",), "of before")
    for one in two:
        keys.mirror(one)
    assert Keys(here).find(presented) is not None
    assert Keys(there).find(presented) is None
    assert keys.revoke(here, keys.read(keys.files(here)[0])[0].id)
    assert Keys(here).find(presented) is None


def test_without_a_key_it_starts_and_refuses(two: tuple[Settings, Settings]) -> None:
    """The keys come with the first heartbeat; a worker has no driver to ask for them before."""
    keys.check_bind(two[0])
    assert Keys(two[0]).required
