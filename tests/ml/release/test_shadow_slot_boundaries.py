"""Who waits in shadow, move by move: what each leaves in the ledger and in the registry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ml import registry
from ml.drift.verdict import Shadow
from ml.messages import message
from ml.registry import catalog, ledger
from ml.registry.ledger import Event
from ml.release import shadow_slot
from ml.release.shadow_slot import ShadowCandidate
from ml.settings import Settings, from_values
from tests.ml.registry import memory

ONE = ShadowCandidate(
    version="2", run_key="key", champion="1", since=50.0, degraded=True, challenger_beats_champion=True
)
NO_ROWS = message("gate.no_rows")
CHAMPION, OTHER = "c" * 64, "f" * 64  # hashes of bundles


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    clock = iter(range(100, 10_000, 100))
    monkeypatch.setattr(ledger, "clock", SimpleNamespace(now=lambda _: float(next(clock))))
    return memory.settings(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> memory.Registry:
    """Version 1 serves, 2 to 4 may wait."""
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    for _ in range(4):
        made.add()
    made.aliases["champion"] = "1"
    return made


def enter(own: Settings, version: str, *, degraded: bool = False, beats: bool = False, sha256: str = "") -> Event:
    return shadow_slot.enter(
        own, version, who="ann", why="because", run_key=f"key-{version}", champion="1", sha256=sha256,
        degraded=degraded, challenger_beats_champion=beats, champion_sha256=CHAMPION,
    )  # fmt: skip


def refuse(own: Settings, version: str, **more: Any) -> None:
    one = msgspec.structs.replace(ONE, version=version)
    shadow_slot.refuse(own, one, who="bob", why="no good", **more)


def rows(own: Settings) -> list[Event]:
    return ledger.events(own)[::-1]


def noted(store: memory.Registry, version: str) -> str | None:
    return store.tags(version).get(catalog.VERDICT)


def test_nobody_waits_at_first(own: Settings) -> None:
    assert shadow_slot.find(own) is None
    assert shadow_slot.any_ever(own) is False
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="1")
    assert shadow_slot.find(own) is None
    assert shadow_slot.any_ever(own) is False


def test_who_waits_is_read_from_the_newest_row(own: Settings) -> None:
    """With its own moment where the row does not bring an older one, and nothing known of the champion."""
    ledger.append(own, ledger.SHADOW, who="ann", from_version="1", to_version="2", run_key="key")
    assert shadow_slot.find(own) == ShadowCandidate(version="2", run_key="key", champion="1", since=100.0)
    known = {"since": 50, "degraded": 1, "challenger_beats_champion": 1}
    ledger.append(own, ledger.SHADOW, who="ann", from_version="1", to_version="2", run_key="key", numbers=known)
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="1")
    found = shadow_slot.find(own)
    assert found == ONE
    assert (found.degraded, found.challenger_beats_champion) == (True, True)
    assert shadow_slot.any_ever(own) is True


@pytest.mark.parametrize(
    ("what", "version", "waits"),
    [
        (ledger.REFUSED, "2", False), (ledger.PROMOTED, "2", False), (ledger.PROMOTION_FAILED, "2", True),
        (ledger.REFUSED, "3", True), (ledger.PROMOTED, "3", True),
    ],
)  # fmt: skip
def test_a_wait_ends_with_its_own_refusal_or_promotion(own: Settings, what: str, version: str, waits: bool) -> None:
    """A move that failed may be tried again; another version's end is not its own."""
    ledger.append(own, what, who="ann", to_version="2")  # before it came: of another time
    ledger.append(own, ledger.SHADOW, who="ann", from_version="1", to_version="2")
    ledger.append(own, what, who="ann", to_version=version)
    assert (shadow_slot.find(own) is not None) is waits
    assert shadow_slot.any_ever(own) is True


def test_it_enters_with_what_is_known(own: Settings, store: memory.Registry) -> None:
    """The ledger's row is the answer, the alias follows."""
    event = enter(own, "2", degraded=True)
    assert [event] == rows(own)
    assert event == Event(
        id=event.id, time=100.0, who="ann", what=ledger.SHADOW, from_version="1", to_version="2", why="because",
        from_sha256=CHAMPION, run_key="key-2", model_name="M",
        numbers={"degraded": True, "challenger_beats_champion": False},
    )  # fmt: skip
    assert store.aliases == {"champion": "1", "shadow": "2"}
    assert shadow_slot.find(own) == ShadowCandidate(
        version="2", run_key="key-2", champion="1", champion_sha256=CHAMPION, since=100.0, degraded=True
    )
    assert noted(store, "2") is None


def test_it_enters_with_the_other_that_is_known(own: Settings, store: memory.Registry) -> None:
    enter(own, "3", beats=True)
    assert rows(own)[0].numbers == {"degraded": False, "challenger_beats_champion": True}


def test_entering_again_finds_the_first(own: Settings, store: memory.Registry) -> None:
    """Waiting still, and with the alias put right."""
    first = enter(own, "2")
    del store.aliases["shadow"]
    assert enter(own, "2", degraded=True) == first
    assert rows(own) == [first]
    assert store.aliases["shadow"] == "2"


