"""A copy of a home that is in use is whole, and a copy that cannot be made leaves nothing."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import backup


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """A home with a database that is being written, a secret, a segment, a socket and a log."""
    home = tmp_path / "h"
    for folder in ("data", "var/secrets", "var/serving/segments", "var/serving/cache/a", "var/logs"):
        (home / folder).mkdir(parents=True)
    (home / "data" / "a.parquet").write_bytes(b"rows")
    (home / "var" / "secrets" / "key").write_text("hidden")
    (home / "var" / "secrets" / "key").chmod(0o600)
    (home / "var" / "serving" / "segments" / "1.seg").write_bytes(b"answers")
    (home / "var" / "serving" / "cache" / "a" / "model.onnx").write_bytes(b"again from the registry")
    (home / "var" / "logs" / "service.log").write_text("long")
    with (
        contextlib.closing(socket.socket(socket.AF_UNIX)) as listener,
        contextlib.closing(sqlite3.connect(home / "var" / "refit.db")) as writer,
    ):
        listener.bind(str(home / "var" / "s.sock"))
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (a)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")  # not committed: not in the copy
        yield home


def test_a_home_in_use_is_copied_whole(busy: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert backup.backup(busy, target) > 0
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == {"data/a.parquet", "var/secrets/key", "var/serving/segments/1.seg", "var/refit.db"}
    with contextlib.closing(sqlite3.connect(target / "var" / "refit.db")) as copy:
        assert copy.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert (target / "var" / "secrets" / "key").stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "said"),
    [("h", "exists"), ("h/var/backups/today", "outside of data, models, var")],
    ids=["there", "inside"],
)
def test_a_folder_that_will_not_do_is_refused(name: str, said: str, busy: Path, tmp_path: Path) -> None:
    with pytest.raises(backup.BackupError, match=said):
        backup.backup(busy, tmp_path / name)
    assert not (busy / "var" / "backups").exists()


def test_a_copy_that_fails_leaves_nothing(busy: Path, tmp_path: Path) -> None:
    (busy / "var" / "mlflow").mkdir()
    (busy / "var" / "mlflow" / "mlflow.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        backup.backup(busy, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["h"]


def test_the_command_names_what_is_wrong(
    busy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFIT_HOME", str(busy))
    assert backup.main([str(busy)]) == 1
    assert "name a new folder" in capsys.readouterr().err
