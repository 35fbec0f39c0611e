"""What a run may be told is the same in the four places that ask, each under its own names."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ml.cli.options import overrides
from ml.cli.stages import generate, pipeline
from ml.data import ingestion
from ml.errors import DataError, RegistryUnavailable, SettingsError
from ml.registry import contract
from ml.settings import Settings, from_values, load, options
from ml.settings.options import RUN_OPTIONS, RunOption
from ops import Interrupted, RunFailed, command
from ops import __main__ as stack
from ops.layout import Layout
from ops.terminal import Terminal

ROOT = Path(__file__).resolve().parent.parent.parent
# Of a command, and of no run: where it is kept, what is printed, what the exit code says.
NO_RUN_OPTIONS = {"run_key", "fail_if_refused", "more", "as_json", "force"}


@pytest.fixture
def form(airflow: Any) -> Any:
    """Airflow reads its configuration at import: `airflow` has written it."""
    from dags import form

    return form


def told(option: RunOption) -> Any:
    """A value that the option takes."""
    values = {"whole": option.minimum, "texts": ["a", "b"], "list": ["a"], "choice": option.choices[-1:]}
    found = values.get(option.kind, "text")
    return found[0] if option.kind == "choice" else found


@pytest.mark.parametrize("option", RUN_OPTIONS, ids=lambda option: option.name)
def test_an_option_is_a_setting(option: RunOption) -> None:
    """Each place is one of the settings, of that type; and nothing else is changed."""
    nested = options.overrides({option.name: told(option)})
    assert {f"{section}.{key}" for section in nested for key in nested[section]} == set(option.settings)
    from_values(nested)


def test_the_airflow_form_asks_for_what_it_may(form: Any) -> None:
    found = form.params(Settings())
    assert list(found) == [option.field for option in RUN_OPTIONS if option.field]
    for option in (option for option in RUN_OPTIONS if option.field):
        assert found[option.field].schema["title"] == option.title != "", option.name
        assert found[option.field].schema.get("minimum") == option.minimum
        assert found[option.field].schema.get("enum", [None])[1:] == list(option.choices)


def test_the_airflow_form_hands_on_what_was_filled_in(form: Any) -> None:
    filled = {option.field: told(option) for option in RUN_OPTIONS if option.field}
    assert form.overrides(filled) == options.overrides({o.name: told(o) for o in RUN_OPTIONS if o.field})
    assert form.overrides(dict.fromkeys(filled)) == form.overrides(dict.fromkeys(filled, "")) == {}


@pytest.mark.parametrize("asked", [pipeline, generate], ids=lambda asked: asked.name)
def test_the_command_line_takes_what_it_may(asked: click.Command) -> None:
    found = {param.name: param for param in asked.params if param.name not in NO_RUN_OPTIONS}
    wanted = {option.name: option for option in RUN_OPTIONS if option.command}
    assert set(found) == set(wanted)
    for name, option in wanted.items():
        assert found[name].opts == [option.command]
        assert found[name].multiple is (option.kind == "texts")
        assert getattr(found[name].type, "min", None) == option.minimum
        assert tuple(getattr(found[name].type, "choices", ())) == option.choices


def test_the_command_line_takes_a_table_for_a_file() -> None:
    """`--data` says the source too, unless that is told."""
    assert overrides({"data": "/t.csv"})["data"] == {"source": "file", "path": "/t.csv"}
    assert overrides({"data": "/t.csv", "source": "sql"})["data"]["source"] == "sql"


def test_the_one_command_takes_what_it_may() -> None:
    """It is written out there, since `--help` has to answer before anything is installed."""
    groups = {group.title: group for group in stack.parser()._action_groups}
    asked = [*groups["own data"]._group_actions, *groups["this run"]._group_actions]
    found = {action.option_strings[0]: action for action in asked}
    wanted = {option.stack: option for option in RUN_OPTIONS if option.stack}
    assert set(found) == set(wanted)
    for flag, option in wanted.items():
        assert isinstance(found[flag], argparse._AppendAction) is (option.kind == "texts"), flag
        assert (found[flag].type is not None) is (option.kind == "whole"), flag


def table(file: Path, target: str = "y") -> None:
    rows = [f"{i},{i % 7},{i * 7 % 11 * 0.37},{i % 2}" for i in range(60)]
    file.write_text("\n".join([f"a,b,x,{target}", *rows]) + "\n")


def test_a_choice_of_data_that_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tonight's run would fail on it; the choice before stays."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    table(tmp_path / "good.csv")
    table(tmp_path / "bad.csv", target="z")
    kept = tmp_path / "var" / "settings.json"
    for name in ("good", "bad"):
        arguments = stack.parser().parse_args(["--data", str(tmp_path / f"{name}.csv"), "--target", "y"])
        if name == "bad":
            with pytest.raises(DataError, match=r"data\.target names the column 'y'"):
                command.choose_data(Settings(home=tmp_path), arguments)
        else:
            command.choose_data(Settings(home=tmp_path), arguments)
        assert yaml.safe_load(kept.read_text(encoding="utf-8"))["data"]["path"] == str(tmp_path / "good.csv")


@pytest.mark.parametrize("ends", [None, RunFailed("generate failed"), Interrupted("left")], ids=str)
@pytest.mark.parametrize("first", [True, False], ids=["first", "again"])
def test_a_choice_that_later_runs_would_fail_on_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, ends: Exception | None
) -> None:
    """The run inferred other columns, and the champion stayed: unless it goes on, what was chosen before is chosen."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    table(tmp_path / "old.csv")
    table(tmp_path / "new.csv", target="z")
    kept, out = tmp_path / "var" / "settings.json", io.StringIO()
    if not first:
        command.choose_data(Settings(home=tmp_path), stack.parser().parse_args(_words(tmp_path / "old.csv", "y")))
    before = kept.read_bytes() if kept.is_file() else None
    asked = stack.parser().parse_args([*_words(tmp_path / "new.csv", "z"), "--schema", "infer"])
    layout = Layout(command.choose_data(Settings(home=tmp_path), asked))
    chosen = kept.read_bytes()
    old = {"source": "file", "path": str(tmp_path / "old.csv"), "target": "y"}
    schema = ingestion.check(load(overrides={"data": old | {"schema": "infer"}}))
    served = contract.Contract(version="1", schema=schema, snapshot="")
    monkeypatch.setattr(contract, "in_force", lambda settings: served)
    with (
        contextlib.nullcontext() if ends is None else pytest.raises(type(ends)),
        command.fitting_choice(layout, Terminal(out), before),
    ):
        if ends:
            raise ends
    if isinstance(ends, Interrupted):
        assert (kept.read_bytes(), out.getvalue()) == (chosen, "")
    else:
        assert (kept.read_bytes() if kept.is_file() else None) == before
        assert "data.target is 'z', and the champion predicts 'y'" in out.getvalue()
        assert "--policy always" in out.getvalue()


