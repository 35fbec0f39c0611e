"""The pipeline and its stages as commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ml.cli import show
from ml.cli.options import force_option, options, policy_option, reason_option, run_of, run_option, settings_for, who
from ml.commands import spoken

if TYPE_CHECKING:
    from ml.pipeline.pipeline import Stage
    from ml.pipeline.stages.records import StageRecord

R = TypeVar("R", bound="StageRecord")

REFUSED = 3  # exit code of --fail-if-refused
NO_CHAMPION = 4  # exit code of `pipeline`: it refused its challenger, and nothing serves


@click.command()
@click.option(
    "--run", "run_key", metavar="KEY", help="Name of the run; an unfinished one is gone on with. Default: a new one."
)
@reason_option
@policy_option
@click.option("--fail-if-refused", is_flag=True, help="Exit with 3 when the gate keeps the champion.")
@options(data=True, learning=True)
def pipeline(run_key: str | None, reason: str, fail_if_refused: bool, as_json: bool, **given: Any) -> None:
    """Everything: from the configured table to a promoted version.

    \b
    python -m ml pipeline
    python -m ml pipeline --data customers.csv --target Churn --id customerID
    python -m ml pipeline --source customers --max-evals 20 --seed 7
    """
    from ml.origin import Origin
    from ml.pipeline import pipeline as stages
    from ml.pipeline.first_champion import without_champion
    from ml.pipeline.stages.records import PromotionRecord
    from ml.pipeline.workspace import new_key

    key = run_key or new_key()
    settings = settings_for(given, run_key=run_key)
    done: dict[str, StageRecord] = {}

    with show.Bar(hidden=as_json) as bar:

        def on_stage(found: StageRecord) -> None:
            done[found.stage_name()] = found
            bar.close()
            if not as_json:
                _tell(found)

        origin = Origin(who=who(), reason=reason)
        result = stages.run_all(settings, key, bar.update, origin=origin, on_stage=on_stage)
    if as_json:
        show.result({"run_key": key, "stages": done}, as_json=True, text="")
    elif isinstance(result, PromotionRecord):
        click.echo(show.mlflow_line(settings, result.mlflow_url))
    elif getattr(done.get("evaluate"), "promote", True):
        click.echo(spoken(f"Waits for approval. Next: python -m ml promote --run {key}"))
    else:
        click.echo(spoken(f"Nobody is asked about what the gate refused. By hand: python -m ml promote --run {key}"))
    if isinstance(result, PromotionRecord) and not result.champion and settings.gate.policy != "never":
        judged = done["evaluate"].to_dict() if "evaluate" in done else {}
        click.echo(without_champion(settings, judged, result.version), err=True)
        sys.exit(NO_CHAMPION)
    if fail_if_refused and not (isinstance(result, PromotionRecord) and (result.promoted or result.shadow)):
        sys.exit(REFUSED)


@click.command()
@click.option("--run", "run_key", metavar="KEY", help="Name of the new run. Default: the time.")
@reason_option
@policy_option
@options(data=True, learning=True)
@force_option
def generate(run_key: str | None, reason: str, as_json: bool, force: bool, **given: Any) -> None:
    """Read the table, validate it, split it, and keep it as a snapshot. Starts a run."""
    from ml.origin import Origin
    from ml.pipeline import pipeline as stages
    from ml.pipeline.workspace import new_key

    settings = settings_for(given, run_key=run_key)
    result = stages.generate(settings, run_key or new_key(), origin=Origin(who=who(), reason=reason), force=force)
    text = f"{show.stage_line(result)}\n{show.found_in(result)}".rstrip()
    show.result(result, as_json=as_json, text=f"{text}\nnext: python -m ml train --run {result.run_key}")


start_option = click.option("--start", is_flag=True, help="Start a new run first (generate), unless --run names one.")


@click.command()
@run_option
@start_option
@options(data=True, learning=True)
@force_option
def train(run_key: str | None, start: bool, as_json: bool, force: bool, **given: Any) -> None:
    """Fit the logistic grid and the baseline of every family, with curves."""
    from ml.pipeline import pipeline as stages

    result = _staged(stages.train, _started(run_key, start, given), as_json, force, given)
    show.result(result, as_json=as_json, text=show.stage_line(result) + "\n" + show.grid_text(result))


@click.command()
@run_option
@start_option
@options(data=True, learning=True)
@force_option
def tune(run_key: str | None, start: bool, as_json: bool, force: bool, **given: Any) -> None:
    """Search all families on held-out log-loss; goes on where an interrupted search was."""
    from ml.pipeline import pipeline as stages

    result = _staged(stages.tune, _started(run_key, start, given), as_json, force, given)
    show.result(result, as_json=as_json, text=show.stage_line(result))


@click.command()
@run_option
@policy_option
@options(learning=True)
@force_option
def evaluate(run_key: str | None, as_json: bool, force: bool, **given: Any) -> None:
    """Fit the winner, measure it on the test rows, and judge it against the champion."""
    from ml.pipeline import pipeline as stages

    result = _staged(stages.evaluate, run_key, as_json, force, given)
    show.result(result, as_json=as_json, text=f"{show.stage_line(result)}\n{show.metrics_of(result)}")


@click.command()
@run_option
@options()
@force_option
def register(run_key: str | None, as_json: bool, force: bool, **given: Any) -> None:
    """Make the judged model a version in MLflow's registry; once a run."""
    from ml.pipeline import pipeline as stages

    result = _staged(stages.register, run_key, as_json, force, given)
    show.result(result, as_json=as_json, text=f"{show.stage_line(result)}\n{result.version_url}")


def _started(run_key: str | None, start: bool, given: dict[str, Any]) -> str | None:
    """The run to go on with; with `start`, one whose snapshot is made now."""
    from ml.origin import Origin
    from ml.pipeline import pipeline as stages
    from ml.pipeline.workspace import new_key

    if not start or run_key:
        return run_key
    return stages.generate(settings_for(given), new_key(), origin=Origin(who=who())).run_key


def _staged(call: Stage[R], run_key: str | None, as_json: bool, force: bool, given: dict[str, Any]) -> R:
    key = run_of(run_key)
    settings = settings_for(given, run_key=key)
    with show.Bar(hidden=as_json) as bar:
        return call(settings, key, progress=bar.update, force=force)


def _tell(found: StageRecord) -> None:
    from ml.pipeline.stages.records import SnapshotRecord, TrainingRecord

    click.echo(show.stage_line(found))
    if isinstance(found, SnapshotRecord) and (notes := show.found_in(found)):
        click.echo(notes)
    if isinstance(found, TrainingRecord) and (grid := show.grid_text(found)):
        click.echo(grid)
