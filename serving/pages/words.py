"""Numbers, times, verdicts and errors as words of the reader's language."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_babel import format_datetime, format_decimal, format_percent, gettext
from flask_babel import lazy_gettext as _l

from ml.rows import Fault, shown

VERDICTS = {
    "insufficient data": (_l("insufficient data"), ""),
    "stable": (_l("stable"), "good"),
    "drift": (_l("drift"), "warn"),
    "degraded": (_l("degraded"), "bad"),
    "broken data": (_l("broken data"), "bad"),
}
EVENTS = {
    "registered": (_l("registered"), ""),
    "refused": (_l("refused"), "warn"),
    "promoted": (_l("promoted"), "good"),
    "rolled back": (_l("rolled back"), "bad"),
    "quarantined": (_l("quarantined"), "bad"),
    "promotion failed": (_l("promotion failed"), "bad"),
    "rollback failed": (_l("rollback failed"), "bad"),
    "released from quarantine": (_l("released from quarantine"), ""),
}
METRICS = {
    "accuracy": _l("Accuracy"),
    "roc_auc": _l("ROC-AUC"),
    "pr_auc": _l("PR-AUC"),
    "f1": _l("F1"),
    "macro_f1": _l("Macro F1"),
    "precision": _l("Precision"),
    "recall": _l("Recall"),
    "log_loss": _l("Log-loss"),
    "brier": _l("Brier score"),
    "ece": _l("Calibration error"),
}


def when(seconds: float) -> str:
    """A time in the reader's format; "" for none. `seconds` since 1970, shown as UTC."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), "short") if seconds else ""


def number(value: Any, digits: int = 3) -> str:
    """A number in the reader's format, "–" for none."""
    if value is None:
        return "–"
    return format_decimal(round(float(value), digits), format=f"#,##0.{'#' * digits}")


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with one decimal."""
    return format_percent(float(share), "#,##0.0%")


def measured(entry: Any) -> str:
    """A metric with its interval: `{value, low, high}` or `(value, low, high)`."""
    value, low, high = (entry.get(k) for k in ("value", "low", "high")) if isinstance(entry, dict) else entry
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({interval(low, high)})"


def interval(low: float | None, high: float | None) -> str:
    """Two bounds of an interval."""
    return f"{number(low)} – {number(high)}"


def confidence(probability: float, n_classes: int) -> str:
    """How sure the model is, in words. The bounds are our choice; see docs/why.md."""
    if probability >= 0.95:
        return gettext("The model is almost certain.")
    if probability >= 0.8:
        return gettext("The model is fairly sure.")
    if probability >= max(0.6, 1.5 / n_classes):
        return gettext("The model leans this way.")
    return gettext("The model is undecided: take this answer with care.")


def size(n_bytes: int) -> str:
    """A size for people: 100 MB."""
    return f"{number(n_bytes / 1e6, 0)} MB" if n_bytes >= 1e6 else f"{number(n_bytes / 1e3, 0)} kB"


TITLES = {
    "Rows do not fit the model": _l("This row does not fit the model"),
    "The table does not fit": _l("The table does not fit"),
}
EXPECTED = {
    "a finite number or null": _l("a number, or nothing where it is missing"),
    "a text or null": _l("a text, or nothing where it is missing"),
    "a number": _l("a number"),
    "a table that fits the model": _l("a table that fits the model"),
}


def fault(found: Fault) -> str:
    """One fault for a person: the place, what was expected, what came."""
    place = [gettext("line %(n)s", n=found.line)] if found.line is not None else []
    if found.column is not None:
        place.append(gettext("column “%(name)s”", name=shown(found.column)))
    expected = EXPECTED.get(found.expected, found.expected)
    got = found.got.removeprefix("the text ")
    text = gettext("expected %(expected)s, got %(got)s", expected=expected, got=got)
    return f"{', '.join(place)}: {text}" if place else text
