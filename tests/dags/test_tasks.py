"""Each task's function alone: it hands the run's settings and key to one call of the library."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml.origin import Origin
from ml.settings import Settings

RUN_ID = "manual__2026-01-02T03:04:05+00:00"
KEY = "manual__2026-01-02T03-04-05-00-00"


class Returned:
    """A task instance that pulls what other tasks returned."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results

    def xcom_pull(self, *, task_ids: str) -> Any:
        return self.results.get(task_ids)


class Calls:
    """Stands in for `ml.pipeline.pipeline`: keeps what it is called with."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def note(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.seen.append((name, args, kwargs))
            return SimpleNamespace(to_dict=lambda: {"stage": name})

        return called


@pytest.fixture
def calls(airflow: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    from ml.pipeline import pipeline

    made = Calls()
    for name in (*pipeline.STAGES, "decline", "rollback"):
        monkeypatch.setattr(pipeline, name, made.note(name))
    return made


def _function(dagbag: Any, dag_id: str, task_id: str) -> Any:
    return dagbag.dags[dag_id].get_task(task_id).python_callable


@pytest.mark.parametrize("task_id", ["train", "tune", "evaluate", "register", "promote"])
def test_a_stage_gets_the_runs_key_and_choices(dagbag: Any, calls: Calls, home: Path, task_id: str) -> None:
    more = {"ti": Returned({})} if task_id == "promote" else {}
    result = _function(dagbag, "retrain", task_id)(params={"max_evals": 7, "families": ["mlp"]}, run_id=RUN_ID, **more)
    [(name, (settings, key), _)] = calls.seen
    assert (name, key) == (task_id, KEY)
    assert isinstance(settings, Settings)
    assert (settings.home, settings.tune.max_evals, settings.train.families) == (home, 7, ("mlp",))
    assert json.loads(json.dumps(result)) == result


def test_generate_carries_what_started_the_run(dagbag: Any, calls: Calls) -> None:
    from dags.shared import DRIFT

    known = {"id": "1", "time": 1.0, "retrain": True, "decision": "", "reasons": [], "model_version": "3"}
    older = SimpleNamespace(timestamp=1, extra=known | {"verdict": "drift"})
    newer = SimpleNamespace(timestamp=2, extra=known | {"verdict": "degraded", "reasons": ["accuracy fell"]})
    events = {DRIFT: [newer, older]}
    dag_run = SimpleNamespace(triggering_user_name="vi", run_type="asset_triggered")
    _function(dagbag, "retrain", "generate")(
        params={"reason": "the season began"}, run_id=RUN_ID, triggering_asset_events=events, dag_run=dag_run
    )
    [(_, _, more)] = calls.seen
    origin = more["origin"]
    assert (origin.drift.verdict, origin.drift.reasons) == ("degraded", ["accuracy fell"])
    assert (origin.who, origin.reason) == ("vi", "the season began")
    assert origin.airflow_run_url.endswith(f"/dags/retrain/runs/{RUN_ID}")


def test_a_stage_tells_how_far_it_is(dagbag: Any, calls: Calls, home: Path) -> None:
    from ml.pipeline import progress
    from ml.settings import load

    _function(dagbag, "retrain", "tune")(params={}, run_id=RUN_ID)
    [(_, _, more)] = calls.seen
    more["progress"]("tune", 12, 50, "best 0.31")
    assert progress.read(load(), KEY) == progress.Report("tune", 12, 50, "best 0.31")


def _said(option: str, reason: str | None) -> dict[str, Any]:
    """What Airflow hands over when a person has answered."""
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": "7", "name": "vi"},
    }


def test_who_approved_is_handed_on(dagbag: Any, calls: Calls) -> None:
    approved = Returned({"approve": _said("Approve", "looks right")})
    _function(dagbag, "retrain", "promote")(params={}, run_id=RUN_ID, ti=approved)
    assert calls.seen[0][2] == {"origin": Origin(who="vi", reason="looks right")}


@pytest.fixture
def approval(airflow: Any) -> Any:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    from dags.approval import Approval

    with DAG("asks", schedule=None):
        made = Approval(task_id="approve")
        made >> EmptyOperator(task_id="promote")  # a No leaves by another way where something follows
    return made


def test_nobody_is_asked_about_what_the_gate_refused(approval: Any) -> None:
    assert approval.execute({"ti": Returned({"register": {"promote": False}})}) is None


def test_a_person_is_asked_about_what_the_gate_would_promote(approval: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(type(approval).__mro__[1], "execute", lambda _self, context: asked.append(context))
    context = {"ti": Returned({"register": {"promote": True}})}
    approval.execute(context)
    assert asked == [context]


def test_a_no_is_written_down_with_who_and_why(approval: Any, calls: Calls) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    kept: dict[str, Any] = {}
    ti = SimpleNamespace(map_index=-1, xcom_push=lambda key, value: kept.update({key: value}))
    context = {"run_id": RUN_ID, "task": approval, "ti": ti}
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        approval.execute_complete(context, _said("Reject", "too risky"))
    assert skipped.value.tasks == ["promote"]
    assert [(name, args[1], more) for name, args, more in calls.seen] == [
        ("decline", KEY, {"origin": Origin(who="vi", reason="too risky")})
    ]


def test_a_yes_writes_nothing_down_before_promote_does(approval: Any, calls: Calls) -> None:
    said = approval.execute_complete({"run_id": RUN_ID, "task": approval}, _said("Approve", "looks right"))
    assert said["chosen_options"] == ["Approve"]
    assert calls.seen == []


def test_rollback_hands_on_who_where_and_why(dagbag: Any, calls: Calls) -> None:
    dag_run = SimpleNamespace(triggering_user_name="vi")
    _function(dagbag, "rollback", "roll_back")(params={"version": "2", "reason": "complaints"}, dag_run=dag_run)
    assert calls.seen[0][2] == {"to": "2", "origin": Origin(who="vi", reason="complaints")}


@pytest.mark.parametrize("retrain", [True, False])
def test_an_event_is_emitted_only_when_a_retraining_is_asked_for(dagbag: Any, retrain: bool) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.shared import DRIFT

    verdict = {"verdict": "drift", "retrain": retrain, "reasons": ["f3 moved"], "decision": "…"}
    events = {DRIFT: SimpleNamespace(extra=None)}
    task = _function(dagbag, "drift_check", "request_retraining")
    if retrain:
        task(verdict, events)
        assert events[DRIFT].extra == verdict
    else:
        with pytest.raises(AirflowSkipException, match="f3 moved"):
            task(verdict, events)
        assert events[DRIFT].extra is None
