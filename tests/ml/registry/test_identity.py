"""Another registry has the number too: a version is its number and the hash of its bundle, wherever it is matched."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml import registry
from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict
from ml.errors import PromotionError, RegistryError
from ml.registry import ledger, outside_moves
from ml.registry.rollout import Confirmation
from ml.release import bake, shadow_slot
from ml.settings import Settings, from_values
from tests.ml.registry import memory

A, B = "a" * 64, "b" * 64


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return from_values({"home": str(tmp_path / "home"), "registry": {"tracking_uri": memory.URI, "model_name": "M"}})


def other_registry(monkeypatch: pytest.MonkeyPatch, own: Settings, folder: Path) -> memory.Registry:
    """Its version 1 is the champion, and is not what this ledger knows by that number."""
    made = memory.install(monkeypatch, own, folder)
    for slope in (1.0, 2.0):
        made.add(slope)
    made.aliases["champion"] = "1"
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="1", to_sha256=A)
    return made


def test_the_ledger_keeps_both_hashes_and_reads_rows_without(own: Settings) -> None:
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="1", to_version="2")  # of an old home
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="2", to_version="3", from_sha256=A, to_sha256=B)
    new, old = ledger.events(own)
    assert (new.from_sha256, new.to_sha256, new.numbers) == (A, B, {})
    assert (old.from_sha256, old.to_sha256) == ("", "")
    assert new.is_to("3", B)
    assert not new.is_to("3", A)
    assert old.is_to("2", A)
    assert ledger.served_before(own, "3", B) == [("2", A), ("1", "")]


def test_the_champion_of_another_registry_is_a_move(
    own: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its number served before: it is no rollback, nothing is quarantined, and the bake tells that it compares not."""
    made = other_registry(monkeypatch, own, tmp_path / "bundles")
    event = outside_moves.notice(own)
    assert event is not None
    assert (event.what, event.from_sha256, event.to_sha256) == (ledger.PROMOTED, A, made.tags("1")[registry.SHA256])
    assert "another model than the version 1" in str(event.why)
    assert registry.QUARANTINED not in made.tags("1")
    assert outside_moves.notice(own) is None
    assert bake.promotion(own, event.time) == event
    with pytest.raises(RegistryError, match="another model"):
        registry.version(own, event.from_version, event.from_sha256)


def test_a_lost_alias_is_not_answered_by_a_strange_version(
    own: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What serves is not that registry's version of its number."""
    other_registry(monkeypatch, own, tmp_path / "bundles").aliases.clear()
    with pytest.raises(RegistryError) as error:
        registry.serving(own)
    assert error.value.explanation.code == "release.serving_deleted"  # type: ignore[union-attr]


def test_the_way_back_leads_to_no_strange_version(
    own: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = memory.install(monkeypatch, own, tmp_path / "bundles")
    for slope in (1.0, 2.0):
        made.add(slope)
    ledger.append(own, ledger.PROMOTED, who="ann", to_version="1", to_sha256=A)
    made.aliases["champion"] = "2"
    hashes = {"from_sha256": A, "to_sha256": made.tags("2")[registry.SHA256]}
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="1", to_version="2", **hashes)

    with pytest.raises(PromotionError, match="nothing"):
        registry.rollback(own, who="ann", why="complaints", confirm_with=lambda *_: Confirmation(("here",), 1, ""))


def test_a_wait_ends_by_its_own_rows_alone(own: Settings) -> None:
    """Another registry's version 2 was promoted: the 2 that waits here waits on."""
    ledger.append(own, ledger.SHADOW, who="ann", from_version="1", to_version="2", to_sha256=A)
    ledger.append(own, ledger.PROMOTED, who="ann", from_version="1", to_version="2", to_sha256=B)
    waits = shadow_slot.find(own)
    assert waits is not None
    assert waits.sha256 == A
    ledger.append(own, ledger.REFUSED, who="ann", from_version="1", to_version="2")  # a row of an old home
    assert shadow_slot.find(own) is None


def test_checks_of_another_bundle_do_not_confirm_one_of_this(own: Settings) -> None:
    for i, sha256 in enumerate((A, B, "")):
        check = DriftVerdict(
            id=str(i), time=float(i), verdict="drift", retrain=False, reasons=[], model_version="1", model_sha256=sha256
        )
        verdict_history.save(own, check)
    assert [check.id for check in verdict_history.history(own, version="1", sha256=A)] == ["2", "0"]
    assert len(verdict_history.history(own, version="1")) == 3
