"""Promotion and rollback, case by case: what moves, what is put back, and what each row of the ledger holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from ml import registry
from ml.errors import BundleError, ChampionChanged, PromotionError, RegistryError
from ml.messages import Message, message
from ml.registry import contract, ledger, outside_moves, promotion
from ml.registry.ledger import Event
from ml.registry.rollout import Confirmation
from ml.settings import Settings
from tests.ml.registry import memory

DONE = {"workers": 3, "confirmation": "by three"}


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return memory.settings(tmp_path / "home")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, own: Settings, tmp_path: Path) -> memory.Registry:
    """Three versions, none of which serves."""
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    for _ in range(3):
        made.add()
    return made


def agree(settings: Settings, version: str) -> Confirmation:
    """Asked of the version that the alias points at by now, with the settings of the call."""
    found = registry.champion(settings)
    assert found is not None
    assert found.version == version
    return Confirmation(("here",), 3, "by three")


def refuse(settings: Settings, version: str) -> Confirmation:
    agree(settings, version)
    raise PromotionError("out of memory")


class Killed(BaseException):
    """Stands for SIGKILL."""


def die(settings: Settings, version: str) -> Confirmation:
    raise Killed


def promote(own: Settings, number: Any, confirm: registry.Confirm = agree, **more: Any) -> Event:
    return registry.promote(
        own, number, **{"who": "ann", "why": "because", "run_key": "key", **more}, confirm_with=confirm
    )


def rollback(own: Settings, to: str | None = None, confirm: registry.Confirm = agree) -> Event:
    return registry.rollback(own, to, who="bob", why="complaints", confirm_with=confirm)


def serve(own: Settings, *numbers: str) -> None:
    for number in numbers:
        promote(own, number)


def rows(own: Settings) -> list[Event]:
    """The whole ledger, oldest first, intentions and all."""
    kinds = (*ledger.INTENTIONS, *ledger.SERVED, *OTHERS)
    return ledger.events(own, what=kinds)[::-1]


OTHERS = (
    ledger.REGISTERED, ledger.REFUSED, ledger.PROMOTION_FAILED, ledger.ROLLBACK_FAILED, ledger.QUARANTINED,
    ledger.RELEASED,
)  # fmt: skip


def hash_of(store: memory.Registry, version: str) -> str:
    return store.tags(version)[registry.SHA256]


def named(version: str) -> Message:
    return message("release.version", number=version) if version else message("release.no_version")


def moved(event: Event) -> tuple[str, str, str]:
    return event.what, event.from_version, event.to_version


def test_a_promotion_is_two_rows(own: Settings, store: memory.Registry) -> None:
    """The intention before, the outcome after, which names it and has the figures; both say who, why and which run."""
    event = promote(own, "1", numbers={"gain": 0.5})
    intention, outcome = rows(own)
    assert moved(intention) == (ledger.PROMOTING, "", "1")
    assert event == outcome
    assert moved(outcome) == (ledger.PROMOTED, "", "1")
    assert (outcome.intention, intention.intention) == (intention.id, None)
    assert (intention.numbers, outcome.numbers) == ({}, {"gain": 0.5, **DONE})
    assert {(e.who, e.why, e.run_key) for e in (intention, outcome)} == {("ann", "because", "key")}
    assert store.aliases == {"champion": "1"}


def test_the_second_knows_the_first(own: Settings, store: memory.Registry) -> None:
    """Given as a number, without a run and without figures, it is the same move; `previous` is what it replaced."""
    serve(own, "1")
    event = registry.promote(own, 2, who="ann", why="because", confirm_with=agree)  # type: ignore[arg-type]
    assert moved(event) == (ledger.PROMOTED, "1", "2")
    assert (event.run_key, event.numbers) == ("", DONE)
    assert store.aliases == {"champion": "2", "previous": "1"}


def test_a_move_is_made_under_one_lock(own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promotions, rollbacks and what was cut short hold the same one."""
    held, seen = memory.watch_locks(monkeypatch), list[list[str]]()

    def look(settings: Settings, version: str) -> Confirmation:
        seen.append([*held])
        return agree(settings, version)

    promote(own, "1", look)
    promote(own, "2", look)
    rollback(own, confirm=look)
    with pytest.raises(Killed):
        promote(own, "3", die)
    registry.reconcile(own, look)
    assert seen == [[promotion.LOCK]] * 4
    assert promotion.LOCK == "promotion"


