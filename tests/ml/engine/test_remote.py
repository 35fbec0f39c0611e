"""What a worker does with files and asks."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from ml.engine import remote
from tests.ml.engine import asks


def call(name: str, files: dict[str, bytes], ask: bytes = b"", **asker: str) -> bytes:
    return remote.call(files, name, asks.opened, asks.together, ask, {**remote.identity(), **asker})


@pytest.fixture(autouse=True)
def none_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "_opened", {})
    monkeypatch.setattr(remote.tempfile, "tempdir", str(tmp_path))


def test_files_are_opened_once_and_old_ones_are_let_go(tmp_path: Path) -> None:
    """By their name: it stands for what is in them."""
    assert call("one", {"a": b"1"}) == b"1"
    assert call("one", {"a": b"never looked at"}, b"!") == b"1!"
    assert call("two", {"a": b"2"}) == b"2"
    assert call("three", {"a": b"3"}) == b"3"
    assert len(list(tmp_path.iterdir())) == remote.MOST_OPEN
    assert call("one", {"a": b"again"}) == b"again"


def test_other_code_is_refused_by_what_differs() -> None:
    """A library that is missing on one side is a dash."""
    with pytest.raises(remote.OtherCode, match=rf"^torch {importlib.metadata.version('torch')[:4]}.* \(-\)$"):
        call("one", {}, torch="")


def test_the_identity_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file is other code, and so is one more."""
    found = []
    for text in ("a = 1", "a = 2"):
        file = tmp_path / "ml" / "a.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        monkeypatch.setattr(remote, "CHECKOUT", tmp_path)
        found.append(remote.identity.__wrapped__()["refit"])
    assert len(set(found)) == 2
