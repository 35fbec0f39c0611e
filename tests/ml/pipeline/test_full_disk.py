"""A run on a disk that is full in earnest: every stage ends in a clear error, moves nothing, and can be done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml import registry
from ml.bundle.reader import Bundle
from ml.errors import Transient
from ml.pipeline import pipeline
from ml.pipeline.workspace import STAGES, Workspace
from ml.registry import ledger
from ml.settings import Settings, from_values
from tests.ml.pipeline.runs import SMALL
from tests.small_disk import SmallDisk, mounted

# Bytes left when a stage begins: none at all, and enough for some of its files.
LEFT = (0, 20_000, 150_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 256) as made:
        yield made


def complaint(settings: Settings, stage: str) -> str:
    """What a stage of the run says when it fails in a way that Airflow tries again; "" where it does not fail."""
    try:
        getattr(pipeline, stage)(settings, "second")
    except Transient as error:
        return str(error)
    return ""


def test_no_stage_does_harm_and_each_goes_on_when_there_is_room(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(disk.path))
    settings = from_values(SMALL | {"home": str(disk.path / "home"), "gate": SMALL["gate"] | {"policy": "always"}})
    pipeline.run_all(settings, "first")
    before = registry.champion(settings)
    assert before is not None
    refused: set[str] = set()
    for name in STAGES:
        for left in LEFT:
            disk.fill(left)
            said = complaint(settings, name)
            if said:
                assert "full" in said or "space" in said, f"{name}: {said}"
                refused.add(name)
            if name != "promote":
                assert registry.champion(settings) == before
            elif registry.champion(settings) != before:
                assert ledger.events(settings, limit=1, what=ledger.SERVED)[0].run_key == "second"
            disk.make_room()
    assert refused == set(STAGES)
    pipeline.run_all(settings, "second")
    after = registry.champion(settings)
    assert after is not None
    assert after.run_key == "second"
    Bundle.open(registry.download(settings, after), sha256=after.sha256).self_check()
    assert [info.run_key for info in registry.versions(settings)] == ["second", "first"]
    assert ledger.open_intention(settings) is None
    assert not [file for file in Workspace(settings, "second").path.iterdir() if file.name.startswith(".")]
