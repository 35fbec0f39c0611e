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
    from dags.context import DRIFT

    older = SimpleNamespace(timestamp=1, extra=verdict("drift").to_dict())
    newer = SimpleNamespace(timestamp=2, extra=verdict("degraded", reasons=["accuracy fell"]).to_dict())
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


@pytest.mark.parametrize("force", [False, True])
def test_rollback_hands_on_who_where_and_why(dagbag: Any, calls: Calls, force: bool) -> None:
    """With the form's own fields: a person says here, too, that callers will feel it."""
    form = dagbag.dags["rollback"].params
    params = {"version": "2", "reason": "complaints"} | ({"force": True} if force else {})
    filled = {
        name: form.get_param(name).resolve(**({"value": params[name]} if name in params else {})) for name in form
    }
    _function(dagbag, "rollback", "roll_back")(params=filled, dag_run=SimpleNamespace(triggering_user_name="vi"))
    assert calls.seen[0][2] == {"to": "2", "origin": Origin(who="vi", reason="complaints"), "force": force}


def test_an_event_made_by_hand_starts_a_run_without_a_verdict(airflow: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Airflow lets a person create an event of the asset, with whatever in it."""
    from dags.context import DRIFT, verdict_of

    by_hand = SimpleNamespace(timestamp=3, extra={"from_rest_api": True})
    with caplog.at_level("WARNING"):
        assert verdict_of({DRIFT: [SimpleNamespace(timestamp=1, extra=verdict().to_dict()), by_hand]}) is None
    assert "holds no verdict" in caplog.text
    assert verdict_of({}) is None


class Pushed:
    """A task instance that keeps what is pushed."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.dag_id, self.task_id, self.run_id = "drift_check", "request", RUN_ID

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.mark.parametrize("retrain", [True, False])
def test_an_event_is_emitted_only_when_a_retraining_is_asked_for(
    dagbag: Any, home: Path, retrain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is kept either way: the run's note has it."""
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.context import DRIFT
    from ml.monitoring import retraining_decision

    decided = verdict(retrain=retrain, decision="because")
    monkeypatch.setattr(retraining_decision, "decide", lambda _settings, compared: decided)
    events, ti = {DRIFT: SimpleNamespace(extra=None)}, Pushed()
    task = _function(dagbag, "drift_check", "request")
    if retrain:
        assert task(verdict().to_dict(), events, ti)["decision"] == "because"
        assert events[DRIFT].extra == decided.to_dict()
    else:
        with pytest.raises(AirflowSkipException, match="f3 moved"):
            task(verdict().to_dict(), events, ti)
        assert events[DRIFT].extra is None
        assert ti.values["return_value"]["decision"] == "because"


def test_compare_keeps_how_the_shadow_stands(dagbag: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one task to the next as JSON, typed on both sides."""
    from ml.drift.verdict import Shadow
    from ml.monitoring import check
    from ml.release.watch import ReleaseWatch

    shadow = Shadow(version="3", champion="2", rows=7, needed=120)
    seen: list[Any] = []

    def compare(_settings: Any, *, shadow: Any) -> Any:
        seen.append(shadow)
        return verdict(report={"html": "r.html"})

    monkeypatch.setattr(check, "compare", compare)
    release = json.loads(json.dumps(ReleaseWatch(shadow=shadow).to_dict()))
    result = _function(dagbag, "drift_check", "compare")(release)
    assert seen == [shadow]
    assert result["report_url"].endswith("/monitoring/report/c1")


def test_the_report_is_linked_where_people_reach_the_service() -> None:
    """Behind a proxy loopback leads to the reader's own machine."""
    from dags.context import report_url
    from ml.settings import from_values

    found = verdict(report={"html": "r.html"})
    assert report_url(from_values({"serving_port": 8123}), found) == "http://127.0.0.1:8123/monitoring/report/c1"
    public = from_values({"serving": {"public_url": "https://refit.example.com/"}})
    assert report_url(public, found) == "https://refit.example.com/monitoring/report/c1"
    assert report_url(public, verdict()) == ""


def test_a_tasks_result_is_one_xcom(dagbag: Any) -> None:
    """Airflow would push each key of an annotated dict by itself: 77 rows a run where 6 are read."""
    for dag_id in ("retrain", "drift_check", "rollback"):
        for operator in dagbag.dags[dag_id].tasks:
            assert not getattr(operator, "multiple_outputs", False), operator.task_id


def verdict(word: Any = "drift", at: float = 1e9, **more: Any) -> Any:
    from ml.drift import DriftVerdict

    known: dict[str, Any] = {"retrain": False, "reasons": ["f3 moved"], "model_version": "1"}
    return DriftVerdict(**{"id": "c1", "time": at, "verdict": word, **known, **more})
