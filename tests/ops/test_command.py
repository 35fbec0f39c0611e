"""The one command's actions and exit codes, without a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml.settings import load
from ops import NoChampion, __main__, command, terminal
from ops.layout import Layout


def test_start_closes_the_loop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fresh home the DAGs were left paused: nothing was watched and nothing retrained."""
    done: list[str] = []
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    for name in ("ensure_running", "close_loop", "addresses"):
        monkeypatch.setattr(command, name, lambda *_, name=name: done.append(name))
    assert command.perform(__main__.parser().parse_args(["--start"])) == 0
    assert done == ["ensure_running", "close_loop", "addresses"]


def test_a_run_that_leaves_no_champion_has_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `python -m ml pipeline` has it: what was decided, and what a person may do."""
    layout = Layout(load({"REFIT_HOME": str(tmp_path)}))
    results: dict[str, Any] = {
        "evaluate": {"sentence": "Not promoted: too little.", "bundle": "none"},
        "promote": {"promoted": False, "champion": "", "version": "1"},
    }
    with pytest.raises(NoChampion, match="Not promoted"):
        terminal.summary(layout, terminal.Terminal(), results)

    def ends(*_: object) -> int:
        terminal.summary(layout, terminal.Terminal(), results)
        return 0

    monkeypatch.setattr(command, "perform", ends)
    assert __main__.main(["--status"]) == 4
    assert "python -m ml promote --version 1" in capsys.readouterr().err
