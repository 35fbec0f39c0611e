"""What a person sees while something takes a while."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest

from ml.settings import load
from ops import RunFailed, terminal
from ops.layout import Layout


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_step_says_how_far_it_is_and_what_it_took_the_last_time(tmp_path: Path) -> None:
    screen, kept = Screen(), tmp_path / "seconds"
    kept.write_text("38", encoding="ascii")
    with terminal.Terminal(screen).step("started", 2, kept) as say:
        say("waiting for mlflow")
        say("waiting for mlflow")
        say("waiting for the service")
    assert "step 1 of 2: waiting for mlflow (0 of about 38 s)" in screen.getvalue()
    assert "step 2 of 2: waiting for the service" in screen.getvalue()
    assert "step 3" not in screen.getvalue()
    assert kept.read_text(encoding="ascii") == "0"


def test_a_step_that_failed_is_no_estimate(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"), terminal.Terminal(Screen()).step("started", 2, tmp_path / "s"):
        raise OSError("gone")
    assert not (tmp_path / "s").exists()


def test_an_estimate_that_cannot_be_kept_or_read_costs_nothing_else(tmp_path: Path) -> None:
    """A start that had succeeded would be undone for it."""
    with terminal.Terminal(Screen()).step("started", 1, tmp_path / "gone" / "seconds") as say:
        say("waiting")
    screen, kept = Screen(), tmp_path / "seconds"
    kept.write_bytes(b"\xff\x00")
    with terminal.Terminal(screen).step("started", 1, kept) as say:
        say("waiting")
    assert "about" not in screen.getvalue()


def test_the_clock_ticks_while_nothing_is_said() -> None:
    screen = Screen()
    shown = terminal.Terminal(screen)
    with shown.step("done") as say:
        say("waiting")
        while "(1 s)" not in screen.getvalue():
            time.sleep(0.05)
    assert screen.getvalue().endswith("  done (1 s)\n")


def test_an_undefined_metric_is_said_to_be_one() -> None:
    """A class that no test row has: the summary of a good run ended in a trace."""
    measured = {"log_loss": {"value": 0.4, "low": 0.3, "high": 0.5}, "roc_auc": {"value": None}}
    assert terminal._headline({"metrics": measured}) == {
        "log_loss": "0.400  [0.300, 0.500]", "roc_auc": "undefined on these test rows"
    }  # fmt: skip


def test_a_metric_stands_beside_what_it_has_without_skill_and_at_half() -> None:
    """An accuracy of .656 says little where a constant answer has .757."""
    measured = {
        "metrics": {"accuracy": {"value": 0.656}},
        "no_skill": {"accuracy": 0.757},
        "at_half": {"accuracy": 0.781},
    }
    assert terminal._headline(measured) == {"accuracy": "0.656   without skill 0.757   at ½ 0.781"}


def test_a_run_that_failed_after_its_verdict_tells_it(tmp_path: Path) -> None:
    begin = "2026-11-26T10:00:00+00:00"
    tasks = [
        {"task_id": name, "state": state, "start_date": begin, "duration": 1.0, "try_number": 1}
        for name, state in (("evaluate", "success"), ("register", "failed"))
    ]

    class Api:
        def page(self, *_: str) -> str:
            return "http://airflow/run"

        def run(self, *_: str) -> dict[str, Any]:
            return {"state": "failed"}

        def runs(self, _: str) -> list[dict[str, Any]]:
            return []

        def tasks(self, *_: str) -> list[dict[str, Any]]:
            return tasks

        def log(self, *_: object) -> list[dict[str, Any]]:
            return []

        def result(self, *_: str) -> dict[str, Any]:
            return {"sentence": "Refused: worse on the newest rows."}

    layout = Layout(load({"REFIT_HOME": str(tmp_path)}))
    watch = terminal.Watch(Api(), layout, terminal.Terminal(Screen()), "retrain", "r1")  # type: ignore[arg-type]
    with pytest.raises(RunFailed, match=r"register failed.*\n.*\nThe gate's verdict before that: Refused: worse"):
        watch.to_the_end()


def test_a_run_says_its_step_and_what_the_last_one_took(tmp_path: Path) -> None:
    begin, end = "2026-11-26T10:00:00+00:00", "2026-11-26T10:01:35+00:00"
    states = iter(["running", "success"])
    tasks = [
        {"task_id": name, "state": state, "start_date": begin, "duration": 1.0, "try_number": 1}
        for name, state in (("generate", "success"), ("train", "running"), ("tune", None))
    ]

    made = {"found": [{"code": "data.found_note", "values": {}, "text": "note: the delimiter is semicolon"}]}

    class Api:
        def page(self, *_: str) -> str:
            return "http://airflow/run"

        def run(self, *_: str) -> dict[str, Any]:
            return {"state": next(states)}

        def runs(self, _: str) -> list[dict[str, Any]]:
            return [
                {"state": "running", "start_date": begin, "end_date": None},
                {"state": "success", "start_date": begin, "end_date": end},
            ]

        def tasks(self, *_: str) -> list[dict[str, Any]]:
            return tasks

        def result(self, *_: str) -> dict[str, Any]:
            return made

    screen, layout = Screen(), Layout(load({"REFIT_HOME": str(tmp_path)}))
    watch = terminal.Watch(Api(), layout, terminal.Terminal(screen), "retrain", "r1")  # type: ignore[arg-type]
    assert watch.to_the_end() == {"generate": made}
    assert "✓ generate     1.0 s\n      note: the delimiter is semicolon\n" in screen.getvalue()
    assert "step 2 of 3: train (0 s; the last run took 95 s)" in screen.getvalue()


def test_a_version_that_answers_something_else_has_a_way_to_serve() -> None:
    """Refused since it cannot be compared: what a person may do about it is said, and of no other refusal."""
    worse, other = ({"evaluate": {"messages": [{"code": f"gate.{code}"}]}, "register": {"version": "2"}}
                    for code in ("worse", "incomparable"))  # fmt: skip
    assert "python -m ml promote --version 2" in terminal.way_across(other)
    assert terminal.way_across(worse) == ""
    assert terminal.way_across({}) == ""