@pytest.mark.parametrize(("older", "newer"), [(False, False), (True, False), (True, True)])
def test_the_first_comes_first(own: Settings, store: memory.Registry, older: bool, newer: bool) -> None:
    """The refusal of the second is its own row: not held against its quality, and noted at the version."""
    enter(own, "2", degraded=older)
    event = enter(own, "3", degraded=newer)
    assert event == rows(own)[-1]
    assert (event.what, event.who, event.from_version, event.to_version, event.run_key) == (
        ledger.REFUSED, "ann", "1", "3", "key-3",
    )  # fmt: skip
    assert event.numbers == {"shadow": True, shadow_slot.UNJUDGED: True}
    assert event.message == message("release.shadow_taken", version="2")
    assert (noted(store, "3"), noted(store, "2")) == ("refused", None)
    assert store.aliases["shadow"] == "2"
    del store.tags("3")[catalog.VERDICT]
    assert enter(own, "3") == event, "asked again, it is not written again"
    assert len(rows(own)) == 2
    assert noted(store, "3") == "refused", "but noted, which may have been missed"
    assert store.tags("3")[catalog.SENTENCE] == event.why


def test_one_that_knows_of_the_degraded_champion_takes_the_place(own: Settings, store: memory.Registry) -> None:
    """The older one's refusal comes first, then the new row."""
    enter(own, "2")
    event = enter(own, "3", degraded=True)
    _, refused, entered = rows(own)
    assert (refused.what, refused.who, refused.from_version, refused.to_version) == (ledger.REFUSED, "ann", "1", "2")
    assert (refused.run_key, refused.numbers) == ("key-2", {"shadow": True, shadow_slot.UNJUDGED: True})
    assert refused.message == message("release.shadow_replaced", version="3")
    assert event == entered
    assert (entered.what, entered.to_version, entered.why) == (ledger.SHADOW, "3", "because")
    assert store.aliases["shadow"] == "3"
    assert (noted(store, "2"), noted(store, "3")) == ("refused", None)
    assert store.tags("2")[catalog.SENTENCE] == refused.why


def test_entering_after_the_end_finds_how_it_ended(own: Settings, store: memory.Registry) -> None:
    """Refused or promoted; whatever else the ledger says of it and of others before or after."""
    enter(own, "2")
    refuse(own, "2")
    enter(own, "3")
    ended = enter(own, "2")
    assert (ended.what, ended.who, len(rows(own))) == (ledger.REFUSED, "bob", 3)
    shadow_slot.found_serving(own, msgspec.structs.replace(ONE, version="3"), who="bob")
    ledger.append(own, ledger.REFUSED, who="eve", to_version="4")
    assert enter(own, "3").what == ledger.PROMOTED
    assert len(rows(own)) == 5
    assert "shadow" not in store.aliases


def test_a_refusal_by_the_gate_is_no_past_in_shadow(own: Settings, store: memory.Registry) -> None:
    """A version may be refused at first and wait later, by a person's wish."""
    ledger.append(own, ledger.REFUSED, who="eve", to_version="2")
    assert enter(own, "2").what == ledger.SHADOW
    ledger.append(own, ledger.REGISTERED, who="eve", to_version="3")
    assert shadow_slot.find(own) is not None


