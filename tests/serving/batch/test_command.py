"""`python -m ml score` from a table to a folder of Parquet."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ml import registry
from ml.bundle.reader import Bundle
from ml.cli import main
from ml.settings import Settings
from serving.batch import scorer
from tests.serving import tiny


@pytest.fixture
def champion(home: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle that the registry is taken to name: registering one is another test's."""
    sha256 = tiny.write_bundle(home / "b")
    info = SimpleNamespace(version="3", sha256=sha256)
    monkeypatch.setattr(registry, "champion", lambda _: info)
    monkeypatch.setattr(registry, "download", lambda _, found: home / "b")
    return Bundle.open(home / "b")


def called(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, words)])


def lines(folder: Path, rows: int = 30) -> Path:
    file = folder / "table.csv"
    body = [f"k{i},{i / 10},{-i / 10},0,1" for i in range(rows)]
    file.write_text("\n".join(["who,f0,f1,f2,f3", *body]))
    return file


def test_a_table_becomes_a_folder(champion: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = called(lines(tmp_path), "--output", out, "--keep", "who", "--workers", "1", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows"], told["version"], told["columns"]) == (30, "3", ["who"])
    assert pq.read_table(out).column("who").to_pylist() == [f"k{i}" for i in range(30)]
    again = called(lines(tmp_path), "--output", out, "--keep", "who")
    assert again.stdout == f"30 rows scored by version 3: {out}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--keep", "gone"], "column 'gone': there is no such column"), (["--version", "9"], "9")],
    ids=["column", "version"],
)
def test_what_is_not_there_is_named(champion: Bundle, words: list[str], sentence: str, tmp_path: Path) -> None:
    done = called(lines(tmp_path), "--output", tmp_path / "out", *words)
    assert sentence in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_without_a_champion_it_says_what_to_do(home: Path, tmp_path: Path) -> None:
    done = called(lines(tmp_path), "--output", tmp_path / "out")
    assert "no version is the champion yet" in str(done.exception)


def test_a_table_that_is_not_there(home: Path, tmp_path: Path) -> None:
    assert "no such file" in str(called(tmp_path / "none.csv", "--output", tmp_path / "out").exception)


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], ("processes", "")),
        (["--engine", "dask", "--engine-address", "tcp://a:1"], ("dask", "tcp://a:1")),
        (["--engine-address", "tcp://a:1"], ("dask", "tcp://a:1")),
        (["--set", "tune.engine=dask", "--set", "tune.engine_address=tcp://b:1"], ("dask", "tcp://b:1")),
        (["--set", "tune.engine=dask", "--set", "tune.engine_address=tcp://b:1", "--engine", "processes"],
         ("processes", "")),
    ],
)  # fmt: skip
def test_the_engine_is_the_settings_or_the_commands(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], chosen: tuple[str, str]
) -> None:
    asked = []

    def run(settings: Settings, *_: Any, **__: Any) -> tuple[int, Any]:
        asked.append((settings.tune.engine, settings.tune.engine_address))
        return 30, SimpleNamespace(report=SimpleNamespace(findings=[]))

    monkeypatch.setattr(scorer, "run", run)
    done = called(lines(tmp_path), "--output", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert asked == [chosen]


def test_a_cluster_without_an_address_is_told(champion: Bundle, tmp_path: Path) -> None:
    done = called(lines(tmp_path), "--output", tmp_path / "out", "--engine", "dask")
    assert "expected its scheduler in tune.engine_address" in str(done.exception)


def test_a_query_is_scored_and_goes_on_with_the_same_rows(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its rows were fetched; the database gives others when it is asked again."""
    database, out = tmp_path / "d.sqlite", tmp_path / "out"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE t (who TEXT, f0 REAL, f1 REAL, f2 REAL, f3 REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, 0, 1)", [(f"k{i}", i / 10, -i / 10) for i in range(30)])
    connection.close()
    words = ["--query", "SELECT * FROM t", "--set", f"data.url=sqlite:///{database}", "--output", out, "--keep", "who"]
    with monkeypatch.context() as killed:
        killed.setattr(scorer, "run", lambda *_, **__: sys.exit(9))
        assert called(*words).exit_code == 9
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM t WHERE f0 > 1")
    connection.close()
    done = called(*words, "--workers", "1")
    assert done.exit_code == 0, done.output
    assert pq.read_table(out).column("who").to_pylist() == [f"k{i}" for i in range(30)]
    other = called(*words[:1], "SELECT * FROM t WHERE f0 < 1", *words[2:])
    assert "by version 3" in str(other.exception) or "version 3" in str(other.exception)


@pytest.mark.parametrize("words", [[], ["table.csv", "--query", "SELECT 1"]], ids=["none", "both"])
def test_it_is_a_table_or_a_query(words: list[str], tmp_path: Path) -> None:
    done = called(*words, "--output", tmp_path / "out")
    assert done.exit_code == 2
    assert "a TABLE or a --query" in done.output
