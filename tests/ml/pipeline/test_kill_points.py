"""Killed at any moment of a move: the alias ends on a version that works, and the ledger tells the truth.

A move is a row of writes, to the ledger and to MLflow. Each test kills it before and after every one of them, in
turn, and lets the next caller find what is left. Real processes are killed in tests/stack/test_kills.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from ml import registry
from ml.bundle.reader import Bundle
from ml.errors import PromotionError
from ml.registry import ledger
from ml.release import bake
from ml.settings import Settings
from tests.ml.registry.test_promotion import Killed, agree, aliases, die, make_settings, make_version, refuse

WRITES = [
    (ledger, "append"),
    *(
        (mlflow.MlflowClient, f"{verb}_{what}")
        for verb in ("set", "delete")
        for what in ("registered_model_alias", "model_version_tag")
    ),
]


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


@contextmanager
def killed_at(moment: int) -> Iterator[list[str]]:
    """Kill before (even) or after (odd) the write number `moment // 2`; gives the writes that began."""
    begun: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, _counted(getattr(owner, name), name, begun, moment))
        yield begun


def _counted(write: Callable[..., Any], name: str, begun: list[str], moment: int) -> Callable[..., Any]:
    def counted(*args: Any, **more: Any) -> Any:
        begun.append(name)
        place = 2 * (len(begun) - 1)
        if place == moment:
            raise Killed
        result = write(*args, **more)
        if place + 1 == moment:
            raise Killed
        return result

    return counted


def every_moment(act: Callable[[], Any], then: Callable[[], None]) -> int:
    """Kill `act` at its first moment and do `then`, at its second, …; returns how many moments it has."""
    for moment in range(100):
        with killed_at(moment):
            try:
                act()
            except Killed:
                pass
            except PromotionError:
                return moment
            else:
                return moment
        then()
    raise AssertionError("it does not end")


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
