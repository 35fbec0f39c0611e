"""`python -m ml score` from a table to a folder of Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ml import registry
from ml.bundle.reader import Bundle
from ml.cli import main
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
