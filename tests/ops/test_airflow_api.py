"""The client of Airflow's REST API: it logs in once, again when the token has expired, and tells a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.settings import Settings
from ops.airflow_api import AirflowApi, AirflowUnavailable
from ops.layout import Layout, ensure_secrets
from tests import fake_http


class Airflow(fake_http.Handler):
    """Takes the newest token alone; keeps what was asked."""

    log: list[tuple[str, str, Any]]
    logins = 0
    answers: dict[str, tuple[int, Any]]

    def do_GET(self) -> None:
        kind = type(self)
        kind.log.append((self.command, self.path, self.body()))
        if self.path == "/auth/token":
            kind.logins += 1
            self.answer(201, {"access_token": f"token {kind.logins}"})
        elif self.headers["Authorization"] != f"Bearer token {kind.logins}":
            self.answer(401, {"detail": "expired"})
        else:
            self.answer(*kind.answers.get(self.path.partition("?")[0], (404, {"detail": "no such thing"})))

    do_POST = do_PATCH = do_GET


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[tuple[AirflowApi, type[Airflow]]]:
    kind = type("Fresh", (Airflow,), {"log": [], "answers": {}})
    with fake_http.serving(kind) as port:
        layout = Layout(Settings(home=tmp_path, airflow_port=port))
        ensure_secrets(layout)
        yield AirflowApi.embedded(layout), kind


def test_it_logs_in_once_and_again_when_the_token_has_expired(airflow: tuple[AirflowApi, type[Airflow]]) -> None:
    api, kind = airflow
    kind.answers["/api/v2/dags/retrain/dagRuns"] = (200, {"dag_runs": [{"dag_run_id": "b"}, {"dag_run_id": "a"}]})
    assert [run["dag_run_id"] for run in api.runs("retrain", 2)] == ["b", "a"]
    api.runs("retrain")
    assert kind.logins == 1
    kind.logins += 1  # the first token is no longer taken
    assert api.active_runs("retrain") == ["b", "a"]
    assert kind.logins == 3


def test_a_run_is_triggered_with_what_it_was_told(airflow: tuple[AirflowApi, type[Airflow]]) -> None:
    api, kind = airflow
    kind.answers |= {
        "/api/v2/dags/retrain": (200, {}),
        "/api/v2/dags/retrain/dagRuns": (200, {"dag_run_id": "manual__2026-11-26T10:00:00+00:00"}),
    }
    api.unpause("retrain")
    assert api.trigger("retrain", {"seed": 7}) == "manual__2026-11-26T10:00:00+00:00"
    assert [(method, body) for method, path, body in kind.log if path != "/auth/token"] == [
        ("PATCH", {"is_paused": False}),
        ("POST", {"logical_date": None, "conf": {"seed": 7}}),
    ]
    assert api.page("retrain", "manual__a+b").endswith("/dags/retrain/runs/manual__a%2Bb")


def test_a_refusal_is_told_with_what_airflow_says(airflow: tuple[AirflowApi, type[Airflow]]) -> None:
    api, _ = airflow
    with pytest.raises(AirflowUnavailable, match=r"Airflow: http://.*/dags/none/dagRuns/x answers 404 .*no such thing"):
        api.run("none", "x")


def test_no_password_yet_is_told(tmp_path: Path) -> None:
    """The stack was never started here."""
    with pytest.raises(AirflowUnavailable, match=r"cannot be asked: .*airflow_passwords\.json"):
        AirflowApi.embedded(Layout(Settings(home=tmp_path))).runs("retrain")


def test_a_task_that_returned_nothing_gives_nothing(airflow: tuple[AirflowApi, type[Airflow]]) -> None:
    """As `approve` where nobody had to be asked: the run has ended well, and its verdict is to be told."""
    api, kind = airflow
    path = "/api/v2/dags/retrain/dagRuns/r/taskInstances/{}/xcomEntries"
    kind.answers |= {
        path.format("approve"): (200, {"xcom_entries": []}),
        path.format("promote"): (200, {"xcom_entries": [{"key": "return_value"}]}),
        path.format("promote") + "/return_value": (200, {"value": {"version": "3"}}),
    }
    assert api.result("retrain", "r", "approve") is None
    assert api.result("retrain", "r", "promote") == {"version": "3"}
