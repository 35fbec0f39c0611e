"""What is on the disk before what it replaces is forgotten: the order of syncs, renames and deletions."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ml.storage import files


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each fsync and rename of this process, by the name of what it was done to."""
    found: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        found.append("sync " + Path(os.readlink(f"/proc/self/fd/{handle}")).name.split(".")[0])
        real_sync(handle)

    def replace(source: str, target: Path) -> None:
        found.append(f"rename to {Path(target).stem}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return found


def test_a_file_in_a_new_folder_is_synced_with_every_name_on_its_way(tmp_path: Path, steps: list[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    files.write_bytes(home / "a" / "b" / "pointer.json", b"x")
    assert steps == ["sync home", "sync a", "sync ", "rename to pointer", "sync b"]


def test_a_tree_is_synced_file_by_file_before_its_folder(tmp_path: Path, steps: list[str]) -> None:
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "one").write_bytes(b"1")
    (tree / "inner" / "two").write_bytes(b"2")
    (tree / "link").symlink_to(tmp_path / "nothing")
    files.sync_tree(tree)
    assert sorted(steps) == ["sync inner", "sync one", "sync tree", "sync two"]
    assert steps.index("sync one") < steps.index("sync tree")
    assert steps.index("sync two") < steps.index("sync inner")


def test_a_lock_is_its_holders_until_it_ends(tmp_path: Path) -> None:
    """Also where the one that looks holds none; a file that is not there is an error, not a free lock."""
    file = tmp_path / "lock"
    with pytest.raises(FileNotFoundError):
        files.is_locked(file)
    with file.open("w") as held:
        assert not files.is_locked(file)
        fcntl.flock(held, fcntl.LOCK_EX)
        assert files.is_locked(file)
    assert not files.is_locked(file)
