"""`/models`: the champion, how it was made and judged, every version, and the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml.settings.addresses import mlflow_page
from serving.api import guard
from serving.model.store import Served
from serving.pages import actions, pages
from serving.pages.i18n import formats
from serving.pages.models import comparison, version
from serving.pages.models.events import ledger_row, outside
from serving.service import Service, current_service
from serving.status import reader as status_file
from serving.status.reader import ServiceEntry, Status, VersionEntry

TABLE = ("accuracy", "roc_auc", "f1", "log_loss")
FIRST_VERSIONS = 20  # of the table; the others are one click away
# A figure has its colours in itself, and class names of customers' tables: opened by itself it runs and loads nothing.
FIGURE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@pages.get("/models")
@guard.opens("predict")
def models() -> str:
    """The champion first, then everything that led to it."""
    service = current_service()
    served = service.store.current()
    known = status_file.read(service.folder)
    files = version.files_of(service, known, served.version) if served is not None else None
    context: dict[str, Any] = {}
    if served is not None and files is not None:
        context = version.described(files)
        drawn = {chart["key"] for panel in ("quality", "search") for chart in context[panel]}
        context["figures"] = _figures(served, drawn | {"model"})
    return render_template(
        "models.html",
        versions=[_row(service, known, v) for v in known.versions],
        first_versions=FIRST_VERSIONS,
        metric_names=[formats.METRICS[name] for name in TABLE],
        compare=comparison.of(service, known, request.args.get("from", ""), request.args.get("to", "")),
        ledger=[ledger_row(e) for e in known.ledger],
        services=[_service(one) for one in known.services],
        shadow=known.shadow,
        outside=outside(known),
        silent=version.silent(known),
        mlflow=mlflow_page(service.settings, f"models/{service.settings.registry.model_name}"),
        actions=actions.of_model(service),
        **context,
    )


@pages.get("/models/figure/<name>")
@guard.opens("predict")
def figure(name: str) -> Response:
    """One picture of the served bundle; only names that the bundle lists."""
    served = current_service().store.current()
    if served is None or name not in _figure_names(served):
        abort(404, gettext("There is no such picture in the bundle that is served."))
    response = send_file(served.bundle.path / "figures" / name, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "private, max-age=300"
    response.headers["Content-Security-Policy"] = FIGURE_POLICY
    return response


def _figure_names(served: Served) -> list[str]:
    return sorted(file.name for file in (served.bundle.path / "figures").glob("*.svg"))


def _figures(served: Served, drawn: set[str]) -> list[dict[str, str]]:
    """The bundle's pictures of what is not drawn from numbers: those of an older version that has no numbers."""
    titles = {
        "calibration": gettext("Calibration: promised and observed"),
        "roc": gettext("ROC curve"),
        "precision_recall": gettext("Precision and recall"),
        "confusion": gettext("Confusion matrix"),
        "tuning_comparison": gettext("Comparison of configurations"),
        "tuning_space": gettext("Search space"),
        "tuning_convergence": gettext("Convergence of the search"),
        "training_curves": gettext("Training curves"),
    }
    names = [name for name in _figure_names(served) if Path(name).stem not in drawn]
    return [
        {
            "url": url_for("pages.figure", name=name, v=served.sha256[:12]),
            "title": titles.get(Path(name).stem, Path(name).stem.replace("_", " ")),
        }
        for name in names
    ]


def _row(service: Service, known: Status, entry: VersionEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "when": formats.when(entry.time),
        "family": entry.family,
        "chips": version.chips(service, known, entry),
        "metrics": [_cell(entry, name) for name in TABLE],
        "sentence": entry.sentence,
    }


def _service(one: ServiceEntry) -> dict[str, Any]:
    state, kind = (gettext("in rotation"), "good") if not one.out else (gettext("out of rotation"), "bad")
    if one.stale:
        state, kind = gettext("no longer heard of"), "warn"
    return {
        "name": f"{one.host}, {one.address}",
        "versions": ", ".join(one.versions) or "–",
        "workers": formats.number(one.workers, 0),
        "seen": formats.when(one.seen),
        "state": state,
        "kind": kind,
        "why": one.out,
    }


def _cell(entry: VersionEntry, name: str) -> str:
    """A metric of a version; where others were measured and this one has no value, it is undefined on their rows."""
    if name in entry.metrics:
        return formats.measured(entry.metrics[name])
    return gettext("undefined") if entry.metrics else "–"
