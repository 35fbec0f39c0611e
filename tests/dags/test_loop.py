"""The whole loop by `dag.test()`: Airflow's own runner in this process, on a home of its own, with small settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# Airflow's in-process API server and its libraries warn of each other's deprecations.
pytestmark = pytest.mark.filterwarnings("default")
SMALL = {"source": "synthetic", "rows": 300, "families": ["logistic"], "max_evals": 3, "seed": 1}


@pytest.fixture
def results(dagbag: Any, airflow: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `retrain` to its end; gives the state and what every task returned."""
    # Nothing serves here, so nobody can confirm.
    monkeypatch.setenv("REFIT_REGISTRY__CONFIRM", "never")

    def run(**conf: Any) -> tuple[str, dict[str, Any]]:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        run = dagbag.dags["retrain"].test(run_conf=SMALL | conf)
        with create_session() as session:
            rows = session.scalars(XComModel.get_many(run_id=run.run_id, key="return_value", dag_ids="retrain"))
            return str(run.state), {row.task_id: XComModel.deserialize_value(row) for row in rows}

    return run


def test_the_loop_promotes_its_first_challenger(results: Any, airflow: Any) -> None:
    """The second one, which is refused, is in tests/ml/pipeline/test_pipeline.py, and by Airflow in tests/stack."""
    state, first = results(reason="the first one")
    assert state == "success"
    assert first["promote"]["promoted"]
    assert first["evaluate"]["sentence"]
    assert first["generate"]["origin"]["reason"] == "the first one"
    assert Path(airflow.settings.var / "runs" / first["promote"]["run_key"] / "promote.json").exists()


def test_a_check_with_nothing_to_do_is_skipped_at_its_end(dagbag: Any, airflow: Any) -> None:
    """And what was decided is there to be noted, although a skipped task returns nothing."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    run = dagbag.dags["drift_check"].test()
    assert str(run.state) == "success"
    assert {task.task_id: str(task.state) for task in run.get_task_instances()} == {
        "watch_release": "success",
        "compare": "success",
        "request": "skipped",
    }
    with create_session() as session:
        rows = session.scalars(XComModel.get_many(run_id=run.run_id, key="return_value", dag_ids="drift_check"))
        returned = {row.task_id: XComModel.deserialize_value(row) for row in rows}
    assert returned["compare"]["verdict"] == "insufficient data"
    assert returned["request"]["decision"] == "no reason to retrain"


def test_bad_data_fails_at_once_and_says_what_is_wrong(
    results: Any, airflow: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And a person is told, also of a run that the clock started."""
    file = tmp_path / "customers.csv"
    file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    state, returned = results(source="file", path=str(file), target="churned")
    assert state == "failed"
    assert returned == {}
    said = "".join(capfd.readouterr())
    assert "SchemaError" in said or "DataError" in said  # whether or not there is a champion by now
    assert "churned" in said
    alert = json.loads((airflow.settings.var / "logs" / "alerts.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (alert["kind"], alert["task"]) == ("task failed", "retrain.generate")
    assert "churned" in alert["text"]
    assert alert["run"] in alert["text"]