def test_a_move_of_the_slot_holds_its_lock(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the look at who waits to the alias."""
    held, seen = memory.watch_locks(monkeypatch), list[list[str]]()
    whole = registry.set_shadow

    def set_shadow(settings: Settings, number: str) -> None:
        seen.append([*held])
        whole(settings, number)

    monkeypatch.setattr(registry, "set_shadow", set_shadow)
    enter(own, "2")
    assert seen == [["shadow"]]
    assert shadow_slot.LOCK == "shadow"


def test_waiting_on_keeps_the_clock(own: Settings) -> None:
    """Against another champion, of which nothing is known yet."""
    one = msgspec.structs.replace(ONE, sha256=OTHER, champion_sha256="1" * 64)
    shadow_slot.again(own, one, who="bob", champion="7", sha256=CHAMPION)
    (event,) = rows(own)
    assert (event.what, event.who, event.to_version, event.run_key) == (ledger.SHADOW, "bob", "2", "key")
    assert (event.from_sha256, event.to_sha256) == (CHAMPION, OTHER)
    assert event.numbers == {"since": 50.0, "degraded": False, "challenger_beats_champion": False}
    assert event.message == message("release.shadow_other_champion", version="7")
    assert shadow_slot.find(own) == ShadowCandidate(
        version="2", run_key="key", champion="7", champion_sha256=CHAMPION, sha256=OTHER, since=50.0
    )


def test_one_that_serves_by_hand_has_ended(own: Settings) -> None:
    """With the champion that it waited beside as the one before."""
    shadow_slot.found_serving(own, msgspec.structs.replace(ONE, champion_sha256=CHAMPION), who="bob")
    (event,) = rows(own)
    assert (event.what, event.who, event.from_version, event.to_version) == (ledger.PROMOTED, "bob", "1", "2")
    assert event.from_sha256 == CHAMPION
    assert (event.run_key, event.numbers) == ("key", {})
    assert event.message == message("release.shadow_alias_found_set")


FIGURES = {"rows": 120, "needed": 100, "accuracy": 0.9, "champion_accuracy": 0.8, "agreement": 0.7}


@pytest.mark.parametrize(
    ("more", "numbers"),
    [
        ({}, {}),
        ({"reasons": [NO_ROWS]}, {"reasons": [NO_ROWS.text], "codes": [NO_ROWS.code]}),
        ({"unjudged": True}, {"unjudged": True}),
        ({"counted": Shadow(version="2", champion="1", since=50.0, **FIGURES)}, FIGURES),
    ],
    ids=["bare", "reasons", "unjudged", "counted"],
)
def test_a_refusal_keeps_what_it_rests_on(own: Settings, more: dict[str, Any], numbers: dict[str, Any]) -> None:
    """And that it was one in shadow."""
    one = msgspec.structs.replace(ONE, sha256=OTHER, champion_sha256=CHAMPION)
    shadow_slot.refuse(own, one, who="bob", why="no good", **more)
    (event,) = rows(own)
    assert (event.what, event.who, event.why, event.run_key) == (ledger.REFUSED, "bob", "no good", "key")
    assert (event.from_version, event.to_version) == ("1", "2")
    assert (event.from_sha256, event.to_sha256) == (CHAMPION, OTHER)
    assert event.numbers == {"shadow": True, **numbers}


@pytest.mark.parametrize(("rows", "least", "needed"), [(50, 100, 100), (100, 100, 100), (300, 100, 300)])
def test_needed_is_never_fewer_than_the_gate_judges_on(tmp_path: Path, rows: int, least: int, needed: int) -> None:
    own = from_values({"home": str(tmp_path), "gate": {"shadow_rows": rows, "min_rows": least}})
    assert shadow_slot.needed(own) == needed


def test_the_alias_that_is_left_gets_its_verdict(own: Settings, store: memory.Registry) -> None:
    """Where a process was killed between the ledger and MLflow."""
    enter(own, "2")
    refuse(own, "2")
    shadow_slot.follow(own)
    assert (noted(store, "2"), store.tags("2")[catalog.SENTENCE]) == ("refused", "no good")
    assert "shadow" not in store.aliases


@pytest.mark.parametrize("promoted", [False, True])
def test_an_alias_that_is_left_without_a_refusal_gets_none(
    own: Settings, store: memory.Registry, promoted: bool
) -> None:
    """Set by hand, or left to serve."""
    enter(own, "2")
    if promoted:
        shadow_slot.found_serving(own, ONE, who="bob")
    else:
        store.aliases["shadow"] = "3"
    shadow_slot.follow(own)
    assert (noted(store, "2"), noted(store, "3")) == (None, None)
    assert store.aliases.get("shadow", "") == ("" if promoted else "2")


def test_the_one_that_waits_is_not_noted_as_refused(own: Settings, store: memory.Registry) -> None:
    """Though it was once: it came again, against another champion."""
    enter(own, "2")
    refuse(own, "2")
    shadow_slot.again(own, ONE, who="bob", champion="1", sha256="")
    shadow_slot.follow(own)
    assert noted(store, "2") is None
    assert store.aliases["shadow"] == "2"


@pytest.mark.parametrize("bad", ["another", "deleted"])
def test_the_alias_never_names_another_registrys_version(own: Settings, store: memory.Registry, bad: str) -> None:
    """What waits is told by its hash; the number alone is this registry's of another model, or of none."""
    enter(own, "2", sha256=store.tags("2")[registry.SHA256])
    assert store.aliases["shadow"] == "2"
    if bad == "another":
        store.tags("2")[registry.SHA256] = OTHER
    else:
        store.delete("2")
    shadow_slot.follow(own)
    assert store.aliases == {"champion": "1"}
    assert shadow_slot.find(own) is not None, "the next look refuses it, and says why"


def test_what_happened_to_another_registrys_version_of_the_number_is_not_its_own(
    own: Settings, store: memory.Registry
) -> None:
    """Neither when it comes, nor while it waits, nor when the alias leaves it."""
    here, another = store.tags("2")[registry.SHA256], msgspec.structs.replace(ONE, sha256=OTHER)
    shadow_slot.refuse(own, another, who="bob", why="no good", counted=Shadow(version="2", champion="1"))
    assert enter(own, "2", sha256=here).what == ledger.SHADOW
    shadow_slot.refuse(own, another, who="bob", why="no good")
    waits = shadow_slot.find(own)
    assert waits is not None
    assert waits.sha256 == here
    shadow_slot.found_serving(own, waits, who="bob")
    store.aliases["shadow"] = "2"
    shadow_slot.follow(own)
    assert noted(store, "2") is None
