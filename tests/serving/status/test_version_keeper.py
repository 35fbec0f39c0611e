"""The side files of versions are copied once, verified, and dropped with their version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.model import champion_lookup
from serving.status import version_files
from serving.status.reader import VersionEntry
from serving.status.version_keeper import Keeper
from tests.serving import tiny


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Version → the folder of its bundle in a registry on this machine."""
    folders: dict[str, Path] = {}
    monkeypatch.setattr(champion_lookup, "local_bundle", lambda settings, version: folders[version])
    return folders


def _entries(tmp_path: Path, registry: dict[str, Path], *versions: str) -> list[VersionEntry]:
    for version in versions:
        registry[version] = tmp_path / "registry" / version
    return [VersionEntry(version=v, sha256=tiny.write_bundle(registry[v], bias=float(v))) for v in versions]


def test_files_are_copied_without_the_model_and_dropped_with_their_version(
    tmp_path: Path, registry: dict[str, Path]
) -> None:
    keeper, serving = Keeper(tiny.settings_for(tmp_path)), tmp_path / "var" / "serving"
    entries = _entries(tmp_path, registry, "1", "2")
    keeper.keep(entries)
    for entry in entries:
        files = version_files.of(serving, entry.version, entry.sha256)
        assert files is not None
        assert files.schema is not None
        assert not (files.path / "model.onnx").exists()
    keeper.keep([])  # the registry is silent
    assert version_files.of(serving, "1", entries[0].sha256) is not None
    keeper.keep(entries[1:])
    assert version_files.of(serving, "1", entries[0].sha256) is None
    assert version_files.of(serving, "2", entries[1].sha256) is not None
    assert [path.name for path in serving.iterdir()] == ["versions"]


def test_files_are_on_the_disk_before_they_count(
    tmp_path: Path, registry: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is there is never copied again: after a power cut it would stay empty for good."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    (entry,) = _entries(tmp_path, registry, "1")
    Keeper(tiny.settings_for(tmp_path)).keep([entry])
    kept = [path.name for path in (tmp_path / "var" / "serving" / "versions" / entry.sha256).iterdir()]
    assert kept
    assert set(kept) <= {Path(name).name for name in synced if "/.version-" in name}


def test_an_altered_file_is_not_shown_and_not_asked_for_again_at_once(
    tmp_path: Path, registry: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(tiny.settings_for(tmp_path))
    (entry,) = _entries(tmp_path, registry, "1")
    (registry["1"] / "decision.json").write_text("{}")
    for _ in range(2):
        keeper.keep([entry])
    assert version_files.of(tmp_path / "var" / "serving", "1", entry.sha256) is None
    assert caplog.text.count("no files of version 1") == 1


@pytest.mark.parametrize("sha256", ["", "..", "../../cache/a"])
def test_a_hash_that_is_none_leads_nowhere(tmp_path: Path, registry: dict[str, Path], sha256: str) -> None:
    Keeper(tiny.settings_for(tmp_path)).keep([VersionEntry(version="1", sha256=sha256)])
    assert version_files.of(tmp_path / "var" / "serving", "1", sha256) is None
