"""Copy the state of the embedded stack, also while it runs: `python -m ops.backup FOLDER`.

FOLDER is then a home like any other: `REFIT_HOME=FOLDER`, or its content moved back to where it was. Holds
secrets, so it is readable by its owner alone. What lies elsewhere by settings (PostgreSQL, S3) is backed up there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from ml.commands import spoken

PARTS = ("data", "models", "var")
DATABASES = ("var/refit.db", "var/mlflow/mlflow.db", "var/airflow/airflow.db")
SEGMENTS = "var/serving/segments"
LEDGER_HEAD = "var/ledger_head.json"  # `ml.registry.chain.HEAD`
# Made anew at every start, or of no use elsewhere.
LEFT_OUT = frozenset({
    "var/logs", "var/airflow/logs", "var/serving/cache", "var/serving/versions", "var/serving/current.json",
    "var/serving/workers", "var/supervisord.conf", "var/supervisord.pid", "var/stack.json",
})  # fmt: skip


class BackupError(Exception):
    """Raised when no whole copy can be made; nothing is left under the folder's name then."""


def backup(home: Path, folder: Path) -> int:
    """Copy `home` to `folder`, which must not exist; returns the bytes written.

    Answers that are not in the database yet are copied before it and everything that it refers to after it: a record
    may come twice, which the log shipper settles, but none is missing, and no version without its artifact.

    Raises
    ------
    BackupError
        `folder` exists or lies in what is copied, or a copied database is damaged.
    """
    home, folder = home.resolve(), folder.expanduser().resolve()
    if folder.exists():
        raise BackupError(f"{folder} exists: name a new folder")
    if any(folder.is_relative_to(home / part) for part in PARTS):
        raise BackupError(f"{folder} lies in the state that is copied: name one outside of {', '.join(PARTS)}")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True, mode=0o700)
        _files(home, partial, [SEGMENTS])
        (partial / "var").mkdir(exist_ok=True)
        _file(home / LEDGER_HEAD, partial / LEDGER_HEAD)  # a newer one than the copied ledger would tell of a cut
        for name in DATABASES:
            _database(home / name, partial / name)
        _files(home, partial, PARTS)
        from ml.storage import files

        files.sync_tree(partial)
        partial.rename(folder)
        files.sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _database(source: Path, target: Path) -> None:
    """A consistent copy of a database that others write to, without its write-ahead log."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)
    with contextlib.closing(sqlite3.connect(target)) as connection:
        (answer,) = connection.execute("PRAGMA quick_check").fetchone()
    if answer != "ok":
        raise BackupError(f"{source}: the copy is damaged: {answer}")


def _files(home: Path, folder: Path, parts: Iterable[str]) -> None:
    for part in parts:
        for here, folders, names in os.walk(home / part):
            at = Path(here).relative_to(home)
            folders[:] = [name for name in folders if (at / name).as_posix() not in LEFT_OUT]
            target = folder / at
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                if (at / name).as_posix() not in {*LEFT_OUT, LEDGER_HEAD} and not _of_a_database(at / name):
                    _file(Path(here) / name, target / name)


def _of_a_database(path: Path) -> bool:
    stem = path.as_posix().removesuffix("-wal").removesuffix("-shm").removesuffix("-journal")
    return stem in DATABASES


def _file(source: Path, target: Path) -> None:
    # What vanishes meanwhile was temporary or has been moved to the database that is copied.
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(source.lstat().st_mode):  # no sockets, no links out of the home
            shutil.copy2(source, target)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    arguments = argparse.ArgumentParser(
        prog=spoken("python -m ops.backup"), description="Copy the state of the embedded stack."
    )
    arguments.add_argument("folder", type=Path, help="where to; made anew")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    arguments = parser().parse_args(argv)

    from ml import settings as settings_module
    from ml.errors import RefitError

    try:
        settings = settings_module.load()
        size = backup(settings.home, arguments.folder)
    except (BackupError, RefitError, OSError, sqlite3.Error) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.folder}: {size / 1e6:,.1f} MB")
    if settings.database_url:
        print("Predictions, labels, checks and ledger are in database_url and not in this copy.")
    if settings.registry.tracking_uri:
        print("Runs, versions and artifacts are in registry.tracking_uri and not in this copy.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
