"""The pages people see: `/`, `/models`, `/monitoring`. English and Vietnamese, light and dark.

Server-rendered, and complete without JavaScript. Nothing is loaded from elsewhere and nothing is inline,
so the policy below can be strict. `install(app)` adds translations, filters and the blueprint.

| module | what is in it |
|---|---|
| `actions` | What a person can do to the model, as links to the very page of Airflow |
| `answer` | The answer to one row: the label with its probability, what pushed it there, what would change it |
| `documents` | `GET /openapi.json` and `GET /docs`, the same as a page that needs no other host |
| `fields` | The form of one row: its fields, made from the schema, and what is typed in them as a row |
| `file` | `/file`: an uploaded table scored, shown as a list to work through, and kept for an hour to be downloaded |
| `i18n` | The reader's language: numbers and times, and sentences of the library |
| `labels` | `/labels`: a result file with its column of truths filled in, sent back as labels |
| `models` | `/models`, and `/models/N`: the champion, every version, two side by side, and the ledger |
| `monitoring` | `/monitoring`: is the model still good? |
| `predict` | `/`: predict one row by a form that is built from the schema; `/label`: its true label |
| `work_list` | The result of a file as a list to work through: the likeliest positive label first, room for the truth |
| `workbook` | A file's result as a workbook: a column is of numbers or of texts, whatever its thousands are like |
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, g, render_template, request, url_for
from flask_babel import Babel
from werkzeug.exceptions import HTTPException

from serving import problems
from serving.pages.i18n import formats, translation, validation
from serving.problems import Problem
from serving.service import current_service

LOCALES = ("en", "vi")
THEMES = ("auto", "dark", "light")
COOKIE_AGE_S = 365 * 24 * 3600  # a year: a reader's language and theme
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
STATIC = Path(__file__).resolve().parent.parent / "static"

pages = Blueprint("pages", __name__)


def install(app: Flask) -> None:
    """Serve the pages from `app`."""
    from serving.pages import file, labels, predict  # noqa: F401  (they add their routes)
    from serving.pages.models import overview as models  # noqa: F401
    from serving.pages.monitoring import overview as monitoring  # noqa: F401

    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", str(STATIC.parent / "translations"))
    Babel(app, locale_selector=locale)
    app.jinja_env.filters |= {
        "percent": formats.percent,
        "validation_error": validation.told,
        "translated": translation.translated,
        "title_of": validation.title,
    }
    app.register_blueprint(pages)
    for kind in (HTTPException, Problem):
        app.register_error_handler(kind, _elsewhere)


def _elsewhere(error: HTTPException | Problem) -> Response | tuple[str, int, dict[str, str]]:
    """An error outside of the pages: a page where a browser asks for one, else as `serving.problems` answers."""
    problem = problems.of(error)
    asked = request.accept_mimetypes.best_match([problems.MEDIA_TYPE, "text/html"])
    if asked != "text/html" or problems.answer_to(problem, request.path)[2] != problems.MEDIA_TYPE:
        return problems.response(problem, request.path)
    return (*_page(problem), problem.headers | {"Content-Security-Policy": POLICY})


def _page(problem: Problem) -> tuple[str, int]:
    g.problem = problem.code
    text = translation.translated(problem.explanation)
    return render_template("error.html", title=validation.title(problem), text=text), problem.status


def locale() -> str:
    """What `?lang=`, then the cookie, then the browser asks for."""
    for asked in (request.args.get("lang"), request.cookies.get("lang")):
        if asked in LOCALES:
            return asked
    return request.accept_languages.best_match(LOCALES) or "en"


def theme() -> str:
    """What `?theme=`, then the cookie says; "auto" follows the system."""
    for asked in (request.args.get("theme"), request.cookies.get("theme")):
        if asked in THEMES:
            return asked
    return "auto"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """Address of a static file that changes with its content, so that browsers may keep it for good."""
    return url_for("static", filename=name, v=_digest(name))


def switch(**choice: str) -> str:
    """This page's address with another language or theme; a form's answer goes back to the empty page."""
    view = {**(request.view_args or {}), **(request.args.to_dict() if request.method == "GET" else {}), **choice}
    return url_for(request.endpoint if request.method == "GET" and request.endpoint else "pages.predict", **view)


@pages.app_context_processor
def _common() -> dict[str, Any]:
    service = current_service()
    return {
        "locale": locale(),
        "theme": theme(),
        "asset": asset,
        "switch": switch,
        "served": service.store.current(),
        "model_name": service.settings.registry.model_name,
    }


@pages.errorhandler(HTTPException)
def _failed(error: HTTPException) -> tuple[str, int]:
    """People get a page; programs that call the API get problem+json, see serving/problems.py."""
    return _page(problems.of(error))


@pages.after_request
def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("Cache-Control", "no-store")
    return remember(response)


def remember(response: Response) -> Response:
    """Keep the language and the theme that were asked for."""
    response.headers["Vary"] = "Accept-Language, Cookie"
    for name, allowed in (("lang", LOCALES), ("theme", THEMES)):
        if (asked := request.args.get(name, "")) in allowed:
            response.set_cookie(name, asked, max_age=COOKIE_AGE_S, samesite="Lax", httponly=True)
    return response
