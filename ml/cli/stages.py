"""The pipeline and its stages as commands."""

from __future__ import annotations

import sys
from typing import Any

import click

from ml.cli import show
from ml.cli.options import force_option, options, reason_option, run_of, run_option, settings_for, who
from ml.pipeline.workspace import new_key

REFUSED = 3  # exit code of --fail-if-refused


@click.command()
@click.option(
    "--run", "run_key", metavar="KEY", help="Name of the run; an unfinished one is gone on with. Default: a new one."
)
@reason_option
@click.option("--fail-if-refused", is_flag=True, help="Exit with 3 when the gate keeps the champion.")
@options(data=True, learning=True)
def pipeline(run_key: str | None, reason: str, fail_if_refused: bool, as_json: bool, **given: Any) -> None:
    """Everything: from the configured table to a promoted version.

    \b
    python -m ml pipeline
    python -m ml pipeline --data customers.csv --target Churn --id customerID
    python -m ml pipeline --source customers --max-evals 20 --seed 7
    """
    from ml.pipeline import pipeline as stages

    key = run_key or new_key()
    settings = settings_for(given, run_key=run_key)
    done: dict[str, Any] = {}

    with show.Bar(hidden=as_json) as bar:

        def on_stage(name: str, found: dict[str, Any]) -> None:
            done[name] = found
            bar.close()
            if not as_json:
                _tell(name, found)

        origin = {"who": who(), "reason": reason}
        found = stages.run_all(settings, key, bar.update, origin=origin, on_stage=on_stage)
    if as_json:
        show.result({"run_key": key, "stages": done}, as_json=True, text="")
    elif found["stage"] != "promote":
        click.echo(f"Waits for approval. Next: python -m ml promote --run {key}")
    else:
        click.echo(f"MLflow    {found['mlflow_url']}")
    if fail_if_refused and not (found.get("promoted") or found.get("shadow")):
        sys.exit(REFUSED)


@click.command()
@click.option("--run", "run_key", metavar="KEY", help="Name of the new run. Default: the time.")
@reason_option
@options(data=True, learning=True)
@force_option
def generate(run_key: str | None, reason: str, as_json: bool, force: bool, **given: Any) -> None:
    """Read the table, validate it, split it, and keep it as a snapshot. Starts a run."""
    from ml.pipeline import pipeline as stages

    settings = settings_for(given, run_key=run_key)
    found = stages.generate(settings, run_key or new_key(), origin={"who": who(), "reason": reason}, force=force)
    text = f"{show.stage_line('generate', found)}\n{show.warnings_of(found)}".rstrip()
    show.result(found, as_json=as_json, text=f"{text}\nnext: python -m ml train --run {found['run_key']}")


start_option = click.option("--start", is_flag=True, help="Start a new run first (generate), unless --run names one.")


@click.command()
@run_option
@start_option
@options(data=True, learning=True)
@force_option
def train(run_key: str | None, start: bool, as_json: bool, force: bool, **given: Any) -> None:
    """Fit the logistic grid and the baseline of every family, with curves."""
    found = _staged("train", _started(run_key, start, given), as_json, force, given)
    show.result(found, as_json=as_json, text=show.stage_line("train", found) + "\n" + show.grid_text(found))


@click.command()
@run_option
@start_option
@options(data=True, learning=True)
@force_option
def tune(run_key: str | None, start: bool, as_json: bool, force: bool, **given: Any) -> None:
    """Search all families on held-out log-loss; goes on where an interrupted search was."""
    found = _staged("tune", _started(run_key, start, given), as_json, force, given)
    show.result(found, as_json=as_json, text=show.stage_line("tune", found))


@click.command()
@run_option
@options(learning=True)
@force_option
def evaluate(run_key: str | None, as_json: bool, force: bool, **given: Any) -> None:
    """Fit the winner, measure it on the test rows, and judge it against the champion."""
    found = _staged("evaluate", run_key, as_json, force, given)
    measured = "\n".join(f"  {name.ljust(10)} {value:.4f}" for name, value in found["metrics"].items())
    show.result(found, as_json=as_json, text=f"{show.stage_line('evaluate', found)}\n{measured}")


@click.command()
@run_option
@options()
@force_option
def register(run_key: str | None, as_json: bool, force: bool, **given: Any) -> None:
    """Make the judged model a version in MLflow's registry; once a run."""
    found = _staged("register", run_key, as_json, force, given)
    show.result(found, as_json=as_json, text=f"{show.stage_line('register', found)}\n{found['version_url']}")


def _started(run_key: str | None, start: bool, given: dict[str, Any]) -> str | None:
    """The run to go on with; with `start`, one whose snapshot is made now."""
    from ml.pipeline import pipeline as stages

    if not start or run_key:
        return run_key
    return str(stages.generate(settings_for(given), new_key(), origin={"who": who()})["run_key"])


def _staged(name: str, run_key: str | None, as_json: bool, force: bool, given: dict[str, Any]) -> dict[str, Any]:
    from ml.pipeline import pipeline as stages

    key = run_of(run_key)
    settings = settings_for(given, run_key=key)
    call = getattr(stages, name)
    if name == "register":
        return dict(call(settings, key, force=force))
    with show.Bar(hidden=as_json) as bar:
        return dict(call(settings, key, progress=bar.update, force=force))


def _tell(name: str, found: dict[str, Any]) -> None:
    click.echo(show.stage_line(name, found))
    if name == "generate" and (notes := show.warnings_of(found)):
        click.echo(notes)
    if name == "train" and (grid := show.grid_text(found)):
        click.echo(grid)