def test_a_choice_that_fits_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the environment is as it was: what runs would be started anew for what MLflow's client puts there."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    before = dict(os.environ)
    table(tmp_path / "t.csv")
    layout = Layout(
        command.choose_data(Settings(home=tmp_path), stack.parser().parse_args(_words(tmp_path / "t.csv", "y")))
    )
    with command.fitting_choice(layout, Terminal(io.StringIO()), None):
        pass
    assert (tmp_path / "var" / "settings.json").is_file()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "error", [RegistryUnavailable("silent"), SettingsError("broken"), OSError("no space")], ids=str
)
def test_a_look_that_fails_hides_nothing_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What a run came to is told, and the choice stays, where nobody can see whether later runs would read it."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    table(tmp_path / "t.csv")
    layout = Layout(
        command.choose_data(Settings(home=tmp_path), stack.parser().parse_args(_words(tmp_path / "t.csv", "y")))
    )

    def fails(_: Settings) -> None:
        raise error

    monkeypatch.setattr(command, "_check", fails)
    out = io.StringIO()
    with pytest.raises(RunFailed, match="train failed"), command.fitting_choice(layout, Terminal(out), None):
        raise RunFailed("train failed")
    with command.fitting_choice(layout, Terminal(out), None):
        pass
    assert out.getvalue().count("could not be seen, and it stays") == 2
    assert (tmp_path / "var" / "settings.json").is_file()


def _words(file: Path, target: str) -> list[str]:
    return ["--data", str(file), "--target", target]


def test_the_environment_may_say_what_the_command_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that `--data` does not set stands beside it; one that it sets would win over it, and is refused."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    monkeypatch.setenv("REFIT_DATA__EXCLUDE", "x")
    table(tmp_path / "t.csv")
    words = ["--data", str(tmp_path / "t.csv"), "--target", "y"]
    found = command.choose_data(Settings(home=tmp_path), stack.parser().parse_args(words))
    assert (found.data.path, found.data.exclude) == (str(tmp_path / "t.csv"), ("x",))
    with pytest.raises(SettingsError, match=r"REFIT_DATA__EXCLUDE is set .* win over --exclude"):
        command.choose_data(Settings(home=tmp_path), stack.parser().parse_args([*words, "--exclude", "a"]))
    monkeypatch.setenv("REFIT_DATA__SOURCE", "sql")
    with pytest.raises(SettingsError, match=r"REFIT_DATA__SOURCE is set .* win over --data"):
        command.choose_data(Settings(home=tmp_path), stack.parser().parse_args(words))


def test_the_one_command_hands_on_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is kept for every later run, the rest is this run's."""
    table(tmp_path / "t.csv")
    words = [
        "--data",
        str(tmp_path / "t.csv"),
        "--target",
        "y",
        "--id",
        "a",
        "--id",
        "b",
        "--evals",
        "7",
        "--seed",
        "0",
    ]
    arguments = stack.parser().parse_args(words)
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    found = command.choose_data(Settings(home=tmp_path), arguments)
    assert command._conf(arguments) == {"max_evals": 7, "seed": 0}
    kept = yaml.safe_load((tmp_path / "var" / "settings.json").read_text(encoding="utf-8"))["data"]
    assert kept == {
        "source": "file", "path": str(tmp_path / "t.csv"), "target": "y", "positive_label": "",
        "id_columns": ["a", "b"], "time_column": "", "exclude": [], "decimal": "", "dates": "",
    }  # fmt: skip
    assert isinstance(found, Settings)


def test_the_mlflow_project_takes_what_it_may() -> None:
    """`run` names the run to go on with; `train` and `tune` leave out what does not matter to them."""
    points = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    wanted = {option.parameter: option.command for option in RUN_OPTIONS if option.parameter}
    assert set(points["main"]["parameters"]) == {*wanted, "run"}
    for name, point in points.items():
        assert set(point["parameters"]) <= {*wanted, "run"}, name
        words = point["command"].split()
        for parameter in point["parameters"]:
            assert words[words.index(f"{{{parameter}}}") - 1] == {**wanted, "run": "--run"}[parameter], (
                name,
                parameter,
            )
