"""The note of a run in Airflow's list: taken from the tasks that say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

RETURNED = {
    "drift_check": {
        "watch_release": {"sentence": "no release to decide on"},
        "compare": {"verdict": "degraded"},
        "request": {"verdict": "degraded", "decision": "the drop is confirmed"},
    },
    "retrain": {"evaluate": {"sentence": "Passed: better."}, "promote": {"sentence": "Version 2 is the champion."}},
    "rollback": {"roll_back": {"sentence": "Version 1 is the champion."}},
}


@pytest.fixture
def note(airflow: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is noted on a successful run of a DAG; `before` is the note that it had."""
    from plugins import refit

    def said(dag_id: str, run_id: str, task_id: str, session: Any = None) -> dict[str, Any]:
        return RETURNED[dag_id].get(task_id, {})

    monkeypatch.setattr(refit, "_result", said)
    monkeypatch.setattr("sqlalchemy.orm.object_session", lambda run: object())

    def of(dag_id: str, before: Any = None) -> Any:
        run = SimpleNamespace(dag_id=dag_id, run_id="r", dag_run_note=before, note=None)
        refit.RunNotes().on_dag_run_success(run, "")
        return run.note

    return of


def test_a_run_is_noted_with_what_its_tasks_say(note: Any) -> None:
    assert note("drift_check") == "degraded\n\nthe drop is confirmed"
    assert note("retrain") == "Passed: better.\n\nVersion 2 is the champion."
    assert note("rollback") == "Version 1 is the champion."
    assert note("another") is None


def test_a_persons_note_stays(note: Any) -> None:
    assert note("drift_check", SimpleNamespace(user_id="7")) is None


def test_airflow_dags_test_ends_with_a_note_and_no_traceback(dagbag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs a DAG in one process, and tells the listener of a run that belongs to no session."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    from ml.errors import PromotionError
    from ml.pipeline import pipeline
    from plugins import refit

    def nothing(*_: Any, **__: Any) -> Any:
        raise PromotionError("there is nothing to go back to")

    monkeypatch.setattr(pipeline, "rollback", nothing)
    run = dagbag.dags["rollback"].test(run_conf={"reason": "a trial"})
    assert run.state == "failed"
    monkeypatch.setattr(refit, "_result", lambda *_: RETURNED["rollback"]["roll_back"])
    refit.RunNotes().on_dag_run_failed(run, "")
    with create_session() as session:
        assert session.get(DagRun, run.id).note == "Version 1 is the champion."
