"""A stopped task that is cleared in the moment in which the scheduler looks: what Airflow leaves, and the way on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("default")
RUN_ID = "manual__stopped"
STOPPED = {"generate": "success", "train": "success", "tune": "success", "evaluate": "failed"}


@pytest.fixture
def stopped(dagbag: Any, airflow: Any) -> Iterator[Any]:
    """`retrain` as the scheduler knows it, with a run whose `evaluate` was stopped; the scheduler has looked once."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(bag, bundle.name, bundle.version)
    retrain = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dagbag.dags["retrain"]))
    now = datetime.now(UTC)
    with create_session() as session:
        run = retrain.create_dagrun(
            run_id=RUN_ID, logical_date=now, data_interval=(now, now), run_after=now, run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST, state="running", session=session,
        )  # fmt: skip
        for one in run.get_task_instances(session=session):
            one.state = STOPPED.get(one.task_id)
    schedule(retrain)
    yield retrain
    with create_session() as session:
        session.delete(run_of(session))


def run_of(session: Any) -> Any:
    import sqlalchemy as sa
    from airflow.models.dagrun import DagRun

    return session.scalar(sa.select(DagRun).where(DagRun.run_id == RUN_ID))


def schedule(retrain: Any) -> None:
    """One look of Airflow's scheduler at the run."""
    from airflow.utils.session import create_session

    with create_session() as session:
        run = run_of(session)
        run.dag = retrain
        run.task_instance_scheduling_decisions(session=session)


def clear(retrain: Any, task_id: str) -> None:
    """Of what failed, the task and what follows it: what Airflow's API clears where it is not asked for more."""
    from airflow import settings

    with settings.Session.session_factory() as session:
        subset = retrain.partial_subset(task_ids={task_id}, include_downstream=True, include_upstream=False)
        subset.clear(run_id=RUN_ID, session=session, only_failed=True)
        session.commit()


def states() -> dict[str, str]:
    from airflow.utils.session import create_session

    with create_session() as session:
        found = {one.task_id: one.state for one in run_of(session).get_task_instances(session=session)}
    return {task_id: str(state) for task_id, state in found.items() if state != "success"}


def test_a_task_cleared_while_the_scheduler_looks_may_leave_a_later_one(
    stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's: it writes what it decided on states that it had read before. Cleared once more, the run goes on."""
    from airflow.models.dagrun import DagRun

    assert states() == {"evaluate": "failed", "register": "upstream_failed", "promote": "None"}
    read = DagRun.get_task_instances

    def read_and_be_overtaken(*args: Any, **more: Any) -> Any:
        found = read(*args, **more)
        monkeypatch.setattr(DagRun, "get_task_instances", read)
        clear(stopped, "evaluate")
        return found

    monkeypatch.setattr(DagRun, "get_task_instances", read_and_be_overtaken)
    schedule(stopped)
    assert states() == {"evaluate": "None", "register": "None", "promote": "upstream_failed"}
    clear(stopped, "promote")
    schedule(stopped)
    assert states() == {"evaluate": "None", "register": "None", "promote": "None"}


def test_a_task_cleared_between_two_looks_leaves_nothing(stopped: Any) -> None:
    schedule(stopped)
    assert states() == {"evaluate": "failed", "register": "upstream_failed", "promote": "upstream_failed"}
    clear(stopped, "evaluate")
    assert states() == {"evaluate": "None", "register": "None", "promote": "None"}
