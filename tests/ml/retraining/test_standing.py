"""What is known of a champion: by its own checks since it came to serve, whoever asks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ml.drift import DriftVerdict, verdict_history
from ml.drift.verdict import FreshModelProbe, Signals, Verdict
from ml.registry import ledger
from ml.retraining import standing
from ml.retraining.standing import Standing
from ml.settings import Settings
from tests.ml import worlds

CHAMPION = ("2", "c" * 64)


@pytest.fixture
def found(tmp_path: Path) -> Settings:
    return worlds.settings(tmp_path)


def check(
    time: float, verdict: Verdict = "stable", *, outdone: bool = False, labels: bool = True, sha256: str = CHAMPION[1]
) -> DriftVerdict:
    return DriftVerdict(
        id=f"{time}", time=time, verdict=verdict, retrain=False, reasons=[], model_version=CHAMPION[0],
        model_sha256=sha256, signals=Signals(judged=labels, challenger_beats_champion=outdone),
        fresh_model_probe=FreshModelProbe(labels_until=time, evidence=4.7 if outdone else 4.6),
    )  # fmt: skip


def test_without_a_champion_or_a_check_nothing_is_known(found: Settings) -> None:
    assert standing.of_champion(found, *CHAMPION) == Standing(degraded=False, outdone=False)
    verdict_history.save(found, msgspec.structs.replace(check(1, "degraded", outdone=True), model_version=""))
    assert standing.of_champion(found, "", "") == Standing(degraded=False, outdone=False)


def test_a_run_that_nobody_asked_for_knows_what_the_checks_have_proved(found: Settings) -> None:
    """The schedule's: its gate does not ask again, of fewer rows."""
    verdict_history.save(found, check(1, outdone=True))
    verdict_history.save(found, check(2, "degraded", outdone=True))
    assert standing.of_champion(found, *CHAMPION) == Standing(degraded=True, outdone=True)


def test_the_newest_check_with_labels_says_whether_it_is_degraded(found: Settings) -> None:
    verdict_history.save(found, check(1, "degraded"))
    verdict_history.save(found, check(2, "drift", labels=False))
    assert standing.of_champion(found, *CHAMPION).degraded
    verdict_history.save(found, check(3))
    assert not standing.of_champion(found, *CHAMPION).degraded


def test_what_was_said_of_another_bundle_or_of_an_earlier_term_is_of_no_account(found: Settings) -> None:
    """One that was rolled back to is believed in anew; in another registry the number means another model."""
    verdict_history.save(found, check(1, "degraded", outdone=True, sha256="d" * 64))
    verdict_history.save(found, check(2, "degraded", outdone=True))
    ledger.append(found, ledger.ROLLED_BACK, who="ann", from_version="3", to_version="2", to_sha256=CHAMPION[1])
    assert standing.of_champion(found, *CHAMPION) == Standing(degraded=False, outdone=False)


@pytest.mark.parametrize(("of", "counts"), [(CHAMPION, True), (("1", "b" * 64), False), (("2", "b" * 64), False)])
def test_the_check_that_asked_counts_for_the_champion_that_it_was_of(
    found: Settings, of: tuple[str, str], counts: bool
) -> None:
    """A second event may start its run when the first one's has replaced that champion."""
    asked = msgspec.structs.replace(check(5, "degraded", outdone=True), model_version=of[0], model_sha256=of[1])
    assert standing.of_champion(found, *CHAMPION, asked) == Standing(degraded=counts, outdone=counts)


def test_a_newer_check_than_the_one_that_asked_decides(found: Settings) -> None:
    verdict_history.save(found, check(6))
    assert not standing.of_champion(found, *CHAMPION, check(5, "degraded")).degraded
