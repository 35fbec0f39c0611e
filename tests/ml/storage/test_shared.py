"""What machines share: whole or not at all, never another content, and patient with a store that is away."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.fs as pafs
import pytest

from ml.errors import SettingsError, StorageDamaged, StorageUnavailable
from ml.settings import from_values
from ml.storage import shared
from ml.storage.file_systems import Place
from ml.storage.shared import FileSet, SharedStore, StoredFile


class ObjectStore:
    """A folder that is asked as an object store is, and answers with an error `refusing` times."""

    type_name = "test"

    def __init__(self, words: str) -> None:
        self.words, self.refusing, self.asked = words, 0, 0
        self._system = pafs.LocalFileSystem()

    def __getattr__(self, name: str) -> Any:
        def ask(*given: Any, **more: Any) -> Any:
            self.asked += 1
            if self.refusing > 0:
                self.refusing -= 1
                raise OSError(self.words)
            return getattr(self._system, name)(*given, **more)

        return ask


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SharedStore, ObjectStore]:
    """A store that may be away, and what is behind it."""
    for name in ("objects", "sets/a"):
        (tmp_path / "bucket" / name).mkdir(parents=True)
    behind = ObjectStore("AWS Error NETWORK_CONNECTION during HeadObject operation")
    monkeypatch.setattr(shared, "_place", lambda *_: Place(behind, str(tmp_path / "bucket")))
    monkeypatch.setattr(SharedStore, "_see_bucket", lambda _: None)
    monkeypatch.setattr(shared.time, "sleep", lambda _: None)
    return SharedStore("s3://key:secret@bucket", home(tmp_path, "one"), 30.0), behind


def home(root: Path, name: str) -> Path:
    (root / name / "var").mkdir(parents=True)
    return root / name


def stores(root: Path) -> tuple[SharedStore, SharedStore]:
    """Two machines of one store."""
    address = (root / "storage").as_uri()
    return SharedStore(address, home(root, "one"), 0.0), SharedStore(address, home(root, "two"), 0.0)


def filled(home: Path) -> list[Path]:
    (home / "var" / "folder").mkdir()
    for name, content in (("a", b"first"), ("folder/b", b"second"), ("folder/c", b"first")):
        (home / "var" / name).write_bytes(content)
    return [home / "var" / "a", home / "var" / "folder", home / "var" / "nothing"]


def test_another_machine_gets_the_files_and_the_record(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    one.put("runs/r/stage", filled(tmp_path / "one"), msgspec.Raw(b'{"x": 1}'))
    assert two.fetch("runs/r/stage")
    found = two.find("runs/r/stage")
    assert found is not None
    assert bytes(found.record) == b'{"x": 1}'
    for name in ("a", "folder/b", "folder/c"):
        assert (tmp_path / "two" / "var" / name).read_bytes() == (tmp_path / "one" / "var" / name).read_bytes()
    assert len(list((tmp_path / "storage" / "objects").iterdir())) == 2  # one content is kept once


def test_a_set_that_is_not_there_is_none(tmp_path: Path) -> None:
    one, _ = stores(tmp_path)
    assert one.find("runs/r/stage") is None
    assert not one.fetch("runs/r/stage")
    assert one.names("runs") == []


def test_sets_are_listed_with_their_moments(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    for name in ("runs/b/x", "runs/a/x", "other"):
        one.put(name, [])
    assert [name for name, moment in two.names("runs") if moment > 1.7e9] == ["runs/a/x", "runs/b/x"]


def test_what_is_there_is_not_fetched_again_and_what_differs_is(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    one.put("s", filled(tmp_path / "one"))
    two.fetch("s")
    first, second = (hashlib.sha256(content).hexdigest() for content in (b"first", b"second"))
    (tmp_path / "storage" / "objects" / first).unlink()
    (tmp_path / "two" / "var" / "folder" / "b").write_bytes(b"sEcond")  # as long, and damaged
    assert two.fetch("s")
    assert (tmp_path / "two" / "var" / "folder" / "b").read_bytes() == b"second"
    (tmp_path / "storage" / "objects" / second).unlink()
    (tmp_path / "two" / "var" / "folder" / "b").unlink()
    with pytest.raises(StorageDamaged, match=f"{second}.*var/folder/b is fetched, is not there"):
        two.fetch("s")


def test_a_stored_file_of_another_content_is_named_and_not_used(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    one.put("s", filled(tmp_path / "one"))
    second = hashlib.sha256(b"second").hexdigest()
    (tmp_path / "storage" / "objects" / second).write_bytes(b"sEcond")
    with pytest.raises(StorageDamaged, match=second):
        two.fetch("s")
    assert not (tmp_path / "two" / "var" / "folder" / "b").exists()


def test_half_a_stored_file_is_written_anew(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    paths = filled(tmp_path / "one")
    (tmp_path / "storage" / "objects").mkdir(parents=True)
    (tmp_path / "storage" / "objects" / hashlib.sha256(b"second").hexdigest()).write_bytes(b"sec")
    one.put("s", paths)
    assert two.fetch("s")


@pytest.mark.parametrize("content", [b"{", b'{"format": 2, "files": []}', b'{"format": 1}'])
def test_what_is_no_set_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    one, _ = stores(tmp_path)
    (tmp_path / "storage" / "sets").mkdir(parents=True)
    (tmp_path / "storage" / "sets" / "s.json").write_bytes(content)
    with pytest.raises(StorageDamaged, match=r"sets/s\.json"):
        one.find("s")


@pytest.mark.parametrize("path", ["../out", "/etc/out", "var/../../out"])
def test_no_file_is_written_beside_the_home(tmp_path: Path, path: str) -> None:
    one, _ = stores(tmp_path)
    one.write("s", FileSet(files=(StoredFile(path, "0" * 64, 3),)))
    with pytest.raises(StorageDamaged, match="outside of the home"):
        one.fetch("s")


def test_a_deleted_set_leaves_nothing(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    one.put("s", filled(tmp_path / "one"))
    two.delete("s")
    assert one.find("s") is None
    assert list((tmp_path / "storage" / "objects").iterdir()) == []


def test_a_store_that_is_away_for_a_while_is_waited_for(away: tuple[SharedStore, ObjectStore], tmp_path: Path) -> None:
    store, behind = away
    behind.refusing = 5
    store.put("a/s", filled(tmp_path / "one"))
    behind.refusing = 5
    found = store.find("a/s")
    assert found is not None
    for file in found.files:
        (tmp_path / "one" / file.path).unlink()
    behind.refusing = 3
    store.fill(found.files)
    assert (tmp_path / "one" / "var" / "folder" / "b").read_bytes() == b"second"


def test_one_that_stays_away_may_pass_and_its_keys_are_not_told(
    away: tuple[SharedStore, ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, behind = away
    behind.refusing = 10_000
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(shared.time, "monotonic", lambda: next(clock))
    with pytest.raises(StorageUnavailable, match=r"s3://bucket .*NETWORK_CONNECTION") as raised:
        store.find("a/s")
    assert "secret" not in str(raised.value)
    assert behind.asked > 3


def test_one_that_refuses_is_asked_once(away: tuple[SharedStore, ObjectStore]) -> None:
    store, behind = away
    behind.refusing, behind.words = 1, "AWS Error ACCESS_DENIED during HeadObject operation"
    with pytest.raises(SettingsError, match="keys in the environment"):
        store.find("a/s")
    assert behind.asked == 1


def test_without_an_address_there_is_no_store(tmp_path: Path) -> None:
    assert shared.of(from_values({"home": str(tmp_path)})) is None


def put(store: SharedStore, name: str, content: str) -> StoredFile:
    file = store._home / "var" / name
    file.write_text(content)
    return store.put(name, [file]).files[0]


def aged(root: Path, stored: StoredFile, seconds: float) -> Path:
    path = root / "storage" / "objects" / stored.sha256
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))
    return path


def test_sweep_deletes_old_files_that_no_set_has(tmp_path: Path) -> None:
    one, two = stores(tmp_path)
    used, spare, fresh = put(one, "a", "used"), put(one, "b", "spare"), put(one, "c", "fresh")
    paths = [aged(tmp_path, used, 9_000), aged(tmp_path, spare, 9_000), aged(tmp_path, fresh, 10)]
    assert one.sweep(time.time() - 4_000) == 0
    for name in ("b", "c"):
        one.forget(name)
    assert two.find("b") is None
    assert two.sweep(time.time() - 4_000) == len("spare")
    assert [path.exists() for path in paths] == [True, False, True]
    assert two.fetch("a")


def test_an_old_file_that_is_put_once_more_is_not_swept_before_its_set_is_there(tmp_path: Path) -> None:
    """Another machine has it from a set that went; between its file and its set a sweep may come."""
    one, two = stores(tmp_path)
    path = aged(tmp_path, put(one, "a", "same"), 9_000)
    one.forget("a")
    file = two._home / "var" / "b"
    file.write_text("same")
    stored = two._put_file(file)
    assert one.sweep(time.time() - 4_000) == 0
    two.write("b", FileSet(files=(stored,)))
    assert path.exists()
    assert one.fetch("b")
