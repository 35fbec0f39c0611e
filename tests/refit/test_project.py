"""`refit init`: a folder becomes a project, or stays as it was."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ml import settings
from refit import project


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.setenv("REFIT_HOME", str(home))
    monkeypatch.chdir(home)
    return home


def table(folder: Path) -> Path:
    file = folder / "my table.csv"
    rows = [f"{i},{i % 7},{'ab'[i % 3 == 0]},{'yes' if i % 3 == 0 else 'no'}" for i in range(120)]
    file.write_text("\n".join(["key,x,colour,left", *rows]))
    return file


def test_without_a_table_everything_stands_at_its_default(folder: Path) -> None:
    assert project.main([]) == 0
    assert settings.load() == settings.from_values({"home": str(folder)})
    assert (folder / ".gitignore").read_text() == "/data/\n/models/\n/var/\n"


def test_a_table_is_checked_and_kept_by_its_whole_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(folder)
    told = ["my table.csv", "--target", "left", "--positive", "yes", "--id", "key", "--exclude", "colour"]
    told += ["--decimal", ".", "--dates", "day-first"]
    assert project.main(told) == 0
    data = settings.load().data
    assert (data.source, data.path, data.target) == ("file", str(file), "left")
    assert (data.positive_label, data.id_columns, data.exclude) == ("yes", ("key",), ("colour",))
    assert (data.decimal, data.dates) == (".", "day-first")
    assert capsys.readouterr().out == f"{folder} is a project now. Next: refit up\n"
    text = (folder / "refit.toml").read_text()
    assert 'target = "left"  # the column to predict' in text, "with every setting's meaning beside it"
    assert set(tomllib.loads(text)) >= {"data", "train", "tune", "gate", "drift", "serving"}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [(["none.csv", "--target", "y"], "none.csv"), (["my table.csv", "--target", "gone"], "gone")],
    ids=["no file", "no such column"],
)
def test_what_cannot_be_read_leaves_no_project(
    folder: Path, told: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table(folder)
    assert project.main(told) == 1
    assert sentence in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["my table.csv"]


def test_a_project_is_not_made_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "refit.toml").write_text("seed = 1\n")
    assert project.main([]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "refit.toml").read_text() == "seed = 1\n"


@pytest.mark.parametrize("told", [["my.csv"], ["--target", "y"]])
def test_a_table_and_its_target_go_together(told: list[str], folder: Path) -> None:
    with pytest.raises(SystemExit) as end:
        project.main(told)
    assert end.value.code == 2
