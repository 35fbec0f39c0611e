"""`/monitoring` and the reports of its checks: verdicts, drift, labelled accuracy, traffic, alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import abort, render_template, request, send_file, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from ml.evaluation.bounds import wilson
from ml.monitoring import report_files
from serving.api import guard
from serving.pages import actions, pages, theme
from serving.pages.i18n import formats
from serving.pages.models.events import outside
from serving.pages.monitoring import charts, drift, time_range
from serving.pages.monitoring.time_range import ALL, View
from serving.service import Service, current_service
from serving.status import reader as status_file
from serving.status.reader import NEWEST_ROWS, RANGES, Alert, CheckEntry, Status, Window

FIRST_CHECKS = 12  # of the table; the others are one click away
SHOWN_REASONS = 12  # of one check; all of them are in its report
# A report holds scripts made from customers' values: it runs in an origin of its own, and reaches nothing.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:; frame-ancestors 'self'"
)
# Before Evidently's own script, which asks for the system's theme.
THEME_SCRIPT = (
    "<script>{const theme = '%s', ask = window.matchMedia.bind(window);"
    "document.documentElement.dataset.theme = theme;"
    "window.matchMedia = (query) => ask(query.includes('prefers-color-scheme') ?"
    " (query.includes(theme) ? 'all' : 'not all') : query);}</script>"
)


@pages.get("/monitoring")
@guard.opens("predict")
def monitoring() -> str:
    """Verdict first, then what it rests on, all over one range of time."""
    service = current_service()
    known = status_file.read(service.folder)
    view = time_range.of(known, request.args.get("range", ""))
    chosen = next((c for c in known.checks if c.report and c.id == request.args.get("report")), None)
    chosen_report = chosen and {"url": url_for("pages.report", check_id=chosen.id), "when": formats.when(chosen.time)}
    unchecked = _unchecked(service, known)
    return render_template(
        "monitoring.html",
        ranges=time_range.NAMES,
        range=view.name,
        latest=_check(known.checks[0]) if known.checks else None,
        unchecked=unchecked,
        cards=_cards(view),
        performance=charts.performance(view),
        traffic=charts.traffic(view),
        latency=charts.latency(),
        drift=drift.of(view.checks),
        verdicts=charts.verdicts(view),
        coverage=charts.coverage(view),
        estimates=charts.estimates(view),
        checks=[_check(check) for check in view.checks],
        first_checks=FIRST_CHECKS,
        alerts=[_alert(alert) for alert in view.alerts],
        report=chosen_report,
        actions=actions.of_checks(service),
        outside=outside(known),
    )


@pages.get("/monitoring/report/<check_id>")
@guard.opens("predict")
def report(check_id: str) -> Response:
    """Evidently's HTML of one check, in a sandbox and the chosen theme. Only files that the status names are served."""
    service = current_service()
    known = {c.id: c.report for c in status_file.read(service.folder).checks if c.report}
    file = report_files.page(service.settings, Path(known[check_id]).stem) if check_id in known else None
    if file is None:
        abort(404, gettext("There is no report of that check; reports are kept for a limited time."))
    response = _themed(file, theme())
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"  # /monitoring frames it
    return response


def _themed(file: Path, chosen: str) -> Response:
    """The report, which follows the reader's system; in a chosen theme, told that the system has that one."""
    if chosen == "auto":
        return send_file(file, mimetype="text/html")
    page = file.read_text(encoding="utf-8").replace("<head>", f"<head>{THEME_SCRIPT % chosen}", 1)
    return Response(page, mimetype="text/html")


def _unchecked(service: Service, known: Status) -> dict[str, str | bool] | None:
    """What serves while no check has looked at it since it was promoted; None where one has, or nothing serves."""
    served = service.store.current()
    if served is None:
        return None
    moves = [e for e in known.ledger if e.what in ("promoted", "rolled back") and e.to_version == served.version]
    since = moves[0].time if moves else 0.0
    newest = known.checks[0] if known.checks else None
    if newest is not None and newest.time >= since and newest.version in ("", served.version):
        return None
    return {
        "version": served.version,
        "since": formats.when(since),
        "watched": service.settings.schedule.watch_interval_s > 0,
        "next": formats.when(known.next_check),
    }


