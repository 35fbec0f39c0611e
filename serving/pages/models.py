"""`/models`: the champion, how it was made and judged, every version, and the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from serving import status as status_file
from serving.model_store import Served
from serving.pages import charts, pages, words
from serving.service import Service, service
from serving.status import LedgerEntry, VersionEntry

HEADLINE = ("accuracy", "roc_auc", "f1", "log_loss", "ece")
TABLE = ("accuracy", "roc_auc", "f1", "log_loss")


@pages.get("/models")
def models() -> str:
    """The champion first, then everything that led to it."""
    one = service()
    served = one.store.current()
    known = status_file.read(one.folder)
    shown: dict[str, Any] = {}
    if served is not None:
        gate = served.bundle.json("gate.json") or {}
        shown = {
            "sentence": gate.get("sentence", ""),
            "reasons": gate.get("reasons", []),
            "cards": _cards(served),
            "charts": _charts(served),
            "figures": _figures(served),
            "architecture": _structure(served),
            "model_card": _text(served, "model_card.md"),
            "links": _links(one),
        }
    return render_template(
        "models.html",
        versions=[_row(v) for v in known.versions],
        metric_names=[words.METRICS[name] for name in TABLE],
        compare=_compare(known.versions),
        ledger=[ledger_row(e) for e in known.ledger],
        **shown,
    )


@pages.get("/models/figure/<name>")
def figure(name: str) -> Response:
    """One picture of the served bundle; only names that the bundle lists."""
    served = service().store.current()
    if served is None or name not in _figure_names(served):
        abort(404, gettext("There is no such picture in the bundle that is served."))
    response = send_file(served.bundle.path / "figures" / name, mimetype="image/png")
    response.headers["Cache-Control"] = "private, max-age=300"
    return response


def ledger_row(entry: LedgerEntry) -> dict[str, Any]:
    """A ledger entry in the reader's words."""
    text, kind = words.EVENTS.get(entry.what, (entry.what, ""))
    return {
        "when": words.when(entry.time),
        "what": text,
        "kind": kind,
        "source": entry.from_version or "–",
        "to": entry.to_version or "–",
        "who": entry.who,
        "why": entry.why,
    }


def _cards(served: Served) -> list[dict[str, str]]:
    metrics = served.bundle.metrics.get("metrics", {})
    cards = []
    for name in HEADLINE:
        if (entry := metrics.get(name)) and entry.get("value") is not None:
            note = ""
            if entry.get("low") is not None:
                note = gettext(
                    "95%% interval %(low)s to %(high)s",
                    low=words.number(entry["low"]),
                    high=words.number(entry["high"]),
                )
            cards.append({"name": words.METRICS[name], "figure": words.number(entry["value"]), "note": note})
    rows = served.bundle.metrics.get("rows")
    if rows:
        cards.append(
            {"name": gettext("Test rows"), "figure": words.number(rows, 0), "note": gettext("held out, used once")}
        )
    return cards


def _charts(served: Served) -> list[dict[str, Any]]:
    return [chart for chart in (_training(served), _tuning(served)) if chart]


def _training(served: Served) -> dict[str, Any] | None:
    history = [row for row in served.bundle.json("history.json") or [] if isinstance(row, dict)]
    names = (("train_loss", gettext("Training")), ("validation_loss", gettext("Validation")))
    series = [
        charts.Series(name=name, points=tuple((float(i), row[key]) for i, row in enumerate(history, 1) if key in row))
        for key, name in names
    ]
    series = [one for one in series if len(one.points) > 1]
    if not series:
        return None
    title = gettext("Training curves")
    return {
        "title": title,
        "note": gettext("Log-loss after each pass over the training rows; lower is better."),
        "svg": charts.line_chart(series, title=title, x_label=gettext("Epoch"), y_label=gettext("Log-loss")),
        "series": [one.name for one in series],
        "head": [gettext("Epoch"), *(one.name for one in series)],
        "rows": [
            [str(int(x)), words.number(y, 4), *(words.number(dict(o.points).get(x), 4) for o in series[1:])]
            for x, y in series[0].points
        ],
    }