def test_the_champion_again_is_answered_with_its_own_event(own: Settings, store: memory.Registry) -> None:
    """The newest that made it serve, whatever came since; nothing is written."""
    serve(own, "1", "2")
    back = rollback(own)
    ledger.append(own, ledger.REFUSED, who="eve", to_version="1")
    before = rows(own)
    assert promote(own, "1") == back
    assert rows(own) == before


def test_an_alias_that_was_set_by_hand_comes_into_the_ledger(own: Settings, store: memory.Registry) -> None:
    """As a move that was made in MLflow's registry, from what served; asking for it again is answered with that."""
    serve(own, "1")
    store.aliases["champion"] = "3"
    event = promote(own, "3")
    assert moved(event) == (ledger.PROMOTED, "", "3")
    assert (event.who, event.run_key, event.intention) == ("ann", "key", None)
    assert event.message == message("release.alias_found_set", reason="because")
    assert promote(own, "3") == event


@pytest.mark.parametrize(("served", "expected"), [((), "1"), (("1",), ""), (("1", "2"), "1")])
def test_another_champion_than_expected_refuses(
    own: Settings, store: memory.Registry, served: tuple[str, ...], expected: str
) -> None:
    """And is told from any other refusal; the ledger has it, the alias stays."""
    serve(own, *served)
    serves = served[-1] if served else ""
    with pytest.raises(ChampionChanged) as caught:
        promote(own, "3", expected_champion=expected)
    newest = rows(own)[-1]
    assert newest.message == caught.value.message
    assert caught.value.message == message(
        "release.champion_changed", version="3", old=named(expected), now=named(serves)
    )
    assert moved(newest) == (ledger.REFUSED, serves, "3")
    assert (newest.who, newest.run_key, newest.intention) == ("ann", "key", None)
    assert store.aliases.get("champion", "") == serves


@pytest.mark.parametrize(("served", "expected"), [((), ""), ((), None), (("1",), "1"), (("1",), None)])
def test_the_expected_champion_lets_it_pass(
    own: Settings, store: memory.Registry, served: tuple[str, ...], expected: str | None
) -> None:
    """None is a person's decision, who looked."""
    serve(own, *served)
    assert promote(own, "3", expected_champion=expected).what == ledger.PROMOTED


def test_a_champion_of_the_expected_number_and_another_bundle_refuses(own: Settings, store: memory.Registry) -> None:
    """Another registry has the number too; the sentence does not say that the version gave way to itself."""
    serve(own, "1")
    with pytest.raises(ChampionChanged) as caught:
        promote(own, "3", expected_champion="1", expected_sha256="f" * 64)
    newest = rows(own)[-1]
    assert caught.value.message == message("release.champion_another", version="3", old="1")
    assert (newest.what, newest.message) == (ledger.REFUSED, caught.value.message)
    assert (newest.from_sha256, newest.to_sha256) == (hash_of(store, "1"), hash_of(store, "3"))
    assert promote(own, "3", expected_champion="1", expected_sha256=hash_of(store, "1")).what == ledger.PROMOTED


@pytest.mark.parametrize("served", [(), ("1",), ("3",)])
def test_another_bundle_than_the_judged_one_is_not_promoted(
    own: Settings, store: memory.Registry, served: tuple[str, ...]
) -> None:
    """Nor said to serve already: the judged one is another registry's version of this number."""
    serve(own, *served)
    before, aliases = rows(own), dict(store.aliases)
    with pytest.raises(RegistryError) as caught:
        promote(own, "3", sha256="f" * 64)
    assert caught.value.message == message("release.other_bundle", version="3")
    assert (rows(own), store.aliases) == (before, aliases)
    assert promote(own, "3", sha256=hash_of(store, "3")).what == ledger.PROMOTED


def test_the_way_back_finds_this_registrys_version_behind_another_of_its_number(
    own: Settings, store: memory.Registry
) -> None:
    serve(own, "1")
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="1", to_sha256="f" * 64)  # served since, of another one
    store.aliases["champion"] = "2"
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="2", to_sha256=hash_of(store, "2"))
    assert moved(rollback(own)) == (ledger.ROLLED_BACK, "2", "1")


