"""Options that several commands share, and the way from them to settings."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ml.errors import SettingsError
from ml.messages import message
from ml.settings import Settings, from_environment, from_values, load, to_values
from ml.settings import options as run_options
from ml.settings.options import RUN_OPTIONS, RunOption

Function = TypeVar("Function", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number; an empty text is no number given, which is how `mlflow run` leaves a parameter out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or None."""
        return None if value == "" else int(super().convert(value, param, ctx))


def _made(option: RunOption) -> Callable[[Any], Any]:
    """A click option from what a run may be told."""
    if not option.settings:  # only kept with the run
        return click.option(option.command, option.name, default="", help=option.help)
    if option.kind == "whole":
        return click.option(option.command, option.name, type=Whole(min=option.minimum), help=option.help)
    if option.kind == "choice":
        return click.option(option.command, option.name, type=click.Choice(option.choices), help=option.help)
    text = f"{option.help} Separated by commas." if option.kind == "list" else option.help
    many = option.kind == "texts"
    return click.option(option.command, option.name, metavar=option.metavar, multiple=many, help=text)


def _of(group: str) -> list[Callable[[Any], Any]]:
    return [_made(option) for option in RUN_OPTIONS if option.group == group and option.command]


_DATA = _of("Data")
_LEARNING = _of("Learning")
_ALWAYS: list[Callable[[Any], Any]] = [
    click.option("--set", "more", metavar="SECTION.KEY=VALUE", multiple=True, help="Any other setting; repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for machines."),
]
policy_option, reason_option = _of("Promotion")
run_option = click.option("--run", "run_key", metavar="KEY", help="The run to go on with. Default: the newest.")
force_option = click.option("--force", is_flag=True, help="Do it again, and forget the stages after it.")

engine_option = click.option(
    "--engine",
    type=click.Choice(["processes", "dask"]),
    help="Where: here, or on a Dask cluster. Default: tune.engine.",
)
engine_address_option = click.option(
    "--engine-address", metavar="ADDRESS", help="The cluster's scheduler. Default: tune.engine_address."
)


def options(*, data: bool = False, learning: bool = False) -> Callable[[Function], Function]:
    """Add the shared options to a command."""
    chosen = [*(_DATA if data else []), *(_LEARNING if learning else []), *_ALWAYS]

    def add(function: Function) -> Function:
        for option in reversed(chosen):
            function = option(function)
        return function

    return add


def overrides(given: dict[str, Any]) -> dict[str, Any]:
    """Nested settings from the options that were given."""
    chosen = {**given, "families": [name.strip() for name in (given.get("families") or "").split(",") if name.strip()]}
    if given.get("data"):
        chosen |= {"data": _absolute(given["data"])}
        chosen["source"] = given.get("source") or "file"
    nested: dict[str, Any] = {**run_options.overrides(chosen)}
    for section, values in from_environment(_as_variables(given.get("more") or ())).items():
        if isinstance(values, dict):
            nested.setdefault(section, {}).update(values)
        else:
            nested[section] = values
    return nested


def settings_for(given: dict[str, Any], *, run_key: str | None = None) -> Settings:
    """Settings of this machine, the run's own over them where it has some, the options over all."""
    base = load(chosen=not given.get("data"))
    if run_key:  # an empty one, as an MLflow project passes on, is none
        from ml.pipeline.workspace import Workspace

        base = Workspace(base, run_key).recall_settings(base)
    return merged(base, overrides(given))


def merged(base: Settings, nested: dict[str, Any]) -> Settings:
    """`base` with a nested mapping over it."""
    values = to_values(base)
    for section, change in nested.items():
        if isinstance(change, dict) and isinstance(values.get(section), dict):
            values[section] |= change
        else:
            values[section] = change
    return from_values(values)


def on_engine(settings: Settings, engine: str | None, address: str | None) -> Settings:
    """With the `engine` that was asked for; where none was, an `address` asks for a cluster."""
    engine = engine or ("dask" if address else settings.tune.engine)
    address = (address or settings.tune.engine_address) if engine == "dask" else ""
    return merged(settings, {"tune": {"engine": engine, "engine_address": address}})


def run_of(run_key: str | None) -> str:
    """The named run, else the newest one.

    Raises
    ------
    SettingsError
        There is none yet.
    """
    from ml.pipeline.workspace import latest

    found = run_key or latest(load())
    if found is None:
        raise SettingsError(message("training.no_run"))
    return found


def who() -> str:
    """Who asks, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _absolute(path: str) -> str:
    """A local path as seen from here: the run may be gone on with from another folder."""
    return path if "://" in path else str(Path(path).expanduser().resolve())


def _as_variables(texts: Sequence[str]) -> dict[str, str]:
    """SECTION.KEY=VALUE as the environment variable that would say the same."""
    variables = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set: expected SECTION.KEY=VALUE, got '{text}'")
        variables["REFIT_" + name.strip().upper().replace(".", "__")] = value
    return variables
