"""The DAGs as Airflow reads them: they load, they are wired as documented, and they say what they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHAIN = ["generate", "train", "tune", "evaluate", "register", "promote"]


def test_every_dag_file_loads(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert set(dagbag.dags) == {"retrain", "drift_check", "rollback"}


def test_retrain_is_one_chain_in_the_direction_of_the_data(dagbag: Any) -> None:
    retrain = dagbag.dags["retrain"]
    assert set(retrain.task_ids) == set(CHAIN)
    for task_id, following in zip(CHAIN, [*CHAIN[1:], None], strict=True):
        expected = {following} if following else set()
        assert retrain.get_task(task_id).downstream_task_ids == expected


def test_a_drift_check_is_three_tasks_and_only_the_last_emits(dagbag: Any) -> None:
    """Watch the release, compare, request: each is seen, retried and cleared on its own."""
    drift_check = dagbag.dags["drift_check"]
    order = ["watch_release", "compare", "request"]
    assert set(drift_check.task_ids) == set(order)
    for task_id, following in zip(order, [{"compare"}, {"request"}, set()], strict=True):
        assert drift_check.get_task(task_id).downstream_task_ids == following
        assert bool(drift_check.get_task(task_id).outlets) == (task_id == "request")


def test_a_drift_check_may_ask_for_a_retraining(dagbag: Any) -> None:
    drift_check, retrain = dagbag.dags["drift_check"], dagbag.dags["retrain"]
    emitted = {asset.name for asset in drift_check.get_task("request").outlets}
    assert emitted == {"drift_found"}
    assert {asset.name for asset in retrain.timetable.asset_condition.objects} == emitted


@pytest.mark.parametrize("dag_id", ["retrain", "drift_check"])
def test_a_schedule_is_by_clock_or_by_event(dagbag: Any, dag_id: str) -> None:
    assert type(dagbag.dags[dag_id].timetable).__name__ == "AssetOrTimeSchedule"


@pytest.mark.parametrize(("dag_id", "cron"), [("retrain", "RETRAIN_CRON"), ("drift_check", "DRIFT_CRON")])
def test_a_first_start_shortly_after_the_hour_waits_for_the_next(
    airflow: Any, monkeypatch: pytest.MonkeyPatch, dag_id: str, cron: str
) -> None:
    """Airflow's default starts a run at once when a moment has just passed."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    now = datetime.now(UTC)
    just_passed = now - timedelta(minutes=2)
    monkeypatch.setenv(f"REFIT_SCHEDULE__{cron}", f"{just_passed.minute} {just_passed.hour} * * *")
    timetable = DagBag(str(ROOT / "dags" / f"{dag_id}.py")).dags[dag_id].timetable
    first = coerce_to_core_timetable(timetable).next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    assert first.run_after > now


@pytest.mark.parametrize("interval", ["0", "7"], ids=["off", "every 7 s"])
def test_new_predictions_are_watched_for_as_often_as_is_set(
    airflow: Any, monkeypatch: pytest.MonkeyPatch, interval: str
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("REFIT_SCHEDULE__WATCH_INTERVAL_S", interval)
    bag = DagBag(str(ROOT / "dags" / "drift_check.py"))
    assert bag.import_errors == {}
    [asset] = [a for a in bag.dags["drift_check"].timetable.asset_condition.objects if a.name == "new_predictions"]
    assert [watcher.trigger.poll_interval_s for watcher in asset.watchers] == ([7.0] if interval == "7" else [])


@pytest.mark.parametrize("dag_id", ["retrain", "drift_check", "rollback"])
class TestEveryDag:
    """What holds for each DAG."""

    def test_runs_one_at_a_time(self, dagbag: Any, dag_id: str) -> None:
        assert dagbag.dags[dag_id].max_active_runs == 1

    def test_never_catches_up(self, dagbag: Any, dag_id: str) -> None:
        """A start date in the past would start a run at the first deployment."""
        assert not dagbag.dags[dag_id].catchup
        assert dagbag.dags[dag_id].start_date is None

    def test_is_documented(self, dagbag: Any, dag_id: str) -> None:
        dag = dagbag.dags[dag_id]
        assert dag.doc_md.strip().startswith("### ")
        for task in dag.tasks:
            assert task.doc_md or task.python_callable.__doc__, task.task_id

    def test_tasks_have_limits_and_retries(self, dagbag: Any, dag_id: str) -> None:
        for task in dagbag.dags[dag_id].tasks:
            assert task.execution_timeout is not None, task.task_id
            assert task.execution_timeout > timedelta(0), task.task_id
            assert task.retries >= 3, task.task_id
            assert task.retry_exponential_backoff, task.task_id

    def test_retries_only_what_may_pass(self, dagbag: Any, dag_id: str) -> None:
        from airflow.sdk import RetryAction

        from ml.errors import DataError, RegistryUnavailable, StoreUnavailable

        for task in dagbag.dags[dag_id].tasks:
            for error, action in {
                RegistryUnavailable("down"): RetryAction.RETRY,
                StoreUnavailable("locked"): RetryAction.RETRY,
                DataError("no such column"): RetryAction.FAIL,
                ValueError("a mistake of ours"): RetryAction.FAIL,
            }.items():
                assert task.retry_policy.evaluate(error, 1, 5).action is action, (task.task_id, error)


def test_the_form_is_typed_sectioned_and_documented(dagbag: Any) -> None:
    form = dagbag.dags["retrain"].params
    assert set(form) == {
        "source", "path", "target", "schema", "rows", "families", "max_evals", "seed", "policy", "reason",
    }  # fmt: skip
    for name in form:
        schema = form.get_param(name).schema
        assert schema["type"], name
        assert schema["section"], name
        assert schema["title"], name
        assert len(form.get_param(name).description) > 20, name


def test_the_form_can_be_sent_as_it_is(dagbag: Any) -> None:
    """A required text field without a default disables the button."""
    dagbag.dags["retrain"].params.validate()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", 3),
        ("max_evals", 0),
        ("max_evals", "many"),
        ("seed", -1),
        ("source", "excel"),
        ("families", []),
        ("target", ""),
    ],
    ids=str,
)
def test_the_form_refuses_what_cannot_be(dagbag: Any, field: str, value: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dagbag.dags["retrain"].params.get_param(field).resolve(value)


def test_a_rollback_needs_a_reason(dagbag: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dagbag.dags["rollback"].params.validate()


def test_approval_stands_before_the_promotion_when_it_is_required(
    airflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("REFIT_APPROVAL", "required")
    retrain = DagBag(str(ROOT / "dags" / "retrain.py")).dags["retrain"]
    assert retrain.get_task("register").downstream_task_ids == {"approve"}
    assert retrain.get_task("approve").downstream_task_ids == {"promote"}
    assert set(retrain.get_task("approve").serialized_params) == {"reason"}, "the run's own form is not asked for again"


def test_a_bad_setting_is_an_import_error_that_names_it(airflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("REFIT_TUNE__MAX_EVAL", "5")
    errors = DagBag(str(ROOT / "dags" / "retrain.py")).import_errors
    assert "REFIT_TUNE__MAX_EVAL: there is no setting 'max_eval'" in "".join(errors.values())
