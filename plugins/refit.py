"""What Airflow's own UI gains: links from tasks to MLflow and to drift reports, and the verdict as the run's note."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

_DAGS = ("retrain", "drift_check", "rollback")


class _ResultLink(BaseOperatorLink):
    """A button that leads to an address which the task returned under `field`."""

    field = ""

    @property
    def name(self) -> str:
        return ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address, or nothing for a task that gave none: the UI then shows no button."""
        if ti_key.dag_id not in _DAGS:
            return ""
        result = _result(ti_key.dag_id, ti_key.run_id, ti_key.task_id)
        return str(result.get(self.field) or "")


class MlflowRunLink(_ResultLink):
    """To the MLflow run that the task wrote to."""

    field = "mlflow_url"

    @property
    def name(self) -> str:
        return "MLflow run"


class ModelVersionLink(_ResultLink):
    """To the registered version."""

    field = "version_url"

    @property
    def name(self) -> str:
        return "Model version"


class DriftReportLink(_ResultLink):
    """To the drift report of this check."""

    field = "report_url"

    @property
    def name(self) -> str:
        return "Drift report"


def _result(dag_id: str, run_id: str, task_id: str, session: Any = None) -> dict[str, Any]:
    """What a task returned, read in the server or the scheduler; empty when it returned nothing yet."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    if session is None:
        with create_session() as own:
            return _result(dag_id, run_id, task_id, own)
    query = XComModel.get_many(run_id=run_id, key="return_value", task_ids=task_id, dag_ids=dag_id)
    run = session.scalars(query).first()
    value = XComModel.deserialize_value(run) if run is not None else None
    return value if isinstance(value, dict) else {}


class RunNotes:
    """Listener in the scheduler: the verdict becomes the note that the list of runs shows."""

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        _note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        _note(dag_run)


def _note(dag_run: Any) -> None:
    from sqlalchemy.orm import object_session

    if dag_run.dag_id not in _DAGS:
        return
    session = object_session(dag_run)
    if session is not None:
        _write(dag_run, session)
        return
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as own:  # `airflow dags test` hands over a run that belongs to no session
        _write(own.get(DagRun, dag_run.id), own)


def _write(dag_run: Any, session: Any) -> None:
    def said(task_id: str, field: str) -> str:
        return str(_result(dag_run.dag_id, dag_run.run_id, task_id, session).get(field) or "")

    lines = {
        "retrain": [said("evaluate", "sentence"), said("promote", "sentence")],
        "drift_check": [said("compare", "verdict"), said("request", "decision")],
        "rollback": [said("roll_back", "sentence")],
    }[dag_run.dag_id]
    written = dag_run.dag_run_note
    by_a_person = written is not None and written.user_id is not None
    if any(lines) and not by_a_person:
        dag_run.note = "\n\n".join(line for line in lines if line)


class RefitPlugin(AirflowPlugin):
    """Found by Airflow in its plugins folder."""

    name = "refit"
    global_operator_extra_links = [MlflowRunLink(), ModelVersionLink(), DriftReportLink()]  # noqa: RUF012
    listeners = [RunNotes()]  # noqa: RUF012
