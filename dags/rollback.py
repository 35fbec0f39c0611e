"""
### Go back to an earlier version

Moves the alias `champion` back, after that version was loaded and checked. Without a version: to the one that
really served before. The version left is quarantined: it is never promoted again by itself. Kept in the ledger
with who and why.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from dags.alerting import TASK_DEFAULTS
from dags.context import settings_of


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
def roll_back(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """Move the alias back and wait for the service to confirm."""
    from ml.origin import Origin
    from ml.pipeline import pipeline

    who = getattr(dag_run, "triggering_user_name", None) or "airflow"
    origin = Origin(who=who, reason=params["reason"])
    moved = pipeline.rollback(settings_of(), to=params["version"], origin=origin, force=bool(params["force"]))
    return moved.to_dict()


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "version": Param(
            None,
            type=["null", "string"],
            pattern=r"^[1-9][0-9]*$",
            title="Version",
            section="Where to",
            description="A registered version, such as 3. Empty: the version that served before.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            maxLength=2_000,
            title="Reason",
            section="Where to",
            description="Why; kept in the ledger and shown on the pages.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Also to other columns or classes",
            section="Where to",
            description="Callers will feel it: such a version is refused otherwise. It must be named above.",
        ),
    },
    default_args=TASK_DEFAULTS,
    doc_md=__doc__,
    dag_display_name="Roll back",
    tags=["refit"],
)
def rollback() -> None:
    roll_back()


rollback()
