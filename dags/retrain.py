"""
### Retrain and, on evidence, promote

Runs every night, when `drift_check` finds drift, and when a person triggers it.

| task | what it does | its result |
|---|---|---|
| `generate` | reads the source, adds labelled production rows, validates, splits | an immutable, hashed snapshot |
| `train` | fits the logistic grid and the baselines of every family | scores and curves |
| `tune` | hyperopt search on the validation split | the best candidate |
| `evaluate` | test metrics with intervals, calibration, threshold; then the **gate** | a verdict in one sentence |
| `register` | makes the judged artifact a version of the registered model | a version |
| `approve` | only with `REFIT_APPROVAL=required`: a person decides (Required Actions), if the gate agrees | yes or no |
| `promote` | moves the alias `champion`; every service worker must confirm, else it goes back | the serving version |

A challenger that loses is a result, not an error: the run is green and its note holds the sentence.
Every task can be cleared and run again: it takes up its run's workspace (`var/runs/<run>`) and never
makes a second version. Unreachable registries and databases are retried, bad data is not.
**Trigger** with empty fields to use what is configured (`refit.toml`, `REFIT_*`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, chain, dag, task

from dags.alerting import TASK_DEFAULTS
from dags.approval import Approval, person
from dags.context import DRIFT, clock, run_url, settings_of, told, verdict_of
from dags.form import overrides, params
from ml.pipeline.run_key import run_key

SETTINGS = settings_of()

# Who started a run that no person started, for the ledger.
_NOBODY = {"asset_triggered": "drift check", "scheduled": "schedule"}


@task(multiple_outputs=False, execution_timeout=timedelta(hours=2))
def generate(params: dict[str, Any], run_id: str, triggering_asset_events: Any, dag_run: Any) -> dict[str, Any]:
    """Read the source, add labelled production rows, validate, split, and write the snapshot."""
    from ml.origin import Origin
    from ml.pipeline import pipeline

    origin = Origin(
        airflow_run_url=run_url("retrain", run_id),
        reason=params.get("reason") or "",
        who=getattr(dag_run, "triggering_user_name", None) or _NOBODY.get(dag_run.run_type, dag_run.run_type),
        drift=verdict_of(triggering_asset_events),
    )
    return told(pipeline.generate(settings_of(overrides(params)), run_key(run_id), origin=origin))


@task(multiple_outputs=False, execution_timeout=timedelta(hours=6))
def train(params: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Fit the logistic grid and the baseline of every family, with curves."""
    from ml.pipeline import pipeline, progress

    settings, key = settings_of(overrides(params)), run_key(run_id)
    return pipeline.train(settings, key, progress=progress.writer(settings, key)).to_dict()


@task(multiple_outputs=False, execution_timeout=timedelta(hours=12))
def tune(params: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Search families and hyperparameters on validation log-loss; resumes where a killed search stopped."""
    from ml.pipeline import pipeline, progress

    settings, key = settings_of(overrides(params)), run_key(run_id)
    return pipeline.tune(settings, key, progress=progress.writer(settings, key)).to_dict()


@task(multiple_outputs=False, execution_timeout=timedelta(hours=2))
def evaluate(params: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Measure the challenger on the test split and judge it against the champion."""
    from ml.pipeline import pipeline, progress

    settings, key = settings_of(overrides(params)), run_key(run_id)
    return told(pipeline.evaluate(settings, key, progress=progress.writer(settings, key)))


@task(multiple_outputs=False, execution_timeout=timedelta(hours=1))
def register(params: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Make the judged artifact a version of the registered model; once a run, however often it is tried."""
    from ml.pipeline import pipeline

    return pipeline.register(settings_of(overrides(params)), run_key(run_id)).to_dict()


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
def promote(params: dict[str, Any], run_id: str, ti: Any) -> dict[str, Any]:
    """Move the alias when the gate said so, and put it back unless every service worker confirms."""
    from ml.pipeline import pipeline

    decided = person(ti.xcom_pull(task_ids="approve"))
    return told(pipeline.promote(settings_of(overrides(params)), run_key(run_id), origin=decided))


@dag(
    schedule=AssetOrTimeSchedule(timetable=clock(SETTINGS.schedule.retrain_cron), assets=[DRIFT]),
    catchup=False,
    max_active_runs=1,
    params=params(SETTINGS),
    default_args=TASK_DEFAULTS,
    doc_md=__doc__,
    dag_display_name="Retrain",
    tags=["refit"],
)
def retrain() -> None:
    tasks = [generate(), train(), tune(), evaluate(), register()]
    if SETTINGS.approval == "required":
        tasks.append(Approval(task_id="approve"))
    chain(*tasks, promote())


retrain()
