"""The ledger: what is left unsaid stays empty, and the newest intention is the open one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from ml.messages import message
from ml.registry import ledger
from ml.settings import Settings, from_values


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_values({"home": str(tmp_path)})


def test_what_is_not_said_is_empty(settings: Settings) -> None:
    """Empty text, no intention, no numbers."""
    key = ledger.append(settings, ledger.REGISTERED, who="ann")
    (event,) = ledger.events(settings)
    assert event == ledger.Event(
        id=key, time=event.time, who="ann", what=ledger.REGISTERED, model_name=settings.registry.model_name
    )


def test_numbers_that_json_does_not_know_are_kept_as_text(settings: Settings) -> None:
    """A date in a verdict does not lose the row."""
    ledger.append(settings, ledger.REGISTERED, who="ann", numbers={"day": datetime.date(2026, 1, 2)})
    assert ledger.events(settings)[0].numbers == {"day": "2026-01-02"}


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (0, 0), (1, 1), (3, 3), (4, 3)])
def test_limit_counts_from_the_newest(settings: Settings, limit: int | None, expected: int) -> None:
    """None is all, zero is none."""
    for i in range(3):
        ledger.append(settings, ledger.REGISTERED, who="t", to_version=str(i))
    assert [e.to_version for e in ledger.events(settings, limit=limit)] == ["2", "1", "0"][:expected]


def test_of_two_open_intentions_the_newest_counts(settings: Settings) -> None:
    """And when it has its outcome, the older one is still open."""
    first = ledger.append(settings, ledger.PROMOTING, who="t", to_version="1")
    second = ledger.append(settings, ledger.ROLLING_BACK, who="t", to_version="2")
    newest = ledger.open_intention(settings)
    assert newest is not None
    assert newest.id == second
    ledger.append(settings, ledger.ROLLBACK_FAILED, who="t", intention=second)
    oldest = ledger.open_intention(settings)
    assert oldest is not None
    assert oldest.id == first


def test_intentions_of_another_model_are_not_ours(settings: Settings, tmp_path: Path) -> None:
    """Nor are its events, asked for by name or not."""
    other = from_values({"home": str(tmp_path), "registry": {"model_name": "Other"}})
    ledger.append(other, ledger.PROMOTING, who="t", to_version="1")
    assert ledger.open_intention(settings) is None
    assert ledger.events(settings, what=[ledger.PROMOTING]) == []
    assert len(ledger.events(other, what=[ledger.PROMOTING])) == 1


def test_a_sentence_of_ours_is_kept_by_code(settings: Settings) -> None:
    """Beside its English, and apart from the figures; a person's words stay words."""
    why = message("release.nothing_to_go_back_to", version="3")
    ledger.append(settings, ledger.REFUSED, who="t", why=why, numbers={"rows": 3})
    ledger.append(settings, ledger.REFUSED, who="t", why="mine", numbers={"rows": 4})
    mine, ours = ledger.events(settings)
    assert (ours.message, ours.because, ours.why, ours.numbers) == (why, why, str(why), {"rows": 3})
    assert (mine.message, mine.because, mine.why, mine.numbers) == (None, "mine", "mine", {"rows": 4})


def test_what_serves_is_what_was_promoted_or_gone_back_to_last(settings: Settings, tmp_path: Path) -> None:
    """Whatever else was tried since; of this model."""
    assert ledger.serving(settings) == ""
    for what, version in ((ledger.PROMOTED, "1"), (ledger.PROMOTED, "3"), (ledger.ROLLED_BACK, "2")):
        ledger.append(settings, what, who="t", to_version=version)
        assert ledger.serving(settings) == version
    for what in (ledger.REFUSED, ledger.PROMOTION_FAILED, ledger.ROLLBACK_FAILED, ledger.REGISTERED):
        ledger.append(settings, what, who="t", to_version="9")
    assert ledger.serving(settings) == "2"
    assert ledger.serving(from_values({"home": str(tmp_path), "registry": {"model_name": "Other"}})) == ""


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("2", "ab"), True), (("2", ""), True), (("2", "cd"), False), (("3", "ab"), False), (("3", ""), False),
    ],
)  # fmt: skip
def test_a_version_is_its_number_and_its_hash_where_both_say_it(other: tuple[str, str], expected: bool) -> None:
    event = ledger.Event(id=1, time=0.0, who="ann", what=ledger.PROMOTED, to_version="2", to_sha256="ab")
    assert event.is_to(*other) is ledger.same(("2", "ab"), other) is ledger.same(other, ("2", "ab")) is expected
    assert ledger.same(("2", ""), ("2", ""))
