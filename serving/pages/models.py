"""`/models`: the champion, how it was made and judged, every version, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml.charts.figures import structure_rows
from ml.decision import of_metrics
from ml.messages import Text
from ml.settings.addresses import mlflow_page
from serving.api import guard
from serving.model.store import Served
from serving.pages import card, pages, quality, search
from serving.pages.i18n import formats, translation
from serving.service import Service, current_service
from serving.status import reader as status_file
from serving.status.reader import LedgerEntry, Status, VersionEntry

HEADLINE = ("accuracy", "roc_auc", "f1", "log_loss", "ece")
TABLE = ("accuracy", "roc_auc", "f1", "log_loss")
# A figure has its colours in itself, and class names of customers' tables: opened by itself it runs and loads nothing.
FIGURE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@pages.get("/models")
@guard.opens("predict")
def models() -> str:
    """The champion first, then everything that led to it."""
    service = current_service()
    served = service.store.current()
    known = status_file.read(service.folder)
    context: dict[str, Any] = {}
    if served is not None:
        gate = served.bundle.json("gate.json") or {}
        panels = {"quality": quality.of(served), "search": search.of(served)}
        verdict = _verdict(gate)
        context = {
            "sentence": verdict[0],
            "reasons": verdict[1],
            "cards": _cards(served),
            "answers": of_metrics(served.bundle.decision, served.bundle.schema, served.bundle.metrics),
            "quality": panels["quality"],
            "search": panels["search"],
            "figures": _figures(served, {chart["key"] for charts in panels.values() for chart in charts} | {"model"}),
            "structure": _structure(served),
            "model_card": card.html(card.text(served.bundle.json("model_card.json"), _text(served, "model_card.md"))),
            "links": _links(service),
        }
    return render_template(
        "models.html",
        versions=[_row(v) for v in known.versions],
        metric_names=[formats.METRICS[name] for name in TABLE],
        compare=_compare(known.versions),
        ledger=[ledger_row(e) for e in known.ledger],
        shadow=known.shadow,
        outside=outside(known),
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


def ledger_row(entry: LedgerEntry) -> dict[str, Any]:
    """A ledger entry in the reader's words."""
    text, kind = formats.EVENTS.get(entry.what, (entry.what, ""))
    return {
        "when": formats.when(entry.time),
        "what": text,
        "kind": kind,
        "source": entry.from_version or "–",
        "to": entry.to_version or "–",
        "who": formats.WATCHERS.get(entry.who, entry.who),
        "why": entry.why,
    }


def outside(known: Status) -> dict[str, Any] | None:
    """The newest move where it was made in MLflow's registry, or the alias deleted there; None where it was ours."""
    newest = next((e for e in known.ledger if e.what in ("promoted", "rolled back", "alias deleted")), None)
    return ledger_row(newest) if newest is not None and newest.who == formats.IN_MLFLOW else None


def _verdict(gate: dict[str, Any]) -> tuple[Text, list[Text]]:
    """The sentence of gate.json and its reasons; by code, where the bundle has them so."""
    if "message" in gate:
        whole, reasons = msgspec.convert((gate["message"], gate["messages"]), tuple[Text, list[Text]])
    else:
        whole, reasons = gate.get("sentence", ""), gate.get("reasons", [])
    return whole, [reason for reason in reasons if reason != whole]


def _cards(served: Served) -> list[dict[str, str]]:
    metrics = served.bundle.metrics.get("metrics", {})
    cards = []
    for name in HEADLINE:
        if (entry := metrics.get(name)) and entry.get("value") is None:
            undefined = gettext("on these test rows, which lack a class")
            cards.append({"name": formats.METRICS[name], "figure": gettext("undefined"), "note": undefined})
        elif entry:
            figure = formats.number(entry["value"], fixed=True)
            cards.append({"name": formats.METRICS[name], "figure": figure, "note": "; ".join(_beside(served, name))})
    rows = served.bundle.metrics.get("rows")
    if rows:
        cards.append(
            {"name": gettext("Test rows"), "figure": formats.number(rows, 0), "note": gettext("held out, used once")}
        )
    return cards


def _beside(served: Served, name: str) -> Iterator[str]:
    """What a figure is to be read with: its interval, its value without skill, and at 1/2."""
    known = served.bundle.metrics
    entry = known["metrics"][name]
    if entry.get("low") is not None:
        low, high = (formats.number(entry[end], fixed=True) for end in ("low", "high"))
        yield gettext("95%% interval %(low)s to %(high)s", low=low, high=high)
    if name in known.get("no_skill", {}):
        yield gettext("without skill %(value)s", value=formats.number(known["no_skill"][name], fixed=True))
    if name in known.get("at_half", {}):
        yield gettext("with the threshold at ½ %(value)s", value=formats.number(known["at_half"][name], fixed=True))


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


def _text(served: Served, name: str) -> str:
    file = served.bundle.path / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _structure(served: Served) -> list[tuple[str, str]]:
    """What the estimator says of itself, a line each: `layers[0].width` and its value."""
    return list(
        structure_rows(served.bundle.json("structure.json") or {}, number=lambda value: formats.number(value, 6))
    )


def _links(service: Service) -> dict[str, str]:
    return {
        "mlflow": mlflow_page(service.settings, f"models/{service.settings.registry.model_name}"),
        "airflow": f"http://127.0.0.1:{service.settings.airflow_port}/dags/retrain",
    }


def _row(version: VersionEntry) -> dict[str, Any]:
    chips = [
        {"text": formats.ALIASES.get(alias, alias), "kind": "good" if alias == "champion" else ""}
        for alias in version.aliases
    ]
    if version.quarantined:
        chips.append({"text": formats.EVENTS["quarantined"][0], "kind": "bad"})
    if version.verdict == "refused":
        chips.append({"text": formats.EVENTS["refused"][0], "kind": "warn"})
    return {
        "version": version.version,
        "when": formats.when(version.time),
        "family": version.family,
        "chips": chips,
        "metrics": [_cell(version, name) for name in TABLE],
        "sentence": version.sentence,
    }


def _cell(version: VersionEntry, name: str) -> str:
    """A metric of a version; where others were measured and this one has no value, it is undefined on their rows."""
    if name in version.metrics:
        return formats.measured(version.metrics[name])
    return gettext("undefined") if version.metrics else "–"


def _compare(versions: tuple[VersionEntry, ...]) -> dict[str, Any]:
    """Two versions side by side: those asked for, else the newest two."""
    if len(versions) < 2:
        return {}
    by_name = {v.version: v for v in versions}
    a = by_name.get(request.args.get("from", ""), versions[1])
    b = by_name.get(request.args.get("to", ""), versions[0])
    rows = [
        (gettext("Registered"), formats.when(a.time), formats.when(b.time), ""),
        (gettext("Family"), a.family, b.family, ""),
    ]
    for name, text in formats.METRICS.items():
        if name in a.metrics and name in b.metrics:
            x, y = a.metrics[name][0], b.metrics[name][0]
            rows.append(
                (
                    str(text),
                    formats.measured(a.metrics[name]),
                    formats.measured(b.metrics[name]),
                    formats.localised(f"{y - x:+.4f}"),
                )
            )
    rows.append((gettext("The gate said"), translation.translated(a.sentence), translation.translated(b.sentence), ""))
    return {"a": a.version, "b": b.version, "rows": rows}