def _tuning(served: Served) -> dict[str, Any] | None:
    trials = [t for t in served.bundle.json("trials.json") or [] if isinstance(t, dict) and t.get("loss") is not None]
    if len(trials) < 2:
        return None
    losses = [float(t["loss"]) for t in trials]
    best = [min(losses[: i + 1]) for i in range(len(losses))]
    each = tuple((float(i), loss) for i, loss in enumerate(losses, 1))
    title = gettext("Tuning")
    # Hopeless trials would flatten the picture; the table has them.
    top = max(best[0], sorted(losses)[int(0.9 * (len(losses) - 1))])
    shown = tuple(point for point in each if point[1] <= top)
    series = [
        charts.Series(name=gettext("Best so far"), points=tuple((float(i), b) for i, b in enumerate(best, 1))),
        charts.Series(name=gettext("Each trial"), points=shown, dots=True, line=False),
    ]
    return {
        "title": title,
        "note": gettext("Validation log-loss of each configuration that was tried; lower is better."),
        "svg": charts.line_chart(
            [
                series[0],
                charts.Series(name=series[1].name, points=tuple(p for p in each if p[1] <= top), dots=True, line=False),
            ],
            title=title,
            x_label=gettext("Trial"),
            y_label=gettext("Log-loss"),
        ),
        "series": [one.name for one in series],
        "head": [gettext("Trial"), gettext("Family"), gettext("Log-loss"), gettext("Accuracy"), gettext("Macro F1")],
        "rows": [
            [str(i), t.get("family", ""), words.number(t["loss"], 4)]
            + [words.number(t.get("scores", {}).get(name)) for name in ("accuracy", "macro_f1")]
            for i, t in enumerate(trials, 1)
        ],
    }


def _figure_names(served: Served) -> list[str]:
    return sorted(file.name for file in (served.bundle.path / "figures").glob("*.png"))


def _figures(served: Served) -> list[dict[str, str]]:
    titles = {
        "calibration": gettext("Calibration: promised and observed"),
        "roc": gettext("ROC curve"),
        "precision_recall": gettext("Precision and recall"),
        "confusion": gettext("Confusion matrix"),
        "tuning_comparison": gettext("Comparison of configurations"),
        "tuning_space": gettext("Search space"),
        "tuning_convergence": gettext("Convergence of the search"),
        "training_curves": gettext("Training curves"),
        "model": gettext("Structure and parameters"),
    }
    order = {f"{name}.png": place for place, name in enumerate(titles)}
    names = sorted(_figure_names(served), key=lambda name: order.get(name, len(order)))
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


def _structure(served: Served) -> str:
    found = served.bundle.json("structure.json")
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() if found else ""


def _links(one: Service) -> dict[str, str]:
    mlflow = one.settings.registry.tracking_uri or f"http://127.0.0.1:{one.settings.mlflow_port}"
    if not mlflow.startswith("http"):
        mlflow = f"http://127.0.0.1:{one.settings.mlflow_port}"
    return {
        "mlflow": f"{mlflow}/#/models/{one.settings.registry.model_name}?workflowType=machine_learning",
        "airflow": f"http://127.0.0.1:{one.settings.airflow_port}/dags/retrain",
    }


def _row(version: VersionEntry) -> dict[str, Any]:
    chips = [{"text": alias, "kind": "good" if alias == "champion" else ""} for alias in version.aliases]
    if version.quarantined:
        chips.append({"text": words.EVENTS["quarantined"][0], "kind": "bad"})
    if version.verdict == "refused":
        chips.append({"text": words.EVENTS["refused"][0], "kind": "warn"})
    return {
        "version": version.version,
        "when": words.when(version.time),
        "family": version.family,
        "chips": chips,
        "metrics": [words.measured(version.metrics[n]) if n in version.metrics else "–" for n in TABLE],
        "sentence": version.sentence,
    }


def _compare(versions: tuple[VersionEntry, ...]) -> dict[str, Any]:
    """Two versions side by side: those asked for, else the newest two."""
    if len(versions) < 2:
        return {}
    by_name = {v.version: v for v in versions}
    a = by_name.get(request.args.get("from", ""), versions[1])
    b = by_name.get(request.args.get("to", ""), versions[0])
    rows = [(gettext("Family"), a.family, b.family, "")]
    for name, text in words.METRICS.items():
        if name in a.metrics and name in b.metrics:
            x, y = a.metrics[name][0], b.metrics[name][0]
            rows.append((str(text), words.measured(a.metrics[name]), words.measured(b.metrics[name]), f"{y - x:+.4f}"))
    return {"a": a.version, "b": b.version, "rows": rows}
