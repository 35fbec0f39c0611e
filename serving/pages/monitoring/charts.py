"""Accuracy, traffic, verdicts and latency over one range of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext

from ml import charts
from serving.pages.i18n import formats
from serving.pages.monitoring.time_range import View
from serving.service import current_service
from serving.status.reader import EstimateEntry, LedgerEntry, Window


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


def coverage(view: View) -> dict[str, Any] | None:
    """Which of the answered rows have a label, by their score, at the newest comparison; None where none has one."""
    check = next((check for check in view.checks if check.coverage.bins), None)
    if check is None:
        return None
    found = check.coverage
    names = [f"{formats.percent(b.low)} – {formats.percent(b.high)}" for b in found.bins]
    shares = [b.labelled / b.rows for b in found.bins]
    if found.weighed:
        told = gettext("Actions and their propensities are logged: the labelled rows are weighed to stand for all.")
    elif found.depends:
        told = gettext(
            "The labels are not a sample of the answers: figures from labels are those of the rows that got one."
        )
    elif found.p is not None:
        told = gettext("Nothing speaks for labels that depend on the answer.")
    else:
        told = gettext("Too few rows, with a label or without one, to tell whether labels depend on the answer.")
    title = gettext("Label coverage by score")
    return {
        "title": title,
        "when": formats.when(check.time),
        "told": told,
        "svg": charts.bars(
            list(zip(names, shares, strict=True)), title=title, maximum=1.0, percent=True, localise=formats.localised
        ),
        "head": [gettext("Score"), gettext("Predictions"), gettext("With a label"), gettext("Label coverage")],
        "rows": [
            [name, b.rows, b.labelled, formats.percent(share)]
            for name, b, share in zip(names, found.bins, shares, strict=True)
        ],
    }


def estimates(view: View) -> dict[str, Any] | None:
    """Every headline metric guessed from the scores of the newest comparison, and how far such guesses were off."""
    check = next((check for check in view.checks if check.estimates), None)
    if check is None:
        return None
    names = {**formats.METRICS, "cost": gettext("Cost of a row")}
    shown = [(names[name], found) for name, found in check.estimates.items() if name in names]
    return {
        "when": formats.when(check.time),
        "labels": formats.number(check.estimate_labels, 0) if check.estimate_labels else "",
        "head": [
            gettext("Metric"),
            gettext("Estimate"),
            gettext("At the promotion"),
            gettext("Estimate where labels came"),
            gettext("Measured there"),
            gettext("Error of the estimate"),
        ],
        "rows": [
            [name, *map(_figure, (found.value, found.reference, found.guessed, found.measured, _error(found)))]
            for name, found in shown
        ],
    }


def _figure(value: float | None) -> str:
    return "–" if value is None else formats.number(value, 4, fixed=True)


def _error(found: EstimateEntry) -> float | None:
    return None if found.guessed is None or found.measured is None else found.guessed - found.measured


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
    """Quantiles of all workers' answers, estimated within the histogram's buckets."""
    buckets = _latency_buckets()
    if not buckets.get(float("inf"), 0.0):
        return None
    items = [(f"p{100 * share:g}", 1000 * quantile(buckets, share)) for share in (0.5, 0.9, 0.99)]
    return {
        "svg": charts.bars(items, title=gettext("Latency"), localise=formats.localised),
        "head": [gettext("Share of requests"), gettext("Milliseconds, about")],
        "rows": [(name, formats.number(ms, 2)) for name, ms in items],
    }


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """Where that share of a histogram lies, evenly spread within a bucket: Prometheus's histogram_quantile.

    Beyond the last finite bound it is that bound.

    Parameters
    ----------
    buckets
        Upper bound → how many lie at or below it; infinity has all of them.

    >>> quantile({0.1: 0.0, 0.2: 10.0, float("inf"): 10.0}, 0.5)
    0.15
    """
    rank, low, below = share * buckets[float("inf")], 0.0, 0.0
    for edge, count in sorted(buckets.items()):
        if count >= rank:
            inside = (rank - below) / (count - below) if count > below else 0.0
            return low if edge == float("inf") else round(low + (edge - low) * inside, 12)
        low, below = edge, count
    return low


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
    """At most five labels along the time axis, each once; the date only where the span needs it."""
    steps = [first + (last - first) * i / 4 for i in range(5)] if last > first else [first]
    named = {formats.moment(x, days=last - first > 2 * 86_400): x for x in reversed(steps)}  # the first of equals stays
    return [(x, name) for name, x in reversed(named.items())]
