"""The Flask application: `gunicorn -c serving/gunicorn.conf.py 'serving.app:create_app()'`.

`app.extensions["refit"]` is the `Service` that every route uses. Making the application starts nothing: threads and
files begin with the first request, or when gunicorn's configuration starts the service in a forked worker.
"""

from __future__ import annotations

import importlib
import time

from flask import Flask, Response, g, request

from ml import settings as settings_module
from ml.messages import message
from ml.schema.validation_errors import shown
from ml.settings import Settings
from serving import pages, problems
from serving.api import guard
from serving.auth import limits
from serving.problems import Problem
from serving.service import Service

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
# Each names a module with a blueprint `bp`; in the order of the API's documentation.
BLUEPRINTS = (
    "serving.api.predict",
    "serving.api.files",
    "serving.api.explain",
    "serving.api.feedback",
    "serving.api.health",
    "serving.pages.documents",
    "serving.protocols.mlflow",
    "serving.protocols.open_inference",
)


def create_app(settings: Settings | None = None) -> Flask:
    """The application for `settings`; without them, for what refit.toml and the environment say."""
    settings = settings or settings_module.load()
    app = guard.Application("serving")
    app.config["MAX_CONTENT_LENGTH"] = settings.serving.max_body_bytes
    service = app.extensions["refit"] = Service(settings)
    problems.install(app)
    for name in BLUEPRINTS:
        app.register_blueprint(importlib.import_module(name).bp)
    pages.install(app)

    @app.before_request
    def begin() -> Response | None:
        g.started = time.perf_counter()
        g.context = guard.Context.of(request.headers.get)
        service.start()
        if (problem := request.environ.get(guard.REFUSED)) is not None:
            raise problem
        if not request.environ.get("HTTP_RANGE", "bytes=").lower().startswith("bytes="):
            del request.environ["HTTP_RANGE"]  # RFC 9110, 14.2: a unit that is not known is passed over
        request.max_content_length = limits.body_bytes(settings, request.path, request.content_type or "")
        address = request.remote_addr or ""
        refused = guard.check(
            service,
            request.method,
            app.scope(request.endpoint),
            request.headers.get,
            address,
            by_address=app.by_address(request.endpoint),
        )
        refused = refused or _packed_form()
        return problems.response(refused, request.path) if refused is not None else None

    @app.after_request
    def finish(response: Response) -> Response:
        context: guard.Context = g.context
        for name, value in guard.headers(context, response.content_type or ""):
            response.headers.setdefault(name, value)
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule is not None else "none"
        service.metrics.answered(route, response.status_code, seconds)
        if (code := g.pop("problem", None)) is not None:
            service.metrics.problem(code)
        guard.log_access(service, context, request.method, request.path, response.status_code, seconds)
        return response

    return app


def _packed_form() -> Problem | None:
    """415 for a packed form, which Flask would read as it came and find no field in."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity" or request.mimetype not in FORMS:
        return None
    return Problem(415, message("http.packed_form", got=shown(encoding)))
