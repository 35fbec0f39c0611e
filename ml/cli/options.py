"""Options that several commands share, and the way from them to settings."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ml.errors import SettingsError
from ml.settings import Settings, from_environment, from_values, load, to_values

Function = TypeVar("Function", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number; an empty text is no number given, which is how `mlflow run` leaves a parameter out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or None."""
        return None if value == "" else int(super().convert(value, param, ctx))


_DATA: list[Callable[[Any], Any]] = [
    click.option("--data", "data", metavar="FILE", help="Own table: CSV, compressed CSV or Parquet, a path or a URL."),
    click.option("--target", metavar="COLUMN", help="The column to predict."),
    click.option("--positive", metavar="LABEL", help="The class of interest, of two. Default: the rarer one."),
    click.option("--id", "ids", metavar="COLUMN", multiple=True, help="A column that names individuals; repeatable."),
    click.option("--time", "time_column", metavar="COLUMN", help="The column that orders rows in time."),
    click.option("--exclude", metavar="COLUMN", multiple=True, help="A column not to learn from; repeatable."),
    click.option(
        "--source", type=click.Choice(["synthetic", "customers", "file", "sql"]), help="Where rows come from."
    ),
    click.option("--rows", type=Whole(min=50), help="Size of a generated table (synthetic, customers)."),
]
_LEARNING: list[Callable[[Any], Any]] = [
    click.option("--families", metavar="A,B", help="Model families to search, comma-separated."),
    click.option("--max-evals", type=Whole(min=1), help="Trials of the search, baselines included."),
    click.option("--seed", type=Whole(min=0), help="Seed of training and tuning."),
]
_ALWAYS: list[Callable[[Any], Any]] = [
    click.option("--set", "more", metavar="SECTION.KEY=VALUE", multiple=True, help="Any other setting; repeatable."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for machines."),
]
run_option = click.option("--run", "run_key", metavar="KEY", help="The run to go on with. Default: the newest.")
force_option = click.option("--force", is_flag=True, help="Do it again, and forget the stages after it.")


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
    nested: dict[str, Any] = {}

    def put(section: str, key: str, value: Any) -> None:
        nested.setdefault(section, {})[key] = value

    if given.get("data"):
        put("data", "source", "file")
        put("data", "path", _absolute(given["data"]))
    plain = {"target": "target", "positive": "positive_label", "time_column": "time_column", "source": "source"}
    for option, key in plain.items():
        if given.get(option):
            put("data", key, given[option])
    for option, key in {"ids": "id_columns", "exclude": "exclude"}.items():
        if given.get(option):
            put("data", key, list(given[option]))
    if given.get("rows"):
        put("synthetic", "n_samples", given["rows"])
        put("customers", "n_samples", given["rows"])
    if given.get("families"):
        put("train", "families", [name.strip() for name in given["families"].split(",") if name.strip()])
    if given.get("max_evals"):
        put("tune", "max_evals", given["max_evals"])
    if given.get("seed") is not None:
        put("train", "seed", given["seed"])
        put("tune", "seed", given["seed"])
    for section, values in from_environment(_as_variables(given.get("more") or ())).items():
        if isinstance(values, dict):
            nested.setdefault(section, {}).update(values)
        else:
            nested[section] = values
    return nested


def settings_for(given: dict[str, Any], *, run_key: str | None = None) -> Settings:
    """Settings of this machine, the run's own over them where it has some, the options over all."""
    base = load()
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
        raise SettingsError("there is no run yet; next: python -m ml generate, or python -m ml pipeline for all stages")
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
