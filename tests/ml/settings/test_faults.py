"""Faults of settings as a person reads them: which place says it, the setting, what was expected, and what came."""

import json
from pathlib import Path

import pytest

from ml import settings
from ml.errors import SettingsError

WRONG = [
    ("tune", "max_evals", "many", "tune.max_evals: expected a whole number, got 'many'"),
    ("gate", "margin", [1], "gate.margin: expected a number, got a list"),
    ("drift", "track", "maybe", "drift.track: expected true or false, got 'maybe'"),
    ("data", "target", 3, "data.target: expected a text, got 3"),
    ("data", "exclude", "x", "data.exclude: expected a list, got 'x'"),
    ("data", "exclude", ["x", 1], "data.exclude.1: expected a text, got 1"),
    ("data", "kinds", {"a": "number", "b.c": 1}, "data.kinds.b.c: expected a text, got 1"),
    ("synthetic", "weights", "a", "synthetic.weights: expected a list, got 'a'"),
    ("gate", "policy", 3, "gate.policy: expected one of gate, always, never, got '3'"),
    ("gate", "polcy", "gate", "there is no setting 'polcy' in [gate]; did you mean 'policy'?"),
    ("gaet", "policy", "gate", "there is no section 'gaet'; did you mean 'gate'?"),
    ("", "gaet", 1, "there is no setting 'gaet'; did you mean 'gate'?"),
    ("", "drift", 3, "drift: expected a table of names and values, got 3"),
    ("", "serving_port", "many", "serving_port: expected a whole number, got 'many'"),
    ("drift", "renewal_gain", 1, "drift.renewal_gain is no setting any more"),
    ("schedule", "retrain_cron", "daily", "schedule.retrain_cron: expected a time as cron writes it"),
]


@pytest.mark.parametrize(("section", "key", "value", "told"), WRONG)
def test_a_fault_names_its_place_the_setting_and_what_was_expected(
    tmp_path: Path, section: str, key: str, value: object, told: str
) -> None:
    """The file that says it, and not one below it that says it too; a run's own choices have no file."""
    values = {section: {key: value}} if section else {key: value}

    def error(**overrides: object) -> str:
        with pytest.raises(SettingsError) as found:
            settings.load({"REFIT_HOME": str(tmp_path)}, overrides=overrides)
        assert "$" not in str(found.value)
        assert "`" not in str(found.value)
        return str(found.value)

    name = "gaet" if "gaet" in told else f"{section}.{key}"
    assert error(**values).startswith(f"{name}: {told}" if "there is no" in told else told)
    inline = json.dumps(value) if not isinstance(value, dict) else '{ a = "number", "b.c" = 1 }'
    file = tmp_path / "refit.toml"
    file.write_text((f"[{section}]\n" if section else "") + f"{key} = {inline}\n", encoding="utf-8")
    assert error().startswith(f"{file}: {told}")
    chosen = settings.chosen_file(tmp_path)
    chosen.parent.mkdir()
    chosen.write_text(json.dumps(values), encoding="utf-8")
    assert error().startswith(f"{chosen}: {told}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("REFIT_SERVING_PORT", "REFIT_SERVING_PORT: serving_port: expected a whole number, got 'x'"),
        ("REFIT_TUNE__MAX_EVALS", "REFIT_TUNE__MAX_EVALS: tune.max_evals: expected a whole number, got 'x'"),
        ("REFIT_GAET__POLICY", "REFIT_GAET__POLICY: there is no section 'gaet'; did you mean 'gate'?"),
    ],
)
def test_a_fault_of_the_environment_names_its_variable(tmp_path: Path, name: str, told: str) -> None:
    """Though the file has the same setting, rightly."""
    (tmp_path / "refit.toml").write_text("serving_port = 8000\n[tune]\nmax_evals = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError) as found:
        settings.load({"REFIT_HOME": str(tmp_path), name: "x"})
    assert str(found.value) == told


@pytest.mark.parametrize(
    "values",
    [
        {"data": {"source": {"url": "postgresql://u:hunter2secret@h/db"}}},
        {"data": {"decimal": ["postgresql://u:hunter2secret@h/db"]}},
        {"data": {"decimal": "postgresql://u:hunter2secret@h/db"}},
        {"data": {"seed": "postgresql://u:hunter2secret@h/db"}},
        {"registry": "postgresql://u:hunter2secret@h/db"},
    ],
    ids=str,
)
def test_a_secret_at_a_wrong_place_is_not_told(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as found:
        settings.load({"REFIT_HOME": str(tmp_path)}, overrides=values)
    assert "hunter2" not in str(found.value)
    assert "expected" in str(found.value)


def test_a_name_is_not_taken_for_itself() -> None:
    with pytest.raises(SettingsError, match=r"there is no section 'home'$"):
        settings.load({"REFIT_HOME__X": "1"})
