"""The database's tables are made by whoever comes first, however many come at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from ml import predictions
from ml.settings import Settings, from_values
from ml.storage import database
from ml.tracking import connection as connection_module


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_values({"home": str(tmp_path)})


@pytest.mark.parametrize("kind", [IntegrityError, ProgrammingError])
def test_tables_that_another_process_is_making_are_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """PostgreSQL tells the loser of the race of a violated constraint of its own catalogue, in its language."""
    make, others = database.metadata.create_all, database.metadata.sorted_tables[:2]

    def create_all(engine: sa.Engine, **more: Any) -> None:
        if others:
            others.pop(0).create(engine)
            raise kind("CREATE TABLE", {}, Exception("Relation existiert bereits"))
        make(engine, **more)

    monkeypatch.setattr(database.metadata, "create_all", create_all)
    found = database.engine(settings)
    assert sa.inspect(found).has_table(predictions.predictions.name)


def test_another_error_is_not_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that forbids it, for one."""
    tried: list[int] = []

    def create_all(*_args: Any, **_more: Any) -> None:
        tried.append(1)
        raise ProgrammingError("CREATE TABLE", {}, Exception("permission denied for schema public"))

    monkeypatch.setattr(database.metadata, "create_all", create_all)
    with pytest.raises(ProgrammingError, match="permission denied"):
        database.engine(settings)
    assert tried == [1, 1], "once more, as a table might have come meanwhile"


def test_a_commit_is_on_the_disk_when_it_returns(settings: Settings) -> None:
    """NORMAL (1) leaves the last commits to the next checkpoint; FULL (2) syncs each."""
    with database.engine(settings).connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"


@pytest.mark.parametrize(("told", "said"), [("off", ["SHOW", "SET"]), ("on", ["SHOW"]), ("remote_apply", ["SHOW"])])
def test_postgresqls_commits_are_durable_whatever_its_server_says(told: str, said: list[str]) -> None:
    """Tried by hand on a server of version 15 whose role has it off: SHOW says "on" in each session of ours."""
    connection = mock.MagicMock()
    cursor = connection.cursor.return_value.__enter__.return_value
    cursor.fetchone.return_value = (told,)
    database._durable_commits(connection, None)
    assert [call.args[0].split()[0] for call in cursor.execute.call_args_list] == said
    connection.commit.assert_called_once_with()


@pytest.mark.parametrize("existing", [False, True])
def test_the_databases_are_readable_by_their_owner_alone(tmp_path: Path, existing: bool) -> None:
    """Also where no supervisor has set the mask, with SQLite's journals, and where a copy lies there open to all."""
    found = from_values({"home": str(tmp_path), "mlflow_port": 1})
    if existing:
        for file in (found.var / "refit.db", found.var / "mlflow" / "mlflow.db"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o644)
            file.chmod(0o644)
    before = os.umask(0o022)
    try:
        with database.engine(found).begin() as connection:
            connection.execute(sa.text("CREATE TABLE something (a INTEGER)"))
            files = [*found.var.glob("refit.db*")]
        connection_module._prepare_local(found.var)
    finally:
        os.umask(before)
    files += [found.var / "mlflow" / "mlflow.db"]
    assert len(files) >= 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_column_that_another_process_added_is_no_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by the database's state, as its words for it are in the server's language."""
    engine, inspect = database.engine(settings), sa.inspect
    stale = mock.MagicMock()
    stale.get_columns.side_effect = lambda table: inspect(engine).get_columns(table)[:-1]
    seen = iter([stale])
    monkeypatch.setattr(database.sa, "inspect", lambda of: next(seen, None) or inspect(of))
    database._add_columns.__wrapped__(engine, len(database.metadata.tables))
    monkeypatch.setattr(database.sa, "inspect", lambda _of: stale)
    with pytest.raises(DBAPIError):  # it is not there afterwards either
        database._add_columns.__wrapped__(engine, len(database.metadata.tables))


@pytest.mark.parametrize(("log", "storage", "expected"), [
    ("", "", "{home}/var/archive"), ("", "s3://b/p?scheme=http", "s3://b/p/archive?scheme=http"),
    ("file:///old", "s3://b/p", "file:///old"),
])  # fmt: skip
def test_the_archive_is_where_all_who_read_the_log_can_reach_it(
    tmp_path: Path, log: str, storage: str, expected: str
) -> None:
    given = {"home": str(tmp_path), "log": {"archive_url": log}, "storage": {"url": storage}}
    assert database.archive(from_values(given)) == expected.format(home=tmp_path)