def test_a_quarantined_version_needs_force(own: Settings, store: memory.Registry) -> None:
    """The refusal is in the ledger; with force the quarantine is lifted, by who promotes and before the move."""
    serve(own, "1")
    registry.quarantine(own, "2", who="eve", why="a wrong column")
    quarantined = rows(own)[-1]
    assert moved(quarantined) == (ledger.QUARANTINED, "2", "")
    assert (quarantined.who, quarantined.why, quarantined.run_key) == ("eve", "a wrong column", "")
    assert quarantined.from_sha256 == hash_of(store, "2")
    assert store.tags("2")[registry.QUARANTINED] == "a wrong column"
    with pytest.raises(PromotionError) as caught:
        promote(own, "2")
    refused = rows(own)[-1]
    assert refused.message == caught.value.message
    assert refused.message == message("release.quarantined_needs_force", version="2", reason="a wrong column")
    assert moved(refused) == (ledger.REFUSED, "1", "2")
    assert (refused.who, refused.run_key) == ("ann", "key")
    assert (refused.from_sha256, refused.to_sha256) == (hash_of(store, "1"), hash_of(store, "2"))
    assert store.aliases == {"champion": "1"}
    promote(own, "2", force=True)
    released, intention, outcome = rows(own)[-3:]
    assert moved(released) == (ledger.RELEASED, "2", "")
    assert (released.who, released.why, released.run_key) == ("ann", "because", "")
    assert released.from_sha256 == hash_of(store, "2")
    assert [intention.what, outcome.what] == [ledger.PROMOTING, ledger.PROMOTED]
    assert registry.QUARANTINED not in store.tags("2")


def test_a_quarantine_without_a_reason_is_one(own: Settings, store: memory.Registry) -> None:
    """MLflow takes no empty tag for one."""
    registry.quarantine(own, "2", who="eve", why="")
    assert registry.version(own, "2").quarantined == "yes"
    with pytest.raises(PromotionError):
        promote(own, "2")
    registry.release(own, "2", who="eve", why="looked at it")
    assert (rows(own)[-1].what, rows(own)[-1].why) == (ledger.RELEASED, "looked at it")
    assert promote(own, "2").what == ledger.PROMOTED


@pytest.mark.parametrize("move", [lambda own: promote(own, "3", force=True), lambda own: rollback(own, "3")])
def test_what_does_not_load_changes_nothing(
    own: Settings, store: memory.Registry, move: Callable[[Settings], Event]
) -> None:
    """Not the aliases, not the ledger, not its quarantine."""
    serve(own, "1")
    registry.quarantine(own, "3", who="eve", why="bad")
    before, aliases = rows(own), dict(store.aliases)
    store.damage("3")
    with pytest.raises(BundleError):
        move(own)
    assert (rows(own), store.aliases) == (before, aliases)
    assert registry.version(own, "3").quarantined == "bad"


def test_what_hashes_otherwise_is_not_loaded(own: Settings, store: memory.Registry) -> None:
    """A whole bundle of another version is not this one."""
    store.add(slope=5.0)
    store.tags("4")[registry.SHA256] = store.tags("3")[registry.SHA256]
    with pytest.raises(BundleError):
        promote(own, "4")


