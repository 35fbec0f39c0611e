"""The command `refit`: which program is behind its words, and where it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml import cli
from ml.commands import _WORDS, spoken
from refit import __main__ as refit
from tests.conftest import CHECKOUT


def called(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
    return subprocess.run(
        [sys.executable, CHECKOUT / "refit" / "__main__.py", *words],
        cwd=cwd, env=environment | more, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["up", "--evals", "5"], ["-m", "ops", "--evals", "5"]),
        (["down"], ["-m", "ops", "--stop"]),
        (["versions", "--json"], ["-m", "ml", "status", "--json"]),
        (["pipeline", "--seed", "1"], ["-m", "ml", "pipeline", "--seed", "1"]),
    ],
)
def test_words_are_programs_of_the_checkout(words: list[str], program: list[str]) -> None:
    assert refit.command(words) == program


def test_no_word_hides_a_command_of_the_library_but_status() -> None:
    """Which is there as `versions`, since whoever asks `refit status` asks for what runs."""
    assert set(refit.WORDS) & set(cli.COMMANDS) == {"status"}


def test_every_word_that_a_sentence_may_name_is_one() -> None:
    named = {theirs.split()[1] for _, theirs in _WORDS if theirs.startswith("refit ")}  # one is of pip
    assert named <= set(refit.WORDS)
    for ours, theirs in _WORDS:
        assert spoken(f"next: {ours} x", installed=True) == f"next: {theirs} x"
        assert spoken(f"next: {ours} x", installed=False) == f"next: {ours} x"


def test_help_needs_no_project(tmp_path: Path) -> None:
    told = called("--help", cwd=tmp_path)
    assert told.returncode == 0
    assert all(f"  {word}" in told.stdout for word in refit.WORDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["up", "status", "pipeline"])
def test_a_folder_that_is_no_project_is_left_alone(word: str, tmp_path: Path) -> None:
    told = called(word, cwd=tmp_path)
    assert told.returncode == 2
    assert told.stderr == f"{tmp_path} is no project: there is no refit.toml. Make it one with: refit init\n"
    assert list(tmp_path.iterdir()) == []


def test_what_is_started_finds_the_tree_and_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / "refit.toml").write_text("")
    (tmp_path / "ml.py").write_text("raise SystemExit('the wrong one')")
    told = called("versions", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "none yet" in told.stdout
    assert (tmp_path / "var").is_dir()
