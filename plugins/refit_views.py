"""Refit's own view in Airflow's UI: champion, verdicts, ledger and drift report, in the navigation and on the DAGs.

Airflow serves a plugin's routes to anybody unless they ask who comes: everything here asks for a login that may see
the DAG it tells about. Links to act lead to Airflow's own pages, which check what the user may do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI

FOLDER = Path(__file__).with_name("refit_views")
PREFIX = "/refit"
ASSETS = {"style.css": "text/css", "view.js": "text/javascript", "icon.svg": "image/svg+xml"}
# The UI may frame the view, nothing is loaded from elsewhere, and nothing inline runs.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
# A report holds scripts made from customers' values: it runs in an origin of its own (the session's cookie can be read
# by scripts of this one), and reaches nothing.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:; frame-ancestors 'self'"
)
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
# What each view shows: the whole, or a DAG's part of it.
PARTS = {
    "": ("champion", "verdict", "columns", "checks", "report", "ledger"),
    "retrain": ("champion", "ledger"),
    "drift_check": ("verdict", "columns", "checks", "report"),
    "rollback": ("champion", "ledger"),
}
TONES = {
    "stable": "good", "promoted": "good", "drift": "warn", "refused": "warn", "rolled back": "warn",
    "degraded": "bad", "broken data": "bad", "promotion failed": "bad", "rollback failed": "bad", "quarantined": "bad",
}  # fmt: skip


def base_path() -> str:
    """Where Airflow lies below its host: "" or, behind a proxy, such as "/airflow"."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


def page(dag_id: str, report: str = "") -> str:
    """The view as HTML; every text of others is escaped by Jinja."""
    import jinja2

    from ml import settings as settings_module
    from ml.errors import RefitError
    from ml.monitoring import report_files, status

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True)
    environment.filters["when"] = when
    environment.globals["tones"] = TONES
    known, trouble, reports, approval = status.Status(), "", list[str](), False
    try:
        settings = settings_module.load()
        known, approval = status.read(settings), settings.approval == "required"
        there = report_files.there(settings)
        reports = [check.id for check in known.checks if check.id in there]
    except RefitError as error:  # a slip in refit.toml, a database that is away: told on the page
        trouble = str(error)
    return environment.get_template("view.html").render(
        known=known,
        trouble=trouble,
        parts=PARTS.get(dag_id, ()),
        dag_id=dag_id,
        base=base_path(),
        view=f"{base_path()}{PREFIX}",
        reports=reports,
        shown=report if report in reports else next(iter(reports), "") if dag_id == "drift_check" else "",
        approval=approval,
    )


def when(moment: float) -> str:
    """Seconds since 1970 as a text in UTC.

    >>> when(0)
    '1970-01-01 00:00 UTC'
    """
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def make_app() -> FastAPI:
    """The routes below `PREFIX`, for Airflow's own server."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_dag, requires_access_view
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.responses import FileResponse, HTMLResponse

    from ml import settings as settings_module
    from ml.monitoring import report_files

    website = Depends(requires_access_view(AccessView.WEBSITE))
    app = FastAPI(title="Refit", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[website])

    def allowed(dag_id: str) -> Any:
        return Depends(requires_access_dag("GET", param_dag_id=dag_id))

    def shown(dag_id: str, report: str) -> HTMLResponse:
        return HTMLResponse(page(dag_id, report), headers=HEADERS | {"Content-Security-Policy": POLICY})

    @app.get("/", dependencies=[allowed("retrain"), allowed("drift_check")])
    def overview(report: str = "") -> HTMLResponse:
        return shown("", report)

    # Any DAG of this Airflow has the tab; only ours have something in it.
    @app.get("/dag/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
    def of_dag(dag_id: str, report: str = "") -> HTMLResponse:
        return shown(dag_id if dag_id in PARTS else "other", report)

    @app.get("/report/{check_id}", dependencies=[allowed("drift_check")])
    def report(check_id: str) -> FileResponse:
        file = report_files.page(settings_module.load(), check_id)
        if file is None:
            raise HTTPException(404, "There is no report of that check; reports are kept for a limited time.")
        return FileResponse(file, media_type="text/html", headers=HEADERS | {"Content-Security-Policy": REPORT_POLICY})

    @app.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if name not in ASSETS:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(FOLDER / name, media_type=ASSETS[name], headers=HEADERS)

    return app


class _Apps:
    """Made when Airflow's server asks: schedulers and tasks load plugins as well, and need no FastAPI."""

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        if not self._made:
            self._made.append({"app": make_app(), "url_prefix": PREFIX, "name": "Refit"})
        return self._made


class RefitViews(AirflowPlugin):
    """Found by Airflow in its plugins folder."""

    name = "refit_views"
    fastapi_apps = _Apps()  # type: ignore[assignment]
    external_views = [  # noqa: RUF012
        {
            "name": "Refit",
            "href": f"{base_path()}{PREFIX}/",
            "destination": "nav",
            "url_route": "refit",
            "nav_top_level": True,
            "icon": f"{base_path()}{PREFIX}/static/icon.svg",
        },
        {
            "name": "Refit",
            "href": f"{base_path()}{PREFIX}/dag/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "refit-model",
        },
    ]
