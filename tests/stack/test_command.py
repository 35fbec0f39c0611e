"""`./run_pipeline.sh` end to end: what it prints works, the stack behind it answers, a second run is safe."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import urllib.request
from pathlib import Path

import psutil
from playwright.sync_api import expect

from ml.settings import chosen_file
from ops import supervision
from tests.stack import browser
from tests.stack.conftest import Stack


def test_it_ends_with_a_promoted_version_and_says_so(running: Stack) -> None:
    for task in ("generate", "train", "tune", "evaluate", "register", "promote"):
        assert re.search(rf"✓ {task}\s+\d", running.output), running.output
    assert "Champion: One_Customer_Classifier version 1" in running.output
    assert "airflow_passwords.json" in running.output


def test_its_curl_line_works_when_pasted(running: Stack) -> None:
    [line] = [line for line in running.output.splitlines() if line.startswith("curl ")]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["model_version"] == running.get("/model")["model_version"]
    assert 0 <= answer["predictions"][0]["probability"] <= 1


def test_its_addresses_answer(running: Stack) -> None:
    said = running.output.partition("Try it:")[0]
    for address in re.findall(r"http://127\.0\.0\.1:\d+[^\s#]*", said):
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.status == 200, address


def test_secrets_are_readable_by_their_owner_alone(running: Stack) -> None:
    private = [*running.layout.secrets.iterdir(), running.layout.airflow_home / "airflow.cfg"]
    assert len(private) >= 5
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_everything_listens_on_loopback_alone(running: Stack) -> None:
    control = supervision.supervisor(running.layout)
    ours = {child.pid for child in psutil.Process(control.getPID()).children(recursive=True)}
    listening = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    assert {c.laddr.port for c in listening} == set(running.layout.ports.values())
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_the_run_carries_its_verdict_and_its_links(running: Stack) -> None:
    [run] = running.api.call("GET", "/dags/retrain/dagRuns")["dag_runs"]
    sentence = running.api.result("retrain", run["dag_run_id"], "evaluate")["sentence"]
    assert sentence in running.until(
        lambda: running.api.run("retrain", run["dag_run_id"])["note"], "the run has no note"
    )
    path = f"/dags/retrain/dagRuns/{run['dag_run_id'].replace('+', '%2B')}/taskInstances/tune/links"
    links = running.api.call("GET", path)["extra_links"]
    assert f":{running.layout.ports['mlflow']}/" in links["MLflow run"]
    assert "/runs/" in links["MLflow run"]


def test_a_second_run_is_refused_or_promoted_with_a_reason(running: Stack) -> None:
    """The same data and seed again, on the running stack."""
    before = running.get("/model")["model_version"]
    done = running.command("--reason", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Starting" not in done.stdout
    assert f"Version {before} goes on serving." in done.stdout
    assert running.get("/model")["model_version"] == before


def test_what_waits_for_a_paused_dag_runs_in_turn_and_a_worse_challenger_does_not_win(
    running: Stack, tmp_path: Path
) -> None:
    """Two triggers and a drift event while `retrain` is paused; one of the runs learns from turned labels."""
    from ml.data.sources import registry

    api = running.api
    before = running.get("/model")["model_version"]
    table = registry.read(running.layout.settings)
    target = running.layout.settings.data.target
    table.assign(**{target: 1 - table[target]}).to_csv(tmp_path / "turned.csv", index=False)
    quick = {"max_evals": 1, "families": ["logistic"]}
    api.call("PATCH", "/dags/retrain?update_mask=is_paused", {"is_paused": True})
    try:
        first = api.trigger("retrain", quick)
        second = api.trigger("retrain", quick | {"source": "file", "path": str(tmp_path / "turned.csv")})
        [drift] = api.call("GET", "/assets?uri_pattern=refit://drift")["assets"]
        api.call("POST", "/assets/events", {"asset_id": drift["id"], "extra": {"verdict": "degraded"}})
        # While another DAG's run is scheduled from its first task to its last, these could have been.
        assert running.finished("drift_check", api.trigger("drift_check", {}))["state"] == "success"
        assert api.active_runs("retrain") == [first, second], "the event of a paused DAG starts nothing"
        assert [api.run("retrain", run_id)["start_date"] for run_id in (first, second)] == [None, None]
    finally:
        api.unpause("retrain")
    runs = [running.finished("retrain", run_id) for run_id in (first, second)]
    assert [run["state"] for run in runs] == ["success", "success"]
    assert runs[0]["end_date"] <= runs[1]["start_date"]
    refused = api.result("retrain", second, "promote")
    assert not refused["promoted"]
    assert "regression rows" in refused["sentence"] or "worse" in refused["sentence"], refused["sentence"]
    assert running.get("/model")["model_version"] == before


def test_a_failed_task_ends_it_with_the_tasks_own_error(running: Stack, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    running.choose({"data": {"source": "file", "path": str(file), "target": "churned"}})
    try:
        done = running.command()
    finally:
        running.choose()
    assert done.returncode == 1
    assert "The task generate failed: SchemaError" in done.stderr
    assert "churned" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_choice_of_data_that_does_not_fit_is_told_at_once_and_not_kept(running: Stack, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    kept = chosen_file(running.layout.home).read_bytes()
    done = running.command("--data", str(file), "--target", "churned")
    assert done.returncode == 1
    assert "bad.csv" in done.stderr
    assert "churned" in done.stderr
    assert "Running retrain" not in done.stdout
    assert chosen_file(running.layout.home).read_bytes() == kept


def test_a_prediction_moves_into_the_database(running: Stack) -> None:
    import sqlalchemy as sa

    from ml import predictions
    from ml.storage import database

    answer = running.get("/predict", {"rows": [running.get("/model")["example"]]})
    wanted = answer["predictions"][0]["prediction_id"]
    table = predictions.predictions

    def stored() -> bool:
        with database.engine(running.layout.settings).connect() as connection:
            return bool(connection.execute(sa.select(table).where(table.c.prediction_id == wanted)).first())

    running.until(stored, "the prediction is not in the log's database")


def test_drift_check_and_rollback_run(running: Stack) -> None:
    run_id = running.api.trigger("drift_check", {})
    assert running.finished("drift_check", run_id)["state"] == "success"
    assert running.api.result("drift_check", run_id, "compare")["verdict"] in {"insufficient data", "stable"}
    # There is nothing before version 1: an error that says so, not a move of the alias.
    run_id = running.api.trigger("rollback", {"reason": "a test"})
    assert running.finished("rollback", run_id)["state"] == "failed"
    assert running.get("/health/ready")["model_version"] == "1"


def test_status_says_what_runs(running: Stack) -> None:
    done = running.command("--status")
    assert done.returncode == 0
    for program in ("service", "mlflow", "airflow-scheduler", "follower", "log-shipper"):
        assert re.search(rf"{program}\s+RUNNING", done.stdout)


def test_mlflow_ui_says_where_the_running_one_is(running: Stack) -> None:
    done = running.command(script="mlflow_ui.sh")
    assert done.returncode == 0
    assert f"http://127.0.0.1:{running.layout.ports['mlflow']}" in done.stdout


def test_its_mlflow_address_opens_the_registry(running: Stack) -> None:
    """MLflow hides it unless it is asked for in the right place."""
    address = re.findall(r"MLflow\s+(http\S+)", running.output)[-1]
    with browser.chromium() as opened, browser.page(opened) as (page, _):
        page.goto(address)
        expect(page.get_by_text("Model registry", exact=True)).to_be_visible(timeout=60_000)


def test_a_run_is_cancelled(running: Stack) -> None:
    api, before = running.api, running.get("/model")["model_version"]
    run_id = api.trigger("retrain", {"max_evals": 500})  # minutes, if it were not for the cancel

    def busy() -> bool:
        return any(task["state"] == "running" for task in api.tasks("retrain", run_id))

    running.until(busy, "no task of the run began")
    done = running.command("--cancel")
    assert done.returncode == 0, done.stderr
    assert api.page("retrain", run_id) in done.stdout
    assert f"version {before}" in done.stdout
    assert api.run("retrain", run_id)["state"] == "failed"
    assert api.active_runs("retrain") == []
    assert not busy()
    assert running.get("/model")["model_version"] == before
