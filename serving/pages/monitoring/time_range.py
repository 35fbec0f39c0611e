"""The range of time that all panels of `/monitoring` show, and what falls into it."""

from __future__ import annotations

import msgspec
from flask_babel import lazy_gettext as _l

from serving.status.reader import RANGES, Alert, CheckEntry, LedgerEntry, Status, Window

ALL = "all"
NAMES = {"1d": _l("1 day"), "7d": _l("7 days"), "30d": _l("30 days"), ALL: _l("All")}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the time from `first` to `last` (seconds since 1970); lists are newest first, windows oldest.

    `border` is when other columns or classes came last, 0 for never: accuracy before it is of another question.
    """

    name: str
    first: float
    last: float
    windows: tuple[Window, ...]
    checks: tuple[CheckEntry, ...]
    ledger: tuple[LedgerEntry, ...]
    alerts: tuple[Alert, ...]
    border: float = 0.0

    def on_this_side(self, window: Window) -> bool:
        """Whether all of a window is of the columns and classes that are in force."""
        return window.start >= self.border


def of(known: Status, asked: str) -> View:
    """The range that was asked for; all there is where it is none of `NAMES`."""
    name = asked if asked in NAMES else ALL
    if name == ALL:
        moments = [w.start for w in known.windows] + [c.time for c in known.checks]
        start = min(moments, default=known.time)
        last = max([w.end for w in known.windows] + [c.time for c in known.checks], default=known.time)
        windows = known.windows
    else:
        start, last = known.time - RANGES[name], known.time
        windows = known.recent.get(name, tuple(w for w in known.windows if w.end >= start))
    return View(
        name=name,
        first=start,
        last=last,
        windows=windows,
        checks=tuple(check for check in known.checks if check.time >= start),
        ledger=tuple(entry for entry in known.ledger if entry.time >= start),
        alerts=tuple(alert for alert in known.alerts if name == ALL or alert.time >= start),
        border=max((entry.time for entry in known.ledger if entry.what == "new contract"), default=0.0),
    )
