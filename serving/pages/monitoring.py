"""`/monitoring`: is the model still good? Verdicts, drift, labelled accuracy, traffic, reports."""

from __future__ import annotations

from typing import Any

from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml import charts
from serving.api import guard
from serving.pages import pages
from serving.pages.i18n import formats
from serving.pages.models.events import outside
from serving.service import current_service
from serving.status import reader as status_file
from serving.status.reader import CheckEntry, LedgerEntry, Status, Window

SHOWN_COLUMNS = 20  # of a check's table
SHOWN_REASONS = 12  # of one check; all of them are in its report
# A report holds scripts made from customers' values: it runs in an origin of its own, and reaches nothing.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:; frame-ancestors 'self'"
)


@pages.get("/monitoring")
@guard.opens("predict")
def monitoring() -> str:
    """Verdict first, then what it rests on."""
    known = status_file.read(current_service().folder)
    chosen = next((c for c in known.checks if c.report and c.id == request.args.get("report")), None)
    chosen_report = chosen and {"url": url_for("pages.report", check_id=chosen.id), "when": formats.when(chosen.time)}
    return render_template(
        "monitoring.html",
        latest=_check(known.checks[0]) if known.checks else None,
        cards=_cards(known),
        performance=_performance(known),
        traffic=_traffic(known.windows),
        latency=_latency(),
        drift=_drift(known.checks),
        verdicts=_verdicts(known.checks),
        checks=[_check(check) for check in known.checks],
        report=chosen_report,
        outside=outside(known),
    )