def test_examples_that_are_not_repeated_change_nothing(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle may hash to what it should and still give other numbers on this machine."""

    def differs(_: Any) -> float:
        raise BundleError("other numbers")

    monkeypatch.setattr(promotion.Bundle, "self_check", differs)
    with pytest.raises(BundleError):
        promote(own, "1")
    assert rows(own) == []


@pytest.mark.parametrize("served", [(), ("1",)])
def test_what_is_not_confirmed_is_put_back(own: Settings, store: memory.Registry, served: tuple[str, ...]) -> None:
    """The outcome has the figures of the call and the cause behind the reason; the error keeps its cause."""
    serve(own, *served)
    serves = served[-1] if served else ""
    with pytest.raises(PromotionError) as caught:
        promote(own, "2", refuse, numbers={"gain": 0.5})
    assert isinstance(caught.value.__cause__, PromotionError)
    intention, outcome = rows(own)[-2:]
    assert moved(outcome) == (ledger.PROMOTION_FAILED, serves, "2")
    assert (outcome.intention, outcome.numbers, outcome.run_key) == (intention.id, {"gain": 0.5}, "key")
    assert outcome.message == message("release.failed", why="because", error="out of memory")
    assert caught.value.message == message("release.serves_on", error="out of memory", old=named(serves))
    assert store.aliases == ({"champion": serves} if serves else {})


def test_a_rollback_quarantines_what_it_leaves(own: Settings, store: memory.Registry) -> None:
    """Two rows of its own, the quarantine between them; `previous` is never what was just left."""
    serve(own, "1", "2")
    event = rollback(own)
    intention, quarantined, outcome = rows(own)[-3:]
    assert moved(intention) == (ledger.ROLLING_BACK, "2", "1")
    assert moved(quarantined) == (ledger.QUARANTINED, "2", "")
    assert event == outcome
    assert moved(outcome) == (ledger.ROLLED_BACK, "2", "1")
    assert (outcome.intention, outcome.numbers) == (intention.id, DONE)
    assert {(e.who, e.run_key) for e in (intention, quarantined, outcome)} == {("bob", "")}
    assert {e.why for e in (intention, outcome)} == {"complaints"}
    assert quarantined.message == message("release.rolled_back", version="1", reason="complaints")
    assert registry.version(own, "2").quarantined == quarantined.message
    assert store.aliases == {"champion": "1"}


def test_previous_is_what_served_before_the_one_that_serves_again(own: Settings, store: memory.Registry) -> None:
    """Of three, after a step back, the first."""
    serve(own, "1", "2", "3")
    rollback(own)
    assert store.aliases == {"champion": "2", "previous": "1"}


def test_a_rollback_to_a_named_version(own: Settings, store: memory.Registry) -> None:
    """Also to one that never served; a second step goes to what served before the one that was left."""
    serve(own, "1", "2")
    assert moved(rollback(own, "3")) == (ledger.ROLLED_BACK, "2", "3")
    assert store.aliases == {"champion": "3", "previous": "1"}


def test_previous_is_not_what_was_left_where_nothing_else_served(own: Settings, store: memory.Registry) -> None:
    serve(own, "1")
    rollback(own, "3")
    assert store.aliases == {"champion": "3"}


@pytest.mark.parametrize(
    ("served", "why"),
    [((), message("release.no_champion")), (("1",), message("release.nothing_to_go_back_to", version="1"))],
    ids=["no champion", "no other"],
)
def test_nothing_to_go_back_to(own: Settings, store: memory.Registry, served: tuple[str, ...], why: Message) -> None:
    """Is a refusal, and writes nothing."""
    serve(own, *served)
    before = rows(own)
    with pytest.raises(PromotionError) as caught:
        rollback(own)
    assert (rows(own), caught.value.message) == (before, why)


def test_a_rollback_to_the_champion_is_refused(own: Settings, store: memory.Registry) -> None:
    serve(own, "1", "2")
    before = rows(own)
    with pytest.raises(PromotionError) as caught:
        rollback(own, "2")
    assert caught.value.message == message("release.champion_already", version="2")
    assert (rows(own), store.aliases["champion"]) == (before, "2")


def test_the_way_back_passes_over_what_is_gone_or_quarantined(own: Settings, store: memory.Registry) -> None:
    """One after the other, to the first that may serve."""
    store.add()
    serve(own, "1", "2", "3", "4")
    store.delete("3")
    registry.quarantine(own, "2", who="eve", why="bad")
    assert moved(rollback(own)) == (ledger.ROLLED_BACK, "4", "1")


@pytest.mark.parametrize("bad", ["deleted", "quarantined"])
def test_previous_is_one_that_may_serve(own: Settings, store: memory.Registry, bad: str) -> None:
    """MLflow takes no alias of a version that is gone: the move would never end, nor any after it."""
    store.add()
    serve(own, "1", "2", "3", "4")
    if bad == "deleted":
        store.delete("2")
    else:
        registry.quarantine(own, "2", who="eve", why="bad")
    rollback(own)
    assert store.aliases == {"champion": "3", "previous": "1"}
    assert registry.reconcile(own, agree) is None


def test_a_rollback_that_is_not_confirmed_is_put_back(own: Settings, store: memory.Registry) -> None:
    """And quarantines nothing."""
    serve(own, "1", "2")
    with pytest.raises(PromotionError):
        rollback(own, confirm=refuse)
    assert moved(rows(own)[-1]) == (ledger.ROLLBACK_FAILED, "2", "1")
    assert rows(own)[-1].numbers == {}
    assert registry.version(own, "2").quarantined == ""
    assert store.aliases == {"champion": "2", "previous": "1"}


def test_nothing_cut_short_is_nothing_to_reconcile(own: Settings, store: memory.Registry) -> None:
    serve(own, "1")
    assert registry.reconcile(own, agree) is None


@pytest.mark.parametrize(
    ("confirm", "what", "serves"), [(agree, ledger.PROMOTED, "2"), (refuse, ledger.PROMOTION_FAILED, "1")]
)
def test_a_move_whose_alias_moved_is_ended_by_the_next_caller(
    own: Settings, store: memory.Registry, confirm: registry.Confirm, what: str, serves: str
) -> None:
    """As the service says now; the outcome knows that it was interrupted."""
    serve(own, "1")
    with pytest.raises(Killed):
        promote(own, "2", die)
    intention = rows(own)[-1]
    event = registry.reconcile(own, confirm)
    assert event is not None
    assert event == rows(own)[-1]
    assert (moved(event), event.intention) == ((what, "1", "2"), intention.id)
    assert event.numbers["interrupted"] is True
    assert (event.who, event.run_key, store.aliases["champion"]) == ("ann", "key", serves)


@pytest.mark.parametrize("served", [(), ("1",)])
def test_a_move_whose_version_is_another_by_now_is_taken_back(
    own: Settings, store: memory.Registry, served: tuple[str, ...]
) -> None:
    """The registry tells another hash of it: it is not what was judged, and nobody moved the alias there by hand."""
    serve(own, *served)
    with pytest.raises(Killed):
        promote(own, "2", die)
    mine, store.tags("2")[registry.SHA256] = store.tags("2")[registry.SHA256], "0" * 64
    event = registry.reconcile(own, agree)
    assert event is not None
    serves = served[-1] if served else ""
    assert moved(event) == (ledger.PROMOTION_FAILED, serves, "2")
    assert event.message == message("release.other_bundle", version="2")
    assert store.aliases.get("champion", "") == serves
    store.tags("2")[registry.SHA256] = mine
    assert outside_moves.notice(own) is None


def test_a_rollback_cut_short_that_is_not_confirmed_afterwards_lifts_its_quarantine(
    own: Settings, store: memory.Registry
) -> None:
    serve(own, "1", "2")
    dies_late = mock.Mock(side_effect=[registry.version(own, "1"), Killed])
    with mock.patch.object(promotion, "before", dies_late), pytest.raises(Killed):
        rollback(own)
    assert registry.version(own, "2").quarantined
    registry.reconcile(own, refuse)
    assert (store.aliases["champion"], registry.version(own, "2").quarantined) == ("2", "")


@pytest.mark.parametrize("served", [(), ("1",)])
def test_a_move_whose_alias_did_not_move_is_closed(
    own: Settings, store: memory.Registry, served: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As failed, whoever serves."""
    serve(own, *served)
    serves = served[-1] if served else ""
    ledger.append(own, ledger.PROMOTING, who="ann", why="w", from_version=serves, to_version="2", run_key="key")
    event = registry.reconcile(own, refuse)
    assert event is not None
    assert moved(event) == (ledger.PROMOTION_FAILED, serves, "2")
    assert (event.who, event.run_key, event.numbers) == ("ann", "key", {})
    assert event.message == message("release.interrupted")
    assert store.aliases.get("champion", "") == serves


@pytest.mark.parametrize("again", [lambda own: promote(own, "2"), lambda own: rollback(own)])
def test_every_move_ends_first_what_was_cut_short(
    own: Settings, store: memory.Registry, again: Callable[[Settings], Event]
) -> None:
    """With the caller's own way of asking the service."""
    serve(own, "1")
    with pytest.raises(Killed):
        promote(own, "2", die)
    again(own)
    kinds = [e.what for e in rows(own)]
    assert kinds[2:4] == [ledger.PROMOTING, ledger.PROMOTED]


@pytest.mark.parametrize("other", [None, -1])
def test_an_intention_that_is_not_in_the_ledger_moves_nothing(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, other: int | None
) -> None:
    """The lock makes it impossible; where it happens, the alias stays."""
    whole = ledger.open_intention

    def changed(settings: Settings) -> Event | None:
        found = whole(settings)
        return msgspec.structs.replace(found, id=other) if found and other else None

    monkeypatch.setattr(ledger, "open_intention", changed)
    with pytest.raises(RegistryError):
        promote(own, "1")
    assert store.aliases == {}


GONE = message("gate.columns_gone", names="score")


def another_contract(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """The version `number` lacks a column that the others have."""

    def changes(settings: Settings, old: registry.VersionInfo, new: registry.VersionInfo) -> list[Message]:
        assert settings.registry.tracking_uri == memory.URI
        return [GONE] if (old.version == number) != (new.version == number) else []

    for module in (contract, promotion):
        monkeypatch.setattr(module, "changes", changes)


def borders(own: Settings) -> list[Event]:
    return ledger.events(own, what=[ledger.NEW_CONTRACT])


def test_another_contract_is_refused(own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is in the ledger, and says what callers would feel."""
    another_contract(monkeypatch, "2")
    serve(own, "1")
    with pytest.raises(PromotionError) as caught:
        promote(own, "2")
    refused = rows(own)[-1]
    assert caught.value.message == message("release.changes_contract", version="2", changes=[GONE])
    assert refused.message == caught.value.message
    assert moved(refused) == (ledger.REFUSED, "1", "2")
    assert (refused.who, refused.run_key) == ("ann", "key")
    assert (refused.from_sha256, refused.to_sha256) == (hash_of(store, "1"), hash_of(store, "2"))
    assert (store.aliases, borders(own)) == ({"champion": "1"}, [])


@pytest.mark.parametrize("permission", ["across", "force"])
def test_across_a_contract_there_is_no_previous(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, permission: str
) -> None:
    """And a row of its own names the move and who made it."""
    another_contract(monkeypatch, "3")
    serve(own, "1", "2")
    event = promote(own, "3", **{permission: True})
    assert moved(event) == (ledger.PROMOTED, "2", "3")
    assert store.aliases == {"champion": "3"}
    (border,) = borders(own)
    assert moved(border) == (ledger.NEW_CONTRACT, "2", "3")
    assert (border.who, border.numbers["move"]) == ("ann", event.id)
    assert border.message == message("release.contract", changes=[GONE])


def test_a_rollback_crosses_a_contract_by_name_and_force(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without either it is refused, and nothing is written."""
    another_contract(monkeypatch, "2")
    serve(own, "1")
    promote(own, "2", across=True)
    before = rows(own)
    with pytest.raises(PromotionError) as unnamed:
        rollback(own)
    assert unnamed.value.message == message("release.nothing_within_contract", version="2", other="1", changes=[GONE])
    with pytest.raises(PromotionError) as unforced:
        rollback(own, "1")
    assert unforced.value.message == message("release.changes_contract", version="1", changes=[GONE])
    assert rows(own) == before
    event = registry.rollback(own, "1", who="bob", why="complaints", force=True, confirm_with=agree)
    assert (moved(event), event.numbers) == ((ledger.ROLLED_BACK, "2", "1"), DONE)
    assert (moved(borders(own)[0]), borders(own)[0].who) == ((ledger.NEW_CONTRACT, "2", "1"), "bob")
    assert store.aliases == {"champion": "1"}


@pytest.mark.parametrize("bad", ["deleted", "quarantined"])
def test_what_cannot_serve_is_not_offered_across_a_contract(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    another_contract(monkeypatch, "2")
    serve(own, "1")
    promote(own, "2", across=True)
    if bad == "deleted":
        store.delete("1")
    else:
        registry.quarantine(own, "1", who="eve", why="bad")
    with pytest.raises(PromotionError) as caught:
        rollback(own)
    assert caught.value.message == message("release.nothing_to_go_back_to", version="2")


def test_a_move_across_a_contract_that_was_cut_short_is_ended_as_one(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`previous` points at none, and the ledger has the border."""
    another_contract(monkeypatch, "2")
    serve(own, "1")
    with pytest.raises(Killed):
        promote(own, "2", die, across=True)
    registry.reconcile(own, agree)
    assert store.aliases == {"champion": "2"}
    assert [moved(border) for border in borders(own)] == [(ledger.NEW_CONTRACT, "1", "2")]


def test_the_contract_is_that_of_what_really_serves(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of what the alias was set to by hand and no service could load."""
    another_contract(monkeypatch, "2")
    serve(own, "1")
    store.damage("2")
    store.aliases["champion"] = "2"
    assert moved(promote(own, "3")) == (ledger.PROMOTED, "2", "3")
    assert borders(own) == []


def test_an_alias_that_was_lost_is_set_again(own: Settings, store: memory.Registry) -> None:
    """The version is nobody's predecessor, least of all its own."""
    serve(own, "1", "2")
    del store.aliases["champion"]
    event = promote(own, "2")
    assert moved(event) == (ledger.PROMOTED, "", "2")
    assert (event.from_sha256, event.to_sha256) == ("", hash_of(store, "2"))
    assert store.aliases == {"champion": "2", "previous": "1"}


def test_what_was_deleted_meanwhile_is_not_put_back(own: Settings, store: memory.Registry) -> None:
    """The alias points at none then."""
    serve(own, "1")

    def delete_and_refuse(settings: Settings, version: str) -> Confirmation:
        store.delete("1")
        return refuse(settings, version)

    with pytest.raises(PromotionError):
        promote(own, "2", delete_and_refuse)
    assert store.aliases == {}


def test_an_alias_that_was_set_by_hand_may_be_the_ledgers_first_row(own: Settings, store: memory.Registry) -> None:
    store.aliases["champion"] = "1"
    assert moved(promote(own, "1")) == (ledger.PROMOTED, "", "1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Of whom it was asked what callers would feel: the version that serves, the new one, the former's hash."""
    seen, whole = list[tuple[str, str, str]](), promotion.border

    def border(settings: Settings, old: str, info: registry.VersionInfo, old_sha256: str = "") -> list[Message]:
        seen.append((old, info.version, old_sha256))
        return whole(settings, old, info, old_sha256)

    monkeypatch.setattr(promotion, "border", border)
    return seen


def test_what_callers_would_feel_is_asked_of_the_bundle_that_serves(
    own: Settings, store: memory.Registry, asked: list[tuple[str, str, str]]
) -> None:
    """Also by who ends a move that was cut short."""
    serve(own, "1")
    assert rows(own)[0].from_sha256 == rows(own)[1].from_sha256 == ""
    with pytest.raises(Killed):
        promote(own, "2", die)
    assert asked.pop() == ("1", "2", hash_of(store, "1"))
    asked.clear()
    registry.reconcile(own, agree)
    assert asked == [("1", "2", hash_of(store, "1"))]


def test_an_alias_on_another_bundle_of_the_number_is_not_the_move_that_was_cut_short(
    own: Settings, store: memory.Registry
) -> None:
    serve(own, "1")
    with pytest.raises(Killed):
        promote(own, "2", die)
    store.tags("2")[registry.SHA256] = "00" * 32
    event = registry.reconcile(own, agree)
    assert event is not None
    assert moved(event) == (ledger.PROMOTION_FAILED, "1", "2")


def test_both_rows_of_a_rollback_hold_the_hashes(
    own: Settings, store: memory.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it starts from what serves at this very moment, not from what a cache remembers."""
    serve(own, "1", "2")
    whole = promotion.serving

    def serving(settings: Settings, *, now: bool = False) -> registry.VersionInfo | None:
        assert now is True
        return whole(settings, now=now)

    monkeypatch.setattr(promotion, "serving", serving)
    rollback(own)
    both = [e for e in rows(own) if e.what in (ledger.ROLLING_BACK, ledger.ROLLED_BACK)]
    assert [(e.from_sha256, e.to_sha256) for e in both] == [(hash_of(store, "2"), hash_of(store, "1"))] * 2


def test_the_champion_of_another_registry_is_not_the_one_of_its_number_here(
    own: Settings, store: memory.Registry
) -> None:
    """The ledger knows that one; whose alias is found set here is another bundle."""
    ledger.append(own, ledger.PROMOTED, who="eve", to_version="1", to_sha256="ab" * 32)
    store.aliases["champion"] = "1"
    event = promote(own, "1")
    assert event.message == message("release.alias_found_set", reason="because")
    assert (event.from_sha256, event.to_sha256) == ("", hash_of(store, "1"))


def test_another_registrys_version_is_gone_here_and_not_offered(
    own: Settings, store: memory.Registry, asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although this registry has its number too."""
    ledger.append(own, ledger.PROMOTED, who="eve", to_version="1", to_sha256="ab" * 32)
    promote(own, "2", force=True)
    asked.clear()
    served_before, seen = ledger.served_before, list[tuple[str, str]]()

    def before(settings: Settings, version: str, sha256: str = "") -> list[tuple[str, str]]:
        seen.append((version, sha256))
        return served_before(settings, version, sha256)

    monkeypatch.setattr(ledger, "served_before", before)
    with pytest.raises(PromotionError) as caught:
        rollback(own)
    assert caught.value.explanation == message("release.nothing_to_go_back_to", version="2")
    assert seen[-1] == ("2", hash_of(store, "2"))
    assert asked == [("1", "2", "ab" * 32)]
