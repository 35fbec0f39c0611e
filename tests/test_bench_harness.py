"""The benchmarks' harness: contenders take turns, figures are medians, the options are everywhere the same."""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import harness, streams


def test_its_examples_are_true() -> None:
    assert doctest.testmod(harness) == (0, 4)


def test_contenders_take_turns_at_being_first() -> None:
    order: list[str] = []

    def contender(name: str) -> Callable[[], harness.Figures]:
        def run() -> harness.Figures:
            order.append(name)
            return {"place": float(len(order))}

        return run

    found = harness.in_turns({name: contender(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert list(found) == ["a", "b", "c"]
    assert found["a"] == {"place": 6.0}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_result_is_for_machines_or_for_people(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    parsed = harness.options("What.", no_peer="alone").parse_args(["--no-peer", *(["--json"] if as_json else [])])
    assert parsed.no_peer
    harness.show({"s": 1.0}, lambda: "one second", as_json=parsed.json)
    printed = capsys.readouterr().out
    assert (json.loads(printed) if as_json else printed) == ({"s": 1.0} if as_json else "one second\n")


PROGRAMS = [path for path in sorted(Path(harness.__file__).parent.glob("*.py")) if "def main(" in path.read_text()]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_has_no_options_of_its_own_kind(program: Path) -> None:
    """They are added to the harness's parser, so that help and `--json` are the same everywhere."""
    text = program.read_text(encoding="utf-8")
    assert "harness.options(" in text
    assert not re.search(r"^import click|ArgumentParser\(", text, re.MULTILINE)


def test_shares_of_a_stream_are_of_the_gain_over_never_retraining() -> None:
    """In log-loss less is more; a rival that gained nothing has no shares."""
    rows = {
        "static": {"accuracy": 0.7, "log_loss": 0.6},
        "refit": {"accuracy": 0.8, "log_loss": 0.5},
        "every window": {"accuracy": 0.75, "log_loss": 0.4},
        "worse": {"accuracy": 0.7, "log_loss": 0.7},
    }
    assert streams.share(rows, "accuracy", "every window") == pytest.approx(2.0)
    assert streams.share(rows, "log_loss", "every window") == pytest.approx(0.5)
    assert streams.share(rows, "accuracy", "worse") is None
    assert streams.share(rows, "log_loss", "worse") is None