@pages.get("/monitoring/report/<check_id>")
@guard.opens("predict")
def report(check_id: str) -> Response:
    """Evidently's HTML of one check, in a sandbox. Only files that the status names are served."""
    service = current_service()
    known = {c.id: c.report for c in status_file.read(service.folder).checks if c.report}
    folder = service.settings.var / "reports"
    file = (folder / known[check_id]).resolve() if check_id in known else None
    if file is None or file.parent != folder.resolve() or not file.exists():
        abort(404, gettext("There is no report of that check; reports are kept for a limited time."))
    response = send_file(file, mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"  # /monitoring frames it
    return response


def _check(check: CheckEntry) -> dict[str, Any]:
    text, kind = formats.VERDICTS.get(check.verdict, (check.verdict, ""))
    return {
        "id": check.id,
        "when": formats.when(check.time),
        "verdict": text,
        "kind": kind,
        "retrain": check.retrain,
        "decision": check.decision,
        "rows": formats.number(check.rows, 0),
        "reasons": check.reasons[:SHOWN_REASONS],
        "unnamed": max(0, len(check.reasons) - SHOWN_REASONS),
        "report": check.report,
    }


def _cards(known: Status) -> list[dict[str, str]]:
    total = sum(w.predictions for w in known.windows)
    labelled = sum(w.labelled for w in known.windows)
    right = sum(w.accuracy * w.labelled for w in known.windows if w.accuracy is not None)
    cards = [
        {"name": gettext("Predictions"), "figure": formats.number(total, 0), "note": gettext("in the windows below")}
    ]
    if total:
        cards.append(
            {
                "name": gettext("Label coverage"),
                "figure": formats.percent(labelled / total),
                "note": gettext("%(n)s labels came back", n=formats.number(labelled, 0)),
            }
        )
    if labelled:
        cards.append(
            {
                "name": gettext("Accuracy on labelled traffic"),
                "figure": formats.percent(right / labelled),
                "note": gettext("all windows together"),
            }
        )
    cards.append({"name": gettext("Checks"), "figure": formats.number(len(known.checks), 0), "note": gettext("kept")})
    return cards


def _performance(known: Status) -> dict[str, Any] | None:
    windows = [w for w in known.windows if w.accuracy is not None]
    if not windows:
        return None
    series = charts.Series(
        name=gettext("Accuracy"),
        points=tuple((w.end, w.accuracy) for w in windows),
        band=tuple((w.low, w.high) if w.low is not None and w.high is not None else None for w in windows),
        dots=True,
    )
    first, last = windows[0].start, windows[-1].end
    events = [*_ledger_events(known, first, last), *_drift_events(known, first, last)]
    names = {
        "promoted": gettext("Promotion"),
        "rolled-back": gettext("Rollback"),
        "alias-deleted": gettext("Alias deleted"),
        "new-contract": gettext("Other columns or classes"),
        "drift": gettext("Drift or degraded"),
    }
    return {
        "svg": charts.line_chart(
            [series],
            title=gettext("Accuracy over time"),
            x_label=gettext("Time"),
            y_label=gettext("Accuracy"),
            events=events,
            x_names=_time_names(first, last),
            localise=formats.localised,
        ),
        "series": [series.name],
        "events": [(kind, name) for kind, name in names.items() if any(e.kind == kind for e in events)],
        "head": [
            gettext("Until"),
            gettext("Version"),
            gettext("Labels"),
            gettext("Accuracy"),
            gettext("Interval, 95%"),
        ],
        "rows": [
            [
                formats.when(w.end),
                w.version,
                w.labelled,
                formats.percent(w.accuracy or 0.0),
                f"{formats.percent(w.low)} – {formats.percent(w.high)}"
                if w.low is not None and w.high is not None
                else "–",
            ]
            for w in windows
        ],
    }


def _ledger_events(known: Status, first: float, last: float) -> list[charts.Event]:
    kinds = {
        "promoted": "promoted",
        "rolled back": "rolled-back",
        "alias deleted": "alias-deleted",
        "new contract": "new-contract",
    }
    moves = [e for e in known.ledger if e.what in kinds and first <= e.time <= last]
    return [charts.Event(x=e.time, kind=kinds[e.what], text=_moved(e)) for e in moves]


def _moved(entry: LedgerEntry) -> str:
    version = entry.to_version or entry.from_version  # what serves on where the alias is gone
    said = f"{formats.EVENTS[entry.what][0]}: {version} · {formats.when(entry.time)}"
    return f"{said} · {formats.WATCHERS[entry.who]}" if entry.who == formats.IN_MLFLOW else said


def _drift_events(known: Status, first: float, last: float) -> list[charts.Event]:
    return [
        charts.Event(x=c.time, kind="drift", text=f"{formats.VERDICTS[c.verdict][0]} · {formats.when(c.time)}")
        for c in known.checks
        if c.verdict in ("drift", "degraded", "broken data") and first <= c.time <= last
    ]


def _traffic(windows: tuple[Window, ...]) -> dict[str, Any] | None:
    if not any(w.predictions for w in windows):
        return None
    series = [
        charts.Series(
            name=gettext("Predictions"), points=tuple((w.end, float(w.predictions)) for w in windows), dots=True
        ),
        charts.Series(
            name=gettext("With a label"), points=tuple((w.end, float(w.labelled)) for w in windows), dots=True
        ),
    ]
    top = max(w.predictions for w in windows)
    return {
        "svg": charts.line_chart(
            series,
            title=gettext("Traffic and labels"),
            x_label=gettext("Time"),
            y_label=gettext("Rows"),
            x_names=_time_names(windows[0].start, windows[-1].end),
            y_range=(0.0, float(top)),
            localise=formats.localised,
        ),
        "series": [line.name for line in series],
        "head": [gettext("Until"), gettext("Version"), gettext("Predictions"), gettext("With a label")],
        "rows": [[formats.when(w.end), w.version, w.predictions, w.labelled] for w in windows],
    }


def _drift(checks: tuple[CheckEntry, ...]) -> dict[str, Any] | None:
    newest = next((check for check in checks if check.columns), None)
    if newest is None:
        return None
    ordered = sorted(newest.columns.items(), key=lambda pair: -pair[1])
    return {
        "svg": charts.bars(
            ordered[:SHOWN_COLUMNS],
            title=gettext("Drift by column"),
            maximum=1.0,
            mark=0.1,
            localise=formats.localised,
        ),
        "rows": [(name, formats.number(value, fixed=True)) for name, value in ordered],
    }


def _verdicts(checks: tuple[CheckEntry, ...]) -> dict[str, Any] | None:
    """One mark a check on the lane of its verdict; the table of the checks is behind it."""
    if len(checks) < 2:
        return None
    lanes = [str(text) for text, _ in formats.VERDICTS.values()]
    places = {verdict: lane for lane, verdict in enumerate(formats.VERDICTS)}
    marks = [
        charts.Mark(
            x=check.time,
            lane=places[check.verdict],
            kind=formats.VERDICTS[check.verdict][1],
            text=formats.when(check.time),
        )
        for check in checks
        if check.verdict in places
    ]
    title = gettext("Verdicts over time")
    names = _time_names(min(c.time for c in checks), max(c.time for c in checks))
    return {"title": title, "svg": charts.lanes(marks, lanes, names, title=title)}


def _latency() -> dict[str, Any] | None:
    """Quantiles of all workers' answers, as the upper bounds of the histogram's buckets."""
    buckets = _latency_buckets()
    total = buckets.get(float("inf"), 0.0)
    if not total:
        return None
    items = []
    for share in (0.5, 0.9, 0.99):
        bound = min(edge for edge, count in buckets.items() if count >= share * total)
        items.append((f"p{100 * share:g}", bound * 1000))
    finite = [(name, ms) for name, ms in items if ms != float("inf")]
    return {
        "svg": charts.bars(finite, title=gettext("Latency"), localise=formats.localised),
        "head": [gettext("Share of requests"), gettext("Milliseconds, at most")],
        "rows": [(name, formats.number(ms, 2)) for name, ms in finite],
    }


def _latency_buckets() -> dict[float, float]:
    """Upper bound in seconds → answers of `/predict` that took no longer."""
    from prometheus_client.parser import text_string_to_metric_families

    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(current_service().metrics.render().decode()):
        for sample in family.samples:
            if sample.name == "refit_request_seconds_bucket" and sample.labels.get("route") == "/predict":
                edge = float(sample.labels["le"])
                buckets[edge] = buckets.get(edge, 0.0) + sample.value
    return buckets


def _time_names(first: float, last: float) -> list[tuple[float, str]]:
    """Five labels along the time axis; the date only where the span needs it."""
    steps = [first + (last - first) * i / 4 for i in range(5)] if last > first else [first]
    return [(x, formats.moment(x, days=last - first > 2 * 86_400)) for x in steps]
