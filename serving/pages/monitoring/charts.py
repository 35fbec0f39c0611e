"""Accuracy, traffic, verdicts and latency over one range of time."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext

from ml import charts
from serving.pages.i18n import formats
from serving.pages.monitoring.time_range import View
from serving.service import current_service
from serving.status.reader import LedgerEntry, Window


def performance(view: View) -> dict[str, Any] | None:
    """Accuracy where labels have come, with its interval, and what happened meanwhile."""
    windows = [w for w in view.windows if w.accuracy is not None]
    if not windows:
        return None
    before, now = ([w for w in windows if view.on_this_side(w) is side] for side in (False, True))
    series = [
        _accuracy(name, some)
        for name, some in ((gettext("Accuracy"), now), (gettext("Accuracy with other columns or classes"), before))
        if some
    ]
    events = [*_ledger_events(view), *_drift_events(view)]
    names = {
        "promoted": gettext("Promotion"),
        "rolled-back": gettext("Rollback"),
        "alias-deleted": gettext("Alias deleted"),
        "new-contract": gettext("Other columns or classes"),
        "drift": gettext("Drift or degraded"),
    }
    return {
        "svg": charts.line_chart(
            series,
            title=gettext("Accuracy over time"),
            x_label=gettext("Time"),
            y_label=gettext("Accuracy"),
            events=events,
            x_names=_time_names(view.first, view.last),
            x_range=(view.first, view.last),
            localise=formats.localised,
        ),
        "series": [one.name for one in series],
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
                _interval(w),
            ]
            for w in windows
        ],
    }


def _accuracy(name: str, windows: list[Window]) -> charts.Series:
    return charts.Series(
        name=name,
        points=tuple((w.end, w.accuracy) for w in windows if w.accuracy is not None),
        band=tuple((w.low, w.high) if w.low is not None and w.high is not None else None for w in windows),
        dots=True,
        texts=tuple(map(_told, windows)),
    )


def _interval(window: Window) -> str:
    if window.low is None or window.high is None:
        return "–"
    return f"{formats.percent(window.low)} – {formats.percent(window.high)}"


def _told(window: Window) -> str:
    """What a pointer at a window's dot shows."""
    return gettext(
        "%(when)s, version %(version)s: %(accuracy)s (%(interval)s), %(n)s labels",
        when=formats.when(window.end),
        version=window.version,
        accuracy=formats.percent(window.accuracy or 0.0),
        interval=_interval(window),
        n=formats.number(window.labelled, 0),
    )


def _counted(window: Window, n: int) -> str:
    return f"{formats.when(window.start)} – {formats.when(window.end)}: {formats.number(n, 0)}"


def _ledger_events(view: View) -> list[charts.Event]:
    kinds = {
        "promoted": "promoted",
        "rolled back": "rolled-back",
        "alias deleted": "alias-deleted",
        "new contract": "new-contract",
    }
    moves = [e for e in view.ledger if e.what in kinds and view.first <= e.time <= view.last]
    return [charts.Event(x=e.time, kind=kinds[e.what], text=_moved(e)) for e in moves]


def _moved(entry: LedgerEntry) -> str:
    version = entry.to_version or entry.from_version  # what serves on where the alias is gone
    said = f"{formats.EVENTS[entry.what][0]}: {version} · {formats.when(entry.time)}"
    return f"{said} · {formats.WATCHERS[entry.who]}" if entry.who == formats.IN_MLFLOW else said


def _drift_events(view: View) -> list[charts.Event]:
    return [
        charts.Event(x=c.time, kind="drift", text=f"{formats.VERDICTS[c.verdict][0]} · {formats.when(c.time)}")
        for c in view.checks
        if c.verdict in ("drift", "degraded", "broken data") and view.first <= c.time <= view.last
    ]


def traffic(view: View) -> dict[str, Any] | None:
    """How much came, and how much of it has a label."""
    windows = view.windows
    if not any(w.predictions for w in windows):
        return None
    series = [
        charts.Series(
            name=gettext("Predictions"),
            points=tuple((w.end, float(w.predictions)) for w in windows),
            dots=True,
            texts=tuple(_counted(w, w.predictions) for w in windows),
        ),
        charts.Series(
            name=gettext("With a label"),
            points=tuple((w.end, float(w.labelled)) for w in windows),
            dots=True,
            texts=tuple(_counted(w, w.labelled) for w in windows),
        ),
    ]
    top = max(w.predictions for w in windows)
    return {
        "svg": charts.line_chart(
            series,
            title=gettext("Traffic and labels"),
            x_label=gettext("Time"),
            y_label=gettext("Rows"),
            x_names=_time_names(view.first, view.last),
            x_range=(view.first, view.last),
            y_range=(0.0, float(top)),
            localise=formats.localised,
        ),
        "series": [line.name for line in series],
        "head": [gettext("Until"), gettext("Version"), gettext("Predictions"), gettext("With a label")],
        "rows": [[formats.when(w.end), w.version, w.predictions, w.labelled] for w in windows],
    }


def verdicts(view: View) -> dict[str, Any] | None:
    """One mark a check on the lane of its verdict; the table of the checks is behind it."""
    if len(view.checks) < 2:
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
        for check in view.checks
        if check.verdict in places
    ]
    title = gettext("Verdicts over time")
    names = _time_names(view.first, view.last)
    return {"title": title, "svg": charts.lanes(marks, lanes, names, title=title)}


def latency() -> dict[str, Any] | None:
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
