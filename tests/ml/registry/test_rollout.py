"""Rollout verification: which reports of a service's workers are the version that was moved to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml.errors import PromotionError
from ml.fleet import services
from ml.fleet.services import Loaded, Refused, State
from ml.registry import ledger, rollout
from ml.settings import Settings, from_values

HERE, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    registry = {"confirm": "required", "confirm_timeout_s": 0.2}
    return from_values({"home": str(tmp_path), "registry": registry, "serving": {"urls": ["http://a"]}})


def moving(own: Settings, sha256: str) -> None:
    ledger.append(own, ledger.PROMOTING, who="ann", to_version="2", to_sha256=sha256)


def report(*workers: tuple[str, str | None], **more: Any) -> dict[str, Any]:
    told = [{"model_version": version, "sha256": sha256} for version, sha256 in workers]
    return {**told[0], "workers": told, **more} if told else {"model_version": "2", "workers": []}


def ask(own: Settings, *answers: dict[str, Any] | None) -> rollout.Confirmation:
    """One answer a look, the last one again and again."""
    left = list(answers)
    return rollout.verify(own, "2", get=lambda *_: left.pop(0) if len(left) > 1 else left[0], sleep=lambda _: None)


@pytest.mark.parametrize(
    "answer",
    [report(("2", HERE), ("2", HERE)), report(("2", None), ("2", "")), report(("2", HERE), ("2", ""))],
    ids=["both say the hash", "an older service", "one of each"],
)
def test_every_worker_with_the_bundle_confirms(own: Settings, answer: dict[str, Any]) -> None:
    moving(own, HERE)
    assert ask(own, report(("1", OTHER)), answer).workers == 2


@pytest.mark.parametrize(
    "answer",
    [
        report(("2", OTHER), ("2", OTHER)), report(("2", HERE), ("2", OTHER)), report(("2", HERE), ("1", HERE)),
        report(("1", OTHER)), report(), {},
    ],
    ids=["another registry's", "one of another registry", "one is behind", "all are behind", "no workers", "no JSON"],
)  # fmt: skip
def test_what_is_not_the_bundle_on_every_worker_does_not(own: Settings, answer: dict[str, Any]) -> None:
    """The number alone is another registry's too."""
    moving(own, HERE)
    with pytest.raises(PromotionError) as caught:
        ask(own, answer)
    assert caught.value.code == ("release.service_elsewhere" if answer else "release.service_silent")


def test_without_a_move_the_number_counts(own: Settings) -> None:
    """What was set by hand has no row yet; and a move to another version says nothing of this one."""
    assert ask(own, report(("2", OTHER))).workers == 1
    ledger.append(own, ledger.PROMOTING, who="ann", to_version="3", to_sha256=HERE)
    assert ask(own, report(("2", OTHER))).workers == 1


def test_a_refusal_of_now_ends_the_wait(own: Settings) -> None:
    moving(own, HERE)
    old = report(("1", OTHER), refused={"version": "2", "reason": "altered", "time": 0.0})
    with pytest.raises(PromotionError) as caught:
        ask(own, old, report(("1", OTHER), refused={"version": "2", "reason": "altered"}))
    assert caught.value.code == "release.service_refused"


def test_services_that_are_registered_are_not_asked_but_read(tmp_path: Path, postgresql_url: str) -> None:
    """One has the version, one refused it: promoted, and the other is named."""
    registry = {"confirm_timeout_s": 20.0}
    serving = {"urls": ["http://nobody:1"]}
    homes = [
        from_values(
            {"home": str(tmp_path / n), "database_url": postgresql_url, "registry": registry, "serving": serving}
        )
        for n in "ab"
    ]
    moving(homes[0], HERE)
    good, bad = State(workers=(Loaded("2", HERE),) * 2), State(workers=(Loaded("1", OTHER),) * 2)
    services.beat(homes[0], "a1", good)
    services.beat(homes[1], "b1", bad)
    refusing = msgspec.structs.replace(bad, refused=Refused("2", "altered", 0.0))
    found = rollout.verify(homes[0], "2", sleep=lambda _: services.beat(homes[1], "b1", refusing) and None)
    assert found.workers == 2
    [without] = found.without
    assert str(without).endswith(": altered")
    assert str(without) in str(found.note)


def test_the_number_of_another_bundle_does_not_confirm(tmp_path: Path, postgresql_url: str) -> None:
    registry = {"confirm_timeout_s": 0.2}
    own = from_values({"home": str(tmp_path), "database_url": postgresql_url, "registry": registry})
    moving(own, HERE)
    services.beat(own, "a1", State(workers=(Loaded("2", OTHER),)))
    with pytest.raises(PromotionError) as caught:
        rollout.verify(own, "2", sleep=lambda _: None)
    assert caught.value.code == "release.fleet_not_confirmed"
