"""The one command's actions and exit codes, without a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from ml.settings import load
from ops import NoChampion, __main__, command, stack, terminal
from ops.layout import Layout


def test_start_closes_the_loop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fresh home the DAGs were left paused: nothing was watched and nothing retrained."""
    done: list[str] = []
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    for name in ("ensure_running", "close_loop", "addresses"):
        monkeypatch.setattr(command, name, lambda *_, name=name: done.append(name))
    assert command.perform(__main__.parser().parse_args(["--start"])) == 0
    assert done == ["ensure_running", "close_loop", "addresses"]


@pytest.mark.parametrize(
    ("arguments", "ignored"),
    [
        (["--status", "--evals", "5"], "--evals"),
        (["--stop", "--data", "default"], "--data"),
        (["--start", "--policy", "always"], "--policy"),
        (["--cancel", "--seed", "0"], "--seed"),
        (["--demo-drift", "--schema", "infer"], "--schema"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    arguments: list[str], ignored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(arguments)
    assert ended.value.code == 2
    assert f"{ignored} does nothing with {arguments[0]}" in capsys.readouterr().err


def test_ctrl_c_says_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start is undone; a run goes on, and can be ended."""
    stopped: list[Layout] = []

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    monkeypatch.setattr(stack, "troubles", lambda _: [])
    monkeypatch.setattr(stack, "start", interrupted)
    monkeypatch.setattr(stack, "stop", stopped.append)
    assert __main__.main(["--start"]) == 130
    assert len(stopped) == 1
    assert "stopped again" in capsys.readouterr().err

    class Api:
        def active_runs(self, _: str) -> list[str]:
            return []

        def trigger(self, *_: object) -> str:
            return "r1"

        def page(self, _: str, run_id: str) -> str:
            return f"http://airflow/{run_id}"

    monkeypatch.setattr(command, "ensure_running", lambda *_: None)
    monkeypatch.setattr(command, "close_loop", lambda *_: Api())
    monkeypatch.setattr(terminal.Watch, "to_the_end", interrupted)
    assert __main__.main([]) == 130
    told = capsys.readouterr().err
    assert "http://airflow/r1" in told
    assert "--cancel ends it" in told


def test_cancel_has_nothing_to_do_where_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    assert __main__.main(["--cancel"]) == 3


def test_cancel_does_not_say_that_nothing_runs_while_a_port_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    monkeypatch.setattr(stack, "left_listening", lambda _: {"service": psutil.Process()})
    assert __main__.main(["--cancel"]) == 1
    told = capsys.readouterr().out
    assert "The supervisor is gone" in told
    assert "Nothing runs" not in told


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


def test_a_task_that_begins_while_its_run_is_cancelled_is_ended_too() -> None:
    """Airflow marks what runs; what its executor starts in that moment would run on."""

    class Api:
        cancelled, looks = 0, iter(["queued", "running", "failed", "failed", "failed", "failed"])

        def cancel(self, *_: str) -> None:
            self.cancelled += 1

        def tasks(self, *_: str) -> list[dict[str, str]]:
            return [{"state": next(self.looks)}]

    api = Api()
    command.end_run(api, "r1")  # type: ignore[arg-type]
    assert api.cancelled == 2
