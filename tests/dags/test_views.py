"""Refit's view in Airflow: closed to strangers, harmless with hostile text, and true to the database."""

from __future__ import annotations

from typing import Any

import pytest

from ml import settings as settings_module
from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict, Finding, Window
from ml.registry import ledger
from ops.layout import Layout

# Starlette would have its own fork of httpx; what Airflow installs does.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with")

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
ROUTES = ("/refit/", "/refit/dag/retrain", "/refit/report/check1", "/refit/static/style.css")


@pytest.fixture(scope="module")
def server(airflow: Layout) -> Any:
    """Airflow's own application with the plugins folder of the project."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    return TestClient(create_app(apps="core"))


@pytest.fixture
def known(server: Any, home: Any) -> Any:
    """The client with a home in which something has happened."""
    settings = settings_module.load()
    ledger.append(settings, ledger.REGISTERED, who="a", to_version="3", numbers={"metrics": {"accuracy": 0.8915}})
    ledger.append(settings, ledger.PROMOTED, who=HOSTILE, why=f"better {HOSTILE}", from_version="2", to_version="3")
    finding = Finding(column=HOSTILE, kind="number", method="m", effect=0.4, drifted=True)
    verdict = DriftVerdict(
        id="check1", time=1e9, verdict="drift", retrain=False, decision="waiting", reasons=[f"moved {HOSTILE}"],
        model_version="3", window=Window(rows=1_234), findings=[finding],
    )  # fmt: skip
    verdict_history.save(settings, verdict)
    (settings.var / "reports").mkdir(parents=True)
    (settings.var / "reports" / "check1.html").write_text("<h1>Report</h1>")
    (settings.var / "secret.html").write_text("hidden")
    return server


def signed_in(role: str = "ADMIN") -> dict[str, str]:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return {
        "Authorization": f"Bearer {get_auth_manager().generate_jwt(SimpleAuthManagerUser(username='a', role=role))}"
    }


@pytest.mark.parametrize("path", ROUTES)
def test_strangers_are_refused(path: str, known: Any) -> None:
    assert known.get(path).status_code == 401
    assert known.get(path, headers={"Authorization": "Bearer made.up.token"}).status_code in (401, 403)


@pytest.mark.parametrize("path", ROUTES[:-1])
def test_somebody_without_a_role_is_refused(path: str, known: Any) -> None:
    """Whoever may not see the DAGs does not see what they did."""
    assert known.get(path, headers=signed_in("")).status_code == 403


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("role", ["VIEWER", "ADMIN"])
def test_who_may_see_dags_sees_the_view(path: str, role: str, known: Any) -> None:
    answer = known.get(path, headers=signed_in(role))
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_overview_tells_what_is_in_the_database(known: Any) -> None:
    answer = known.get("/refit/", headers=signed_in())
    for text in ("Version 3", "0.891", "drift", "1,234", "/dags/retrain", "/dags/rollback"):
        assert text in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_text_of_others_is_escaped(known: Any) -> None:
    for path in ("/refit/", "/refit/dag/retrain", "/refit/dag/drift_check"):
        text = known.get(path, headers=signed_in()).text
        assert "alert(1)&lt;/script&gt;" in text
        assert "<script>alert" not in text
        assert "{{ 7 * 7 }}" in text


def test_a_dag_has_its_part(known: Any) -> None:
    def has(dag_id: str) -> set[str]:
        text = known.get(f"/refit/dag/{dag_id}", headers=signed_in()).text
        return {part for part in ("champion", "verdict", "checks", "ledger") if f'id="{part}"' in text}

    assert has("retrain") == {"champion", "ledger"}
    assert has("drift_check") == {"verdict", "checks"}
    assert has("somebody_elses") == set()


def test_a_report_runs_in_a_sandbox(known: Any) -> None:
    answer = known.get("/refit/report/check1", headers=signed_in())
    assert answer.text == "<h1>Report</h1>"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "path",
    ["report/nothing", "report/..%2Fsecret", "report/%2e%2e%2fsecret", "static/..%2Fview.html", "static/view.html"],
)
def test_nothing_outside_is_served(path: str, known: Any) -> None:
    answer = known.get(f"/refit/{path}", headers=signed_in())
    assert answer.status_code == 404
    assert "hidden" not in answer.text


def test_a_link_out_of_the_reports_is_not_followed(known: Any) -> None:
    reports = settings_module.load().var / "reports"
    (reports / "linked.html").symlink_to(reports.parent / "secret.html")
    assert known.get("/refit/report/linked", headers=signed_in()).status_code == 404


def test_an_empty_home_says_so(server: Any, home: Any) -> None:
    text = server.get("/refit/", headers=signed_in()).text
    assert "The first run of retrain brings one." in text
    assert "Nothing has happened yet." in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("REFIT_DATABASE_URL", "sqlite:////no/such/folder/refit.db"), ("REFIT_DRIFT__NOTHING", "1")],
    ids=["database away", "unknown setting"],
)
def test_what_is_wrong_is_told(name: str, value: str, server: Any, home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    answer = server.get("/refit/", headers=signed_in())
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


def test_the_view_is_in_the_navigation_and_on_dags(server: Any) -> None:
    found = server.get("/api/v2/plugins", headers=signed_in()).json()["plugins"]
    views = next(plugin["external_views"] for plugin in found if plugin["name"] == "refit_views")
    assert {view["destination"] for view in views} == {"nav", "dag"}
