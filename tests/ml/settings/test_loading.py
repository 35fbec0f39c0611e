"""Settings: defaults, the file, the environment, and errors that name the key."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from ml import settings
from ml.errors import SettingsError
from ml.settings import CHECKOUT, Section, Settings, toml

FILE = CHECKOUT / "refit.toml"


def load(tmp_path: Path, **environ: str) -> Settings:
    """Settings of an empty home."""
    return settings.load({"REFIT_HOME": str(tmp_path), **environ})


def test_the_file_says_what_the_code_says(tmp_path: Path) -> None:
    """`python -m ml.settings.toml > refit.toml` renews it."""
    assert FILE.read_text(encoding="utf-8") == toml.render()
    assert load(tmp_path) == settings.from_values({"home": str(tmp_path)})


def test_the_file_has_every_key() -> None:
    written = tomllib.loads(FILE.read_text(encoding="utf-8"))
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.default, Section):
            unset = {name for name in field.default.__struct_fields__ if getattr(field.default, name) is None}
            assert set(written[field.name]) == set(field.default.__struct_fields__) - unset


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "refit.toml").write_text('[data]\ntarget = "a"\npositive_label = "p"\n', encoding="utf-8")
    got = load(tmp_path, REFIT_DATA__TARGET="b", REFIT_SERVING_PORT="9000")
    assert (got.data.target, got.data.positive_label, got.serving_port) == ("b", "p", 9000)


def test_overrides_win_over_the_environment(tmp_path: Path) -> None:
    environ = {"REFIT_HOME": str(tmp_path), "REFIT_TUNE__MAX_EVALS": "7"}
    assert settings.load(environ, overrides={"tune": {"max_evals": 3}}).tune.max_evals == 3


@pytest.mark.parametrize(
    ("text", "expected"), [("a,b", ("a", "b")), (" a , b ", ("a", "b")), ('["a,b"]', ("a,b",)), ("", ())]
)
def test_lists_in_the_environment(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert load(tmp_path, REFIT_DATA__ID_COLUMNS=text).data.id_columns == expected


def test_mappings_in_the_environment_are_json(tmp_path: Path) -> None:
    assert load(tmp_path, REFIT_DATA__KINDS='{"a": "category"}').data.kinds == {"a": "category"}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"REFIT_DATA__TARGT": "x"}, "REFIT_DATA__TARGT"),
        ({"REFIT_DATE__TARGET": "x"}, "date"),
        ({"REFIT_NONSENSE": "x"}, "nonsense"),
        ({"REFIT_DATA": "x"}, "REFIT_DATA"),
        ({"REFIT_SERVING_PORT": "many"}, "serving_port"),
        ({"REFIT_DATA__SOURCE": "excel"}, "excel"),
        ({"REFIT_DATA__KINDS": "a=category"}, "JSON object"),
        ({"REFIT_DATA__ID_COLUMNS": '["a"'}, "REFIT_DATA__ID_COLUMNS"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_errors_name_the_variable(tmp_path: Path, environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(tmp_path, **environ)


@pytest.mark.parametrize(("text", "words"), [("[data]\ntargt = 1\n", "targt"), ("[data\n", "not valid TOML")])
def test_errors_of_the_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "refit.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=words):
        load(tmp_path)


def test_values_survive_being_written(tmp_path: Path) -> None:
    got = load(tmp_path, REFIT_DATA__KINDS='{"a": "number"}', REFIT_DATA__EXCLUDE="x,y")
    assert settings.from_values(settings.to_values(got)) == got


def test_importing_does_nothing_and_is_light() -> None:
    code = (
        "import sys, ml, ml.settings, ml.data;"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'sklearn', 'torch'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", ["", " "])
def test_an_empty_target_is_refused(tmp_path: Path, target: str) -> None:
    """Before anything runs, from the form or a file."""
    with pytest.raises(SettingsError, match=r"data\.target is empty"):
        settings.load({"REFIT_HOME": str(tmp_path)}, overrides={"data": {"target": target}})


def test_a_setting_of_before_says_what_replaced_it(tmp_path: Path) -> None:
    """In the file and in the environment."""
    told = "drift.evidence_nats replaced it"
    with pytest.raises(SettingsError, match=f"REFIT_DRIFT__RENEWAL_GAIN is no setting any more: {told}"):
        load(tmp_path, REFIT_DRIFT__RENEWAL_GAIN="0.005")
    (tmp_path / "refit.toml").write_text("[drift]\nrenewal_gain = 0.005\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"drift.renewal_gain is no setting any more: {told}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("REFIT_GATE__POLICY", "nevr", "gate.policy: expected one of gate, always, never, got 'nevr'"),
        ("REFIT_GATE__POLICYY", "never", "there is no setting 'policyy' in [gate]; did you mean 'policy'?"),
        ("REFIT_APPROVAL", "maybe", "approval: expected one of none, required, got 'maybe'"),
        ("REFIT_GATE__QQQ", "1", "there is no setting 'qqq' in [gate]$"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told).replace(r"\$", "$")):
        load(tmp_path, **{name: text})


@pytest.mark.parametrize("text", ["every day", "0 3 * *", "", "61 * * * *", "H 3 * * *", "@once", "* * * * * * * *"])
@pytest.mark.parametrize(("name", "dag"), [("retrain_cron", "retrain"), ("drift_cron", "drift_check")])
def test_a_time_that_airflow_cannot_read_is_refused(tmp_path: Path, name: str, dag: str, text: str) -> None:
    """From the file, from the environment, and from a run's own choices."""
    told = re.escape(f"schedule.{name}: expected a time as cron writes it, in UTC, such as '0 3 * * *'")
    told += f".*got '{re.escape(text)}'; to switch it off, pause the DAG {dag} in Airflow$"
    with pytest.raises(SettingsError, match=told):
        load(tmp_path, **{f"REFIT_SCHEDULE__{name.upper()}": text})
    with pytest.raises(SettingsError, match=told):
        settings.load({"REFIT_HOME": str(tmp_path)}, overrides={"schedule": {name: text}})
    (tmp_path / "refit.toml").write_text(f'[schedule]\n{name} = "{text}"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=told):
        load(tmp_path)


@pytest.mark.parametrize(
    "text", ["@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "0 0 29 2 *", "* * * * * */10"]
)
def test_a_time_that_airflow_reads_is_taken(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, REFIT_SCHEDULE__RETRAIN_CRON=text).schedule.retrain_cron == text


def test_another_table_is_not_read_by_an_earlier_choice(tmp_path: Path) -> None:
    """Its columns are not that one's; what the file says of every table stays."""
    (tmp_path / "var").mkdir()
    (tmp_path / "refit.toml").write_text("[data]\nmax_classes = 7\n", encoding="utf-8")
    chosen = {"data": {"path": "old.csv", "time_column": "t"}, "tune": {"workers": 1}}
    settings.chosen_file(tmp_path).write_text(json.dumps(chosen), encoding="utf-8")
    environ = {"REFIT_HOME": str(tmp_path)}
    assert settings.load(environ).data.time_column == "t"
    other = settings.load(environ, chosen=False)
    assert (other.data.time_column, other.data.max_classes, other.tune.workers) == ("", 7, 1)


@pytest.mark.parametrize(
    ("engine", "address", "said"),
    [
        ("dask", "", "expected its scheduler in tune.engine_address, as tcp://HOST:8786"),
        ("dask", "127.0.0.1:8786", "as tcp://HOST:8786 or tls://HOST:8786, got '127.0.0.1:8786'"),
        ("processes", "tcp://a:8786", "tune.engine_address is 'tcp://a:8786', and tune.engine is processes"),
    ],
)
def test_an_engine_and_its_address_go_together(tmp_path: Path, engine: str, address: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load(tmp_path, REFIT_TUNE__ENGINE=engine, REFIT_TUNE__ENGINE_ADDRESS=address)
    assert load(tmp_path, REFIT_TUNE__ENGINE="dask", REFIT_TUNE__ENGINE_ADDRESS="tls://a:8786").tune.engine == "dask"