def _check(check: CheckEntry) -> dict[str, Any]:
    text, kind = formats.VERDICTS.get(check.verdict, (check.verdict, ""))
    return {
        "id": check.id,
        "when": formats.when(check.time),
        "version": check.version,
        "verdict": text,
        "kind": kind,
        "retrain": check.retrain,
        "decision": check.decision,
        "rows": formats.number(check.rows, 0),
        "reasons": check.reasons[:SHOWN_REASONS],
        "unnamed": max(0, len(check.reasons) - SHOWN_REASONS),
        "report": check.report,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    text, kind = formats.ALERTS.get(alert.kind) or formats.VERDICTS.get(alert.kind) or (alert.kind, "")
    return {
        "when": formats.when(alert.time),
        "what": text,
        "kind": kind,
        "sentences": alert.sentences,
        "address": alert.address if alert.address.startswith(("http://", "https://")) else "",
    }


def _cards(view: View) -> list[dict[str, str]]:
    total = sum(w.predictions for w in view.windows)
    labelled = sum(w.labelled for w in view.windows)
    judged = [w for w in view.windows if w.accuracy is not None and view.on_this_side(w)]
    counts = {"all": formats.number(total, 0), "n": formats.number(labelled, 0)}
    cards = [{"name": gettext("Predictions"), "figure": counts["all"], "note": "; ".join(_counted_are(view, total))}]
    if total:
        told = gettext("%(n)s labels of %(all)s predictions", **counts)
        cards.append({"name": gettext("Label coverage"), "figure": formats.percent(labelled / total), "note": told})
    if judged:
        accuracy, told = _accuracy(judged)
        if len(judged) < sum(w.accuracy is not None for w in view.windows):
            since = gettext("since other columns or classes came, %(when)s", when=formats.when(view.border))
            told = f"{told}; {since}"
        name = gettext("Accuracy on labelled traffic")
        cards.append({"name": name, "figure": formats.percent(accuracy), "note": told})
    cards.append(
        {
            "name": gettext("Checks"),
            "figure": formats.number(len(view.checks), 0),
            "note": _counted([str(formats.VERDICTS.get(c.verdict, (c.verdict,))[0]) for c in view.checks]),
        }
    )
    alerts = [str(_alert(alert)["what"]) for alert in view.alerts]
    cards.append({"name": gettext("Alerts"), "figure": formats.number(len(alerts), 0), "note": _counted(alerts)})
    return cards


def _counted_are(view: View, total: int) -> Iterator[str]:
    """Which predictions the figures are of."""
    if view.windows:
        yield gettext("since %(when)s", when=formats.when(view.windows[0].start))
    if total >= NEWEST_ROWS:
        yield gettext("only the newest %(n)s are counted", n=formats.number(NEWEST_ROWS, 0))
    days = current_service().settings.log.archive_after_days
    if days > 0 and (view.name == ALL or RANGES[view.name] > days * RANGES["1d"]):
        yield gettext("what is in the archive, older than %(days)s days, is not counted", days=formats.number(days, 0))


def _accuracy(judged: list[Window]) -> tuple[float, str]:
    """Over the windows, and what it rests on; windows and rows count by their weights."""
    answered = sum(w.labelled for w in judged)
    weights = [w.weight or w.labelled for w in judged]  # an earlier version's file has none
    accuracy = sum((w.accuracy or 0.0) * weight for w, weight in zip(judged, weights, strict=True)) / sum(weights)
    squares = sum(weight**2 / (w.effective or w.labelled) for w, weight in zip(judged, weights, strict=True))
    effective = sum(weights) ** 2 / squares
    low, high = (formats.percent(end) for end in wilson(accuracy * effective, effective))
    counts = {"n": formats.number(answered, 0), "low": low, "high": high}
    if weights == [w.labelled for w in judged]:
        right = formats.number(round(accuracy * answered), 0)
        return accuracy, gettext("%(right)s of %(n)s right; 95%% interval %(low)s to %(high)s", right=right, **counts)
    worth = formats.number(effective, 0)
    return accuracy, gettext(
        "%(n)s labels, each weighed by the chance that it had: they tell as much as %(worth)s would; "
        "95%% interval %(low)s to %(high)s",
        worth=worth,
        **counts,
    )


def _counted(names: list[str]) -> str:
    """How many of each, the commonest first: "3 stable, 1 drift"."""
    return ", ".join(f"{formats.number(n, 0)} {name}" for name, n in Counter(names).most_common())
