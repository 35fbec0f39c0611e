"""Where settings come from: `refit.toml`, then `var/settings.json`, then `REFIT_*`. The one place that reads them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import msgspec

from ml.errors import SettingsError
from ml.messages import message
from ml.settings.faults import Layer, did_you_mean, environment_layers, fault, placed
from ml.settings.sections import CHECKOUT, Schedule, Section, Settings

# Settings of before, and what replaced them: whose file still has one is told.
REPLACED = {"drift.renewal_gain": "drift.evidence_nats"}
# Known without croniter, which is loaded for others alone: the defaults, and the preset that it lacks and Airflow has.
_CRONS = {Schedule().retrain_cron, Schedule().drift_cron, "@quarterly"}
_NOT_SETTINGS = {"REFIT_HOME", "REFIT_CONFIG"}  # read here by themselves


def load(
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    chosen: bool = True,
) -> Settings:
    """Read `refit.toml`, lay `var/settings.json` over it, then the environment, then `overrides`.

    Parameters
    ----------
    environ
        Defaults to the process's environment.
    file
        Defaults to `$REFIT_CONFIG`, else `refit.toml` in the home, else in the checkout.
    overrides
        Nested mapping, as `{"tune": {"max_evals": 5}}`: a DAG run's parameters, a command's options.
    chosen
        Whether the choice of data in `var/settings.json` counts: not for a command that names another table, whose
        columns are not that one's.

    Raises
    ------
    SettingsError
        An unknown key, a value of the wrong type, or a file that is not TOML (JSON for settings.json).
    """
    environ = os.environ if environ is None else environ
    home = Path(environ.get("REFIT_HOME") or CHECKOUT).expanduser().resolve()
    kept = _read_chosen(chosen_file(home))
    named = file or _config_file(environ, home)
    layers = [
        Layer(named, _read_toml(named)),
        Layer(chosen_file(home), kept if chosen else {name: one for name, one in kept.items() if name != "data"}),
        *environment_layers(from_environment(environ)),
        Layer("", overrides or {}),
    ]
    values: dict[str, Any] = {}
    for layer in layers:
        _merge(values, layer.values)
    values["home"] = str(home)
    return from_values(values, layers)


def from_values(values: Mapping[str, Any], layers: Sequence[Layer] = ()) -> Settings:
    """Settings from a nested mapping, with the same checks as `load`.

    Parameters
    ----------
    layers
        What was laid over each other to give the values, the strongest last: names the place of what is wrong.
    """
    for old, new in REPLACED.items():
        section, _, key = old.partition(".")
        if isinstance(of_section := values.get(section), Mapping) and key in of_section:
            raise placed(message("settings.replaced", old=old, new=new), [section, key], layers)
    try:
        settings = msgspec.convert(
            values, Settings, strict=False, dec_hook=lambda kind, value: kind(value) if kind is Path else value
        )
    except msgspec.ValidationError as error:
        raise fault(str(error), values, layers) from error
    _check_schedule(settings.schedule, layers)
    return settings


def _check_schedule(schedule: Schedule, layers: Sequence[Layer]) -> None:
    """Refuse what Airflow cannot read as a time: its DAG would be gone, and nobody told."""
    for name, dag in (("retrain_cron", "retrain"), ("drift_cron", "drift_check")):
        if not _is_cron(text := getattr(schedule, name)):
            what = message("settings.no_cron", setting=f"schedule.{name}", got=text, dag=dag)
            raise placed(what, ["schedule", name], layers)


def _is_cron(text: str) -> bool:
    """Whether Airflow's `CronTriggerTimetable` takes it: a preset of its own, or what croniter reads."""
    if text in _CRONS:
        return True
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    try:
        croniter(text)
    except CroniterError:
        return False
    return True


def to_values(settings: Settings) -> dict[str, Any]:
    """The nested mapping that `from_values` reads back: JSON-able."""
    values: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return values


def chosen_file(home: Path) -> Path:
    """Where `./run_pipeline.sh --data …` keeps what it was told, for every later run."""
    return home / "var" / "settings.json"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Nested settings from the `REFIT_*` variables of a mapping.

    Raises
    ------
    SettingsError
        There is no such setting, or its text cannot be read.
    """
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith("REFIT_") or name in _NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix("REFIT_").lower().partition("__")
        owner: Any = Settings
        target, field = values, section
        if key:
            owner = get_type_hints(Settings).get(section)
            if not (isinstance(owner, type) and issubclass(owner, Section)):
                why = message("settings.no_section", name=name, section=section)
                raise SettingsError(did_you_mean(why, section, Settings))
            target, field = values.setdefault(section, {}), key
        if (new := REPLACED.get(f"{section}.{field}")) is not None:
            raise SettingsError(message("settings.replaced", old=name, new=new))
        hint = get_type_hints(owner).get(field)
        if hint is None or (isinstance(hint, type) and issubclass(hint, Section)):
            why = message("settings.no_setting", name=name, setting=field)
            if key:
                why = message("settings.no_setting_in", name=name, setting=field, section=section)
            raise SettingsError(did_you_mean(why, field, owner))
        target[field] = _parse(name, text, hint)
    return values


def _config_file(environ: Mapping[str, str], home: Path) -> Path:
    if named := environ.get("REFIT_CONFIG"):
        return Path(named)
    return home / "refit.toml" if (home / "refit.toml").exists() else CHECKOUT / "refit.toml"


def _read_toml(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(message("settings.no_toml", file=str(file), error=str(error))) from error


def _read_chosen(file: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        return values
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise SettingsError(message("settings.chosen_no_json", file=str(file), error=str(error))) from error


def _parse(name: str, text: str, hint: Any) -> Any:
    """Text to what msgspec converts further: JSON or comma-separated for lists, JSON for mappings."""
    kinds = {get_origin(hint) or hint} | {get_origin(arg) for arg in getattr(hint, "__args__", ())}
    if not kinds & {tuple, dict}:
        return text
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise SettingsError(message("settings.no_json", name=name, error=str(error))) from error
    if dict in kinds:
        raise SettingsError(message("settings.mapping", name=name, got=repr(text)))
    return [part.strip() for part in text.split(",") if part.strip()]


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
