"""The follower's heartbeat: a service's row, and what its workers learn from those of all."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from ml.errors import StoreUnavailable
from ml.fleet import services
from ml.fleet.rotation import OTHER_KEY
from ml.messages import code_of
from ml.registry import ledger
from ml.settings import Settings
from serving.model import heartbeat, membership
from serving.model.heartbeat import Heartbeat
from serving.model.store import Refusal, WorkerReport, WorkerState
from tests.serving import tiny
from tests.serving.running import wait_for

TIMING = {"heartbeat_s": 0.2}


class Machine:
    """A home with one worker, which is this process."""

    def __init__(self, folder: Path, name: str, url: str, **sections: object) -> None:
        values = {"database_url": url, "serving": TIMING, **sections}
        self.settings: Settings = tiny.settings_for(folder / name, **values)
        self.folder = self.settings.var / "serving"
        self.heart = Heartbeat(self.settings)
        self.report = WorkerReport(self.folder / "workers")

    def serve(self, version: str, refused: Refusal | None = None) -> None:
        self.tell(WorkerState(os.getpid(), version, time.time(), refused, f"hash of {version}"))

    def tell(self, state: WorkerState) -> None:
        self.report.write(state)

    def beat(self) -> membership.Membership:
        self.heart.beat(self.heart.reports())
        return membership.read(self.folder)


def promoted(settings: Settings, version: str) -> None:
    ledger.append(settings, ledger.PROMOTED, who="ann", to_version=version, to_sha256=f"hash of {version}")


def test_each_knows_how_many_live(tmp_path: Path, postgresql_url: str) -> None:
    one, other = (Machine(tmp_path, name, postgresql_url) for name in "ab")
    one.serve("1")
    assert one.beat() == membership.Membership(one.heart.identity, 1)
    assert other.beat().live == 1, "it has no workers yet, and so is not counted"
    other.serve("1")
    assert (other.beat().live, one.beat().live) == (2, 2)


def test_one_that_cannot_load_what_the_others_serve_is_out_and_comes_back(tmp_path: Path, postgresql_url: str) -> None:
    good, bad = (Machine(tmp_path, name, postgresql_url) for name in "ab")
    good.serve("1")
    bad.serve("1")
    assert [bad.beat().out, good.beat().out] == ["", ""]
    refusal = Refusal("2", "altered", time.time())
    bad.serve("1", refusal)
    promoted(good.settings, "2")
    assert bad.beat().out == "", "nobody serves version 2 yet"
    good.serve("2")
    good.beat()
    assert code_of(bad.beat().out) == "connections.out_refused"
    [row] = [one for one in services.known(good.settings).services if one.id == bad.heart.identity]
    assert row.state.refused is not None
    assert row.state.refused.reason == "altered"
    bad.serve("2")
    assert bad.beat().out == ""


def test_who_is_ahead_while_a_promotion_waits_for_the_rest_stays_in(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: the ledger names the old version until all are there."""
    monkeypatch.setattr(heartbeat, "BEHIND_S", 0.0)
    machines = [Machine(tmp_path, name, postgresql_url) for name in "abc"]
    promoted(machines[0].settings, "1")
    for machine in machines:
        machine.serve("1")
        machine.beat()
    moving = ledger.append(machines[0].settings, ledger.PROMOTING, who="ann", to_version="2", to_sha256="hash of 2")
    machines[0].serve("2")
    assert [machine.beat().out for machine in machines] == ["", "", ""]
    to = {"who": "ann", "to_version": "2", "to_sha256": "hash of 2"}
    ledger.append(machines[0].settings, ledger.PROMOTION_FAILED, intention=moving, **to)
    assert code_of(machines[0].beat().out) == "connections.out_behind", "it has not gone back"


def test_one_that_comes_back_is_out_until_it_serves_the_champion(tmp_path: Path, postgresql_url: str) -> None:
    stays, back = (Machine(tmp_path, name, postgresql_url) for name in "ab")
    stays.serve("2")
    promoted(stays.settings, "2")
    stays.beat()
    back.serve("1")
    assert code_of(back.beat().out) == "connections.out_behind"
    back.serve("2")
    assert back.beat().out == ""
    promoted(stays.settings, "3")
    stays.serve("3")
    stays.beat()
    assert back.beat().out == "", "it has been there, and has time to follow"


def test_the_same_number_of_another_bundle_is_not_the_champion(tmp_path: Path, postgresql_url: str) -> None:
    good, bad = (Machine(tmp_path, name, postgresql_url) for name in "ab")
    promoted(good.settings, "2")
    good.serve("2")
    good.beat()
    bad.tell(WorkerState(os.getpid(), "2", time.time(), Refusal("2", "other", time.time()), "another"))
    assert code_of(bad.beat().out) == "connections.out_refused"


def test_another_hash_key_is_out_the_same_one_is_not(tmp_path: Path, postgresql_url: str) -> None:
    key = tmp_path / "key"
    key.write_text("secret\n")
    own = {"hash_columns": ["f1"], "hash_key_file": str(key)}
    first, same = (Machine(tmp_path, name, postgresql_url, log=own) for name in "ab")
    other = Machine(tmp_path, "c", postgresql_url, log={"hash_columns": ["f1"]})
    for one in (first, same, other):
        one.serve("1")
    assert [one.beat().out for one in (first, same)] == ["", ""]
    assert code_of(other.beat().out) == OTHER_KEY
    assert [one.beat().out for one in (first, same)] == ["", ""]


def test_it_beats_at_once_when_a_worker_swaps_and_withdraws_at_its_end(tmp_path: Path, postgresql_url: str) -> None:
    machine = Machine(tmp_path, "a", postgresql_url, **{"serving": {"heartbeat_s": 600.0}})
    machine.serve("1")
    stop = threading.Event()
    running = threading.Thread(target=machine.heart.run, args=(stop,))
    running.start()
    try:
        for version in "12":
            machine.serve(version)
            wait_for(lambda v=version: [one.versions for one in services.known(machine.settings).live] == [(v,)])
    finally:
        stop.set()
        running.join()
    assert services.known(machine.settings).services == ()


def test_a_silent_database_changes_nothing(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, "a", postgresql_url)
    machine.serve("1")
    before = machine.beat()

    def silent(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(services, "beat", silent)
    with pytest.raises(StoreUnavailable):
        machine.beat()
    assert membership.read(machine.folder) == before
