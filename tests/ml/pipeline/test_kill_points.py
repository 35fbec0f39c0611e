"""Killed at any moment of a move: the alias ends on a version that works, and the ledger tells the truth.

A move is a row of writes, to the ledger and to MLflow. Each test kills it before and after every one of them, in
turn, and lets the next caller find what is left. Real processes are killed in tests/stack/test_kills.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ml import registry
from ml.bundle.reader import Bundle
from ml.registry import ledger
from ml.release import bake
from ml.settings import Settings
from tests.ml.registry.moments import every_moment
from tests.ml.registry.versions import Killed, agree, aliases, die, make_settings, make_version, refuse


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One MLflow store for the module, which takes seconds to make."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def two(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Settings, str, str]:
    """Settings with a model name of the test's own, the champion, and a challenger."""
    own = make_settings(home, model_name=request.node.name)
    one, other = (make_version(own, tmp_path, slope).version for slope in (1.0, 2.0))
    move(own, one)
    return own, one, other


def move(own: Settings, version: str, confirm_with: registry.Confirm = agree) -> None:
    registry.promote(own, version, who="test", why="because", confirm_with=confirm_with, force=True)


def champion_works_and_is_known(own: Settings) -> str:
    """The alias is on a version that loads, and the ledger says so, or says that a move is under way."""
    info = registry.champion(own)
    assert info is not None
    Bundle.open(registry.download(own, info), sha256=info.sha256).self_check()
    served, under_way = ledger.events(own, limit=1, what=ledger.SERVED)[0], ledger.open_intention(own)
    if under_way is None:
        assert info.version == served.to_version
    else:
        assert info.version in (under_way.from_version, under_way.to_version)
    return info.version


def test_a_promotion(two: tuple[Settings, str, str]) -> None:
    """The task that is run again ends it: promoted once."""
    own, one, other = two

    def then() -> None:
        champion_works_and_is_known(own)
        before = len(ledger.events(own, what=[ledger.PROMOTED]))
        whole = champion_works_and_is_known(own) == other and ledger.open_intention(own) is None
        move(own, other)
        assert aliases(own) == (other, one)
        assert ledger.open_intention(own) is None
        assert len(ledger.events(own, what=[ledger.PROMOTED])) == before + (not whole)
        move(own, one)

    assert every_moment(lambda: move(own, other), then) >= 8


def test_a_promotion_that_is_refused(two: tuple[Settings, str, str]) -> None:
    """Whoever comes next finds the old version in service, or puts it back."""
    own, one, other = two

    def then() -> None:
        champion_works_and_is_known(own)
        registry.reconcile(own, refuse)
        assert champion_works_and_is_known(own) == one
        assert ledger.open_intention(own) is None
        assert ledger.events(own, limit=1)[0].what in (ledger.PROMOTION_FAILED, ledger.PROMOTED)

    assert every_moment(lambda: move(own, other, refuse), then) >= 8
    assert [e.to_version for e in ledger.events(own, what=ledger.SERVED)] == [one]


def test_a_rollback(two: tuple[Settings, str, str]) -> None:
    """The next caller finishes it; the version left is quarantined."""
    own, one, other = two
    move(own, other)

    def back() -> None:
        registry.rollback(own, one, who="test", why="complaints", confirm_with=agree)

    def then() -> None:
        champion_works_and_is_known(own)
        registry.reconcile(own, agree)
        if champion_works_and_is_known(own) == other:
            back()
        assert aliases(own)[0] == one
        assert ledger.open_intention(own) is None
        assert registry.version(own, other).quarantined
        assert ledger.events(own, limit=1, what=ledger.SERVED)[0].what == ledger.ROLLED_BACK
        move(own, other)

    assert every_moment(back, then) >= 10


def test_the_next_drift_check_finishes_what_a_killed_command_began(two: tuple[Settings, str, str]) -> None:
    """Airflow runs a killed task again; nobody does that for a command typed by a person."""
    own, one, other = two
    with pytest.raises(Killed):
        move(own, other, die)
    bake.watch(own, time.time())
    assert aliases(own) == (other, one)
    assert ledger.open_intention(own) is None
    assert ledger.events(own, limit=1)[0].to_version == other
