"""The command line: quick to answer, plain about mistakes, and the same JSON as the library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from ml.cli import COMMANDS, main, show
from ml.cli.options import merged, overrides
from ml.cli.show import Bar
from ml.errors import SettingsError
from ml.evaluation.bootstrap import Interval
from ml.messages import message
from ml.pipeline import model_card
from ml.pipeline.stages.records import EvaluationRecord
from ml.settings import Settings
from ml.settings.sections import Registry


def refit(*arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m ml` as a user does."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("REFIT_")}
    env |= {"REFIT_HOME": str(home), "REFIT_MLFLOW_PORT": "1", "REFIT_SERVING_PORT": "1", **environ}
    return subprocess.run(
        [sys.executable, "-m", "ml", *arguments], capture_output=True, text=True, env=env, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    """`--help` answers at once: no library of the learning core is loaded for it."""
    heavy = ("pandas", "sklearn", "torch", "mlflow", "hyperopt", "scipy", "sqlalchemy", "onnxruntime", "numpy")
    code = (
        "import sys; from click.testing import CliRunner; from ml.cli import main\n"
        f"r = CliRunner().invoke(main, ['--help']); print(r.exit_code, [m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    """Each command has help, a sentence in the overview, and --json."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.help or "").strip()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["frobnicate"], 2, "No such command"),
        (["pipeline", "--rows", "3"], 2, "not in the range"),
        (["pipeline", "--max-evals", "many"], 2, "not a valid integer"),
        (["pipeline", "--set", "nonsense"], 2, "SECTION.KEY=VALUE"),
        (["pipeline", "--set", "tune.nonsense=1"], 1, "there is no setting 'nonsense'"),
        (["pipeline", "--set", "gate.policy=maybe"], 1, "maybe"),
        (["promote", "--version", "3"], 2, "--reason"),
        (["promote", "--version", "3", "--run", "x"], 2, "either"),
        (["rollback"], 2, "--reason"),
        (["train"], 1, "next: python -m ml generate"),
        (["tune", "--run", "../x"], 1, "run key"),
        (["evaluate", "--run", "none-such"], 1, "has no generate yet"),
        # As an MLflow project runs them: a parameter left out comes as an empty option.
        (["pipeline", "--run", "", "--data", "none.csv", "--target", "y"], 1, "none.csv"),
        (["train", "--start", "--run", "", "--data", "none.csv", "--target", "y"], 1, "none.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_told_in_a_sentence(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """Wrong usage is 2, an error is 1, and neither shows a trace."""
    done = refit(*arguments, home=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_options_become_settings(tmp_path: Path) -> None:
    """Own data, learning and any other setting, from options alone."""
    given: dict[str, Any] = {
        "data": "https://example.com/t.csv", "target": "Churn", "positive": "Yes", "ids": ("a", "b"),
        "time_column": "when", "exclude": ("x",), "families": "logistic, mlp", "max_evals": 7, "seed": 3,
        "more": ("gate.confidence=0.9", "approval=required", "data.kinds={\"zip\": \"category\"}"),
    }  # fmt: skip
    settings = merged(Settings(home=tmp_path), overrides(given))
    assert (settings.data.source, settings.data.path) == ("file", "https://example.com/t.csv")
    assert (settings.data.target, settings.data.positive_label) == ("Churn", "Yes")
    assert (settings.data.id_columns, settings.data.time_column, settings.data.exclude) == (("a", "b"), "when", ("x",))
    assert settings.data.kinds == {"zip": "category"}
    assert settings.train.families == ("logistic", "mlp")
    assert (settings.tune.max_evals, settings.train.seed, settings.tune.seed) == (7, 3, 3)
    assert (settings.gate.confidence, settings.approval) == (0.9, "required")


def test_empty_options_change_nothing(tmp_path: Path) -> None:
    """`mlflow run` gives every parameter, empty where it was left out."""
    empty = {"data": "", "target": "", "families": "", "max_evals": None, "seed": None, "ids": (), "more": ()}
    assert overrides(empty) == {}


def test_seed_zero_is_a_seed(tmp_path: Path) -> None:
    """0 is given, not left out."""
    assert overrides({"seed": 0}) == {"train": {"seed": 0}, "tune": {"seed": 0}}


def test_local_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run can be gone on with from another folder."""
    monkeypatch.chdir(tmp_path)
    assert overrides({"data": "t.csv"})["data"]["path"] == str(tmp_path / "t.csv")


def test_unknown_choice_is_a_settings_error(tmp_path: Path) -> None:
    """The same check as for refit.toml."""
    with pytest.raises(SettingsError):
        merged(Settings(home=tmp_path), {"data": {"source": "tape"}})


def test_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A log file is not filled with progress."""
    with Bar() as bar:
        bar.update("tune", 1, 3, "note")
    assert capsys.readouterr() == ("", "")


def test_undefined_metric_is_shown_as_such() -> None:
    """A class that no test row has leaves some metrics undefined: a line says so, and nothing ends in a trace."""
    found = EvaluationRecord(
        bundle="", sha256="", model="", family="mlp", promote=False, message="", messages=(), champion="",
        metrics={"accuracy": 0.5, "roc_auc": None}, run_id="", mlflow_url="",
    )  # fmt: skip
    assert show.metrics_of(found) == "  accuracy   0.5000\n  roc_auc    undefined"
    beside = msgspec.structs.replace(
        found, no_skill={"accuracy": 0.6, "roc_auc": 0.5}, at_half={"accuracy": 0.7}, told=(message("gate.no_rows"),)
    )
    assert show.metrics_of(beside).splitlines() == [
        "  accuracy   0.5000   without skill 0.6000   at ½ 0.7000",
        "  roc_auc    undefined   without skill 0.5000",
        "  no labelled rows to judge on",
    ]
    assert model_card._interval(Interval()).code == "card.undefined"
    assert str(model_card._interval(Interval(0.5))) == "0.5000"


def test_a_link_to_pages_that_no_server_shows_says_what_opens_them(tmp_path: Path) -> None:
    """Without a stack nothing listens there."""
    settings = Settings(home=tmp_path, mlflow_port=1)
    line = "MLflow    http://127.0.0.1:1/#/x"
    told = f"{line}\n          no server shows it there yet: "

    def said(**registry: str) -> str:
        own = msgspec.structs.replace(settings, registry=Registry(**registry))
        return show.mlflow_line(own, "http://127.0.0.1:1/#/x")

    assert said() == f"{told}./mlflow_ui.sh or ./run_pipeline.sh --start does"
    assert said(tracking_uri="sqlite:////s.db") == f"{told}a server of MLflow's on registry.tracking_uri does"
    assert said(tracking_uri="http://127.0.0.1:1") == line
    assert said(public_url="https://mlflow.example") == line


def test_pipeline_then_status(tmp_path: Path) -> None:
    """One small run as a user types it: JSON of all stages, and then what serves and who said so."""
    small = ["--rows", "300", "--families", "logistic", "--max-evals", "2", "--set", "tune.workers=1"]
    done = refit("pipeline", "--json", "--reason", "trial", *small, "--set", "tune.n_bootstrap=50", home=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["stages"]) == ["generate", "train", "tune", "evaluate", "register", "promote"]
    assert found["stages"]["promote"]["promoted"] is True
    status = refit("status", "--json", home=tmp_path)
    told = json.loads(status.stdout)
    assert told["champion"]["version"] == found["stages"]["register"]["version"]
    assert [e["what"] for e in told["ledger"]] == ["promoted", "registered"]
    assert "trial" in told["ledger"][0]["why"]
    plain = refit("status", home=tmp_path)
    assert "champion   version 1, logistic" in plain.stdout
    again = refit("promote", "--fail-if-refused", home=tmp_path)
    assert (again.returncode, "champion" in again.stdout) == (0, True)
    back = refit("rollback", "--reason", "no reason", home=tmp_path)
    assert back.returncode == 1
    assert "nothing to go back to" in back.stderr
    client = MlflowClient(told["mlflow"], told["mlflow"])
    client.delete_registered_model_alias(told["model"], "champion")
    lost = refit("status", home=tmp_path)
    assert "alias `champion` was deleted in MLflow's registry; the service still serves version 1" in lost.stdout
    assert "promote --version 1 --reason" in lost.stdout
    assert "none yet" not in lost.stdout
    client.delete_model_version(told["model"], "1")
    lost = refit("status", home=tmp_path)
    assert "version 1 was deleted in MLflow's registry; the service still serves version 1" in lost.stdout
    assert "promote --version ANOTHER --reason" in lost.stdout, "that one cannot be promoted again"


def test_pipeline_without_a_champion_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """Labels that nothing tells: the challenger is below the floor, and nothing serves. Wanted so, it is a success."""
    small = ["--rows", "300", "--families", "logistic", "--max-evals", "2", "--set", "tune.workers=1"]
    small += ["--set", "tune.n_bootstrap=50", "--set", "synthetic.flip_y=1"]
    done = refit("pipeline", *small, home=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Not promoted" in done.stdout
    assert "no server shows it there yet: ./mlflow_ui.sh" in done.stdout
    wanted = refit("pipeline", *small, "--set", "gate.policy=never", home=tmp_path)
    assert wanted.returncode == 0, wanted.stdout + wanted.stderr
