"""Numbers, times, verdicts and errors as words of the reader's language."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from babel.dates import get_day_names
from flask_babel import (
    format_date,
    format_datetime,
    format_decimal,
    format_percent,
    format_time,
    get_locale,
    gettext,
)
from flask_babel import lazy_gettext as _l

from ml.messages import dates
from ml.schema.cells import WEEKDAYS, iso

IN_MLFLOW = "in MLflow's registry"  # who, of a move that was made there (`ml.registry.outside_moves`)
VERDICTS = {
    "insufficient data": (_l("insufficient data"), ""),
    "stable": (_l("stable"), "good"),
    "drift": (_l("drift"), "warn"),
    "degraded": (_l("degraded"), "bad"),
    "broken data": (_l("broken data"), "bad"),
}
EVENTS = {
    "registered": (_l("registered"), ""),
    "in shadow": (_l("in shadow"), ""),
    "refused": (_l("refused"), "warn"),
    "promoted": (_l("promoted"), "good"),
    "rolled back": (_l("rolled back"), "bad"),
    "quarantined": (_l("quarantined"), "bad"),
    "promotion failed": (_l("promotion failed"), "bad"),
    "rollback failed": (_l("rollback failed"), "bad"),
    "released from quarantine": (_l("released from quarantine"), ""),
    "not served": (_l("not served"), "bad"),
    "alias deleted": (_l("alias deleted"), "bad"),
    "not compared": (_l("not compared"), "warn"),
    "new contract": (_l("new contract"), "warn"),
}
# Alerts that bear no verdict's name: what was sent, and how bad it is.
ALERTS = {
    "task failed": (_l("task failed"), "bad"),
    "rolled back": (_l("rolled back"), "bad"),
    "rollback failed": (_l("rollback failed"), "bad"),
    "refused in shadow": (_l("refused in shadow"), "warn"),
    "not compared": (_l("not compared"), "warn"),
    "not served": (_l("not served"), "bad"),
    "alias deleted": (_l("alias deleted"), "bad"),
    "moved in MLflow": (_l("moved in MLflow"), "warn"),
    "clock": (_l("clock leapt"), "warn"),
}
# The names of HTTP statuses that a page may show.
STATUSES = {
    400: _l("Bad Request"),
    404: _l("Not Found"),
    405: _l("Method Not Allowed"),
    413: _l("Content Too Large"),
    422: _l("Unprocessable Content"),
    500: _l("Internal Server Error"),
    503: _l("Service Unavailable"),
}
ALIASES = {"champion": _l("champion"), "previous": _l("previous"), "shadow": _l("in shadow")}
# Who moved something where it was no person: Airflow's kinds of runs, and what watches by itself.
WATCHERS = {
    "baking watch": _l("watch after a promotion"),
    "shadow watch": _l("watch before a promotion"),
    "drift": _l("drift check"),
    IN_MLFLOW: _l("in MLflow's registry"),
    "scheduled": _l("schedule"),
    "asset_triggered": _l("drift check"),
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


SHORTEST_CUT = 6  # letters that all names share: fewer are not worth the loss; our choice


_SATURDAY_AND_ON = {name: (5 + i) % 7 for i, name in enumerate(WEEKDAYS)}  # to Babel's numbers: Monday is 0
# As `dates.told` has them: English is read on both sides of the Atlantic, where 11/12/26 is two different days.
MOMENT = {"en": "d MMM yyyy, HH:mm", "vi": "dd/MM/yyyy HH:mm"}


def when(seconds: float) -> str:
    """A time in the reader's format; "" for none. `seconds` since 1970, shown as UTC."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), MOMENT[str(get_locale())]) if seconds else ""


def moment(seconds: float, *, days: bool) -> str:
    """A short mark for a time axis: the day, or the time of day."""
    at = datetime.fromtimestamp(seconds, UTC)
    return format_date(at, "d MMM") if days else format_time(at, "HH:mm")


def day(days_since: float) -> str:
    """A date for reading, given as days since 2000-01-01, with its minute where it is not midnight."""
    return iso_date(iso(round(days_since * 1440) / 1440))  # a row holds it to within a minute (float32)


def iso_date(text: str) -> str:
    """A date of ISO 8601 for reading; another text as it is."""
    return dates.told(text, str(get_locale()))


def weekday(name: str) -> str:
    """A weekday of `WEEKDAYS` in the reader's language; another text as it is."""
    return get_day_names(locale=get_locale())[_SATURDAY_AND_ON[name]] if name in _SATURDAY_AND_ON else name


def number(value: Any, digits: int = 3, *, fixed: bool = False) -> str:
    """A number in the reader's format, "–" for none; `fixed` keeps the zeros at the end, for columns of figures.

    Parameters
    ----------
    digits
        After the point, at most.
    """
    if value is None:
        return "–"
    return format_decimal(round(float(value), digits), format=f"#,##0.{('0' if fixed else '#') * digits}")


def typed(value: float | None) -> str:
    """A number as people type it: in the reader's format, without marks between thousands; "–" for none.

    With the fewest digits that give the same float32, so that what is typed is the number that was seen.
    """
    return "–" if value is None else localised(np.format_float_positional(np.float32(value), trim="-"))


def localised(text: str) -> str:
    """A number as Python writes it, with the reader's signs for thousands and decimals."""
    locale = get_locale()  # none outside of a request
    if locale is None:
        return text
    signs = locale.number_symbols["latn"]
    return text.translate({ord(","): signs["group"], ord("."): signs["decimal"]})


def shared_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a mark between words; "" where that is too little to be worth a cut.

    >>> shared_start(["sensor_room_1_mean", "sensor_room_2_mean"])
    'sensor_room_'
    """
    shared = os.path.commonprefix(list(names)) if len(names) > 1 else ""  # noqa: RUF071  (names, not paths)
    end = max((i + 1 for i, letter in enumerate(shared) if not letter.isalnum()), default=0)
    return shared[:end] if end >= SHORTEST_CUT and all(len(name) > end for name in names) else ""


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name without what all begin with.

    >>> short_names(["sensor_room_1_mean", "sensor_room_2_mean"])
    {'sensor_room_1_mean': '…1_mean', 'sensor_room_2_mean': '…2_mean'}
    >>> short_names(["age", "agency"])
    {'age': 'age', 'agency': 'agency'}
    """
    cut = len(shared_start(names))
    return {name: f"…{name[cut:]}" if cut else name for name in names}


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with one decimal."""
    return format_percent(float(share), "#,##0.0%")


def measured(entry: Any) -> str:
    """A metric with its interval: `{value, low, high}` or `(value, low, high)`."""
    value, low, high = (entry.get(k) for k in ("value", "low", "high")) if isinstance(entry, dict) else entry
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value, fixed=True)
    return f"{number(value, fixed=True)} ({interval(low, high)})"


def interval(low: float | None, high: float | None) -> str:
    """Two bounds of an interval."""
    return f"{number(low, fixed=True)} – {number(high, fixed=True)}"


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
