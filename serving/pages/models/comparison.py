"""Two versions side by side: parameters, columns, rows, metrics, and what the gate measured of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask_babel import gettext

from ml.messages import Message
from ml.schema.schema import contract_changes
from serving.pages.i18n import formats, translation
from serving.pages.models.version import files_of, made_of, parameters
from serving.service import Service
from serving.status.reader import Status, VersionEntry
from serving.status.version_files import VersionFiles

LOWER_IS_BETTER = ("log_loss", "brier", "ece")
SAME = 5e-5  # a smaller difference is not seen in four digits

PAIRED = {"log_loss": "gain", "accuracy": "accuracy_gain"}  # what the gate measures of both on the same rows

Row = tuple[str, str, str, str, str]  # name, of the one, of the other, difference, its tone


Bounded = tuple[float | None, float | None, float | None]  # a value, its lower and upper bound


class Judged(NamedTuple):
    """What the gate found when it judged version `new` against version `old`."""

    new: str
    old: str
    numbers: dict[str, Any]


def of(service: Service, known: Status, first: str, second: str) -> dict[str, Any]:
    """Two versions: `first` and `second` by their numbers, else the newest two; empty where there are fewer."""
    if len(known.versions) < 2:
        return {}
    by_name = {v.version: v for v in known.versions}
    a = by_name.get(first, known.versions[1])
    b = by_name.get(second, known.versions[0])
    files = [files_of(service, known, v.version) for v in (a, b)]
    before, after = files
    rows = [*_what(a, b), *_made_of(a, b, before, after)]
    parameters = _parameters(before, after)
    judged = _judged(before, after) if before and after else None
    return {
        "a": a.version,
        "b": b.version,
        "metrics": list(_metrics(a, b, before, after, judged)),
        "paired": list(_told(*judged)) if judged else [],
        "other_rows": _other_rows(before, after),
        "rows": rows,
        "parameters": [row for row in parameters if row[1] != row[2]],
        "same": [row for row in parameters if row[1] == row[2]],
        "contract": _contract(before, after),
        "unknown": [v.version for v, found in zip((a, b), files, strict=True) if found is None],
    }


def _what(a: VersionEntry, b: VersionEntry) -> Iterator[Row]:
    yield gettext("Registered"), formats.when(a.time), formats.when(b.time), "", ""
    yield gettext("The gate said"), translation.translated(a.sentence), translation.translated(b.sentence), "", ""


def _made_of(a: VersionEntry, b: VersionEntry, before: VersionFiles | None, after: VersionFiles | None) -> list[Row]:
    one, other = (
        {gettext("Family"): entry.family, **dict(made_of(files) if files else ())}
        for entry, files in ((a, before), (b, after))
    )
    return [(name, one.get(name, "–"), other.get(name, "–"), "", "") for name in dict.fromkeys([*one, *other])]


def _parameters(before: VersionFiles | None, after: VersionFiles | None) -> list[Row]:
    one, other = parameters(before), parameters(after)
    return [(name, one.get(name, "–"), other.get(name, "–"), "", "") for name in dict.fromkeys([*one, *other])]


def _metrics(
    a: VersionEntry, b: VersionEntry, before: VersionFiles | None, after: VersionFiles | None, judged: Judged | None
) -> Iterator[Row]:
    one, other = _measured(a, before), _measured(b, after)
    same_question = not _another_question(before, after)
    for name, text in formats.METRICS.items():
        if name in one or name in other:
            x, y = (_with_bounds(values.get(name)) for values in (one, other))
            paired = _paired_bounds(judged, name, b.version)
            cells = [formats.measured(values[name]) if name in values else "–" for values in (one, other)]
            difference, tone = _difference(name, x, y, paired) if same_question else ("", "")
            yield str(text), cells[0], cells[1], difference, tone


def _another_question(before: VersionFiles | None, after: VersionFiles | None) -> bool:
    """Whether the two answer by other labels: then a figure of the one is no better or worse than that of the other."""
    schemas = [files.schema for files in (before, after) if files]
    return len({(schema.target, frozenset(schema.classes)) for schema in schemas if schema is not None}) > 1


def _measured(entry: VersionEntry, files: VersionFiles | None) -> dict[str, Any]:
    """With intervals where the version's files are here, else as the registry's tags have them."""
    return (files.metrics.get("metrics") if files else None) or dict(entry.metrics)


def _with_bounds(measured: Any) -> Bounded:
    """A metric with the bounds of its interval; None for what is not known."""
    if isinstance(measured, dict):
        measured = [measured.get(key) for key in ("value", "low", "high")]
    value, low, high = (_finite(one) for one in measured or (None, None, None))
    return value, low, high


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _paired_bounds(judged: Judged | None, name: str, after: str) -> tuple[float, float] | None:
    """Between what the gate's gain lies, of version `after` over the other; None where it measured none."""
    gain = (judged.numbers.get(PAIRED.get(name, "")) or {}) if judged else {}
    lower, upper = _finite(gain.get("lower")), _finite(gain.get("upper"))
    if judged is None or lower is None or upper is None:
        return None
    return (lower, upper) if judged.new == after else (-upper, -lower)


def _difference(name: str, x: Bounded, y: Bounded, paired: tuple[float, float] | None) -> tuple[str, str]:
    """The difference with a word for which is better, as it would be seen in four digits; and its tone.

    Parameters
    ----------
    paired
        Between what the gain on the same rows lies, if it is known: two intervals may overlap and the one be better.
    """
    if x[0] is None or y[0] is None:
        return "", ""
    gain = x[0] - y[0] if name in LOWER_IS_BETTER else y[0] - x[0]
    figure = formats.localised(f"{y[0] - x[0]:+.4f}")
    if abs(gain) < SAME:
        return gettext("the same"), ""
    if _within_error(gain, x, y, paired):
        return gettext("%(figure)s, within the error", figure=figure), ""
    better = gettext("%(figure)s ▲ better", figure=figure), "good"
    return better if gain > 0 else (gettext("%(figure)s ▼ worse", figure=figure), "warn")


def _within_error(gain: float, x: Bounded, y: Bounded, paired: tuple[float, float] | None) -> bool:
    """Whether chance may have made the difference; without intervals nobody can say so."""
    if paired is not None and paired[0] <= 0 <= paired[1]:
        return True
    if paired is not None and (paired[0] > 0) == (gain > 0):
        return False
    (_, low, high), (_, other_low, other_high) = x, y
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return low <= other_high and other_low <= high


def _other_rows(before: VersionFiles | None, after: VersionFiles | None) -> bool:
    """Whether the two were measured on test rows of different snapshots."""
    snapshots = [files.metrics.get("snapshot") for files in (before, after) if files]
    return len(set(snapshots)) > 1


def _contract(before: VersionFiles | None, after: VersionFiles | None) -> list[Message]:
    """What callers of the one would feel of the other."""
    schemas = [files.schema for files in (before, after) if files]
    known = [schema for schema in schemas if schema is not None]
    return contract_changes(*known) if len(known) == 2 else []


def _judged(before: VersionFiles, after: VersionFiles) -> Judged | None:
    """What the gate measured of both on the same rows, when the one was judged against the other."""
    for challenger, champion in ((after, before), (before, after)):
        gate = challenger.json("gate.json") or {}
        if str(gate.get("champion") or "") == champion.version:
            return Judged(challenger.version, champion.version, gate.get("numbers") or {})
    return None


def _told(new: str, old: str, numbers: dict[str, Any]) -> Iterator[str]:
    sure = formats.percent(numbers.get("confidence") or 0.0)
    for name in PAIRED.values():
        gain = numbers.get(name) or {}
        if all(_finite(gain.get(key)) is not None for key in ("mean", "lower", "upper", "rows")):
            known = {"new": new, "old": old, "n": formats.number(gain["rows"], 0), "sure": sure}
            yield _told_loss(gain, known) if name == "gain" else _told_accuracy(gain)


def _told_loss(gain: dict[str, float], known: dict[str, str]) -> str:
    if abs(gain["mean"]) < SAME:
        return gettext(
            "On the same %(n)s rows the log-loss of version %(new)s is that of version %(old)s: they answer alike.",
            **known,
        )
    if gain["lower"] <= 0 <= gain["upper"]:
        return gettext(
            "On the same %(n)s rows the log-loss of version %(new)s cannot be told from that of version %(old)s: the "
            "gain is %(mean)s nats a row, between %(lower)s and %(upper)s (each bound with %(sure)s confidence).",
            **known,
            **_figures(gain, "+.4f"),
        )
    if gain["mean"] > 0:
        return gettext(
            "On the same %(n)s rows the log-loss of version %(new)s is better than that of version %(old)s by "
            "%(mean)s nats a row, between %(lower)s and %(upper)s (each bound with %(sure)s confidence).",
            **known,
            **_figures(gain, ".4f"),
        )
    return gettext(
        "On the same %(n)s rows the log-loss of version %(new)s is worse than that of version %(old)s by "
        "%(mean)s nats a row, between %(lower)s and %(upper)s (each bound with %(sure)s confidence).",
        **known,
        **_figures({"mean": -gain["mean"], "lower": -gain["upper"], "upper": -gain["lower"]}, ".4f"),
    )


def _told_accuracy(gain: dict[str, float]) -> str:
    points = {key: 100 * gain[key] for key in ("mean", "lower", "upper")}
    if gain["lower"] <= 0 <= gain["upper"]:
        return gettext(
            "Their accuracy there cannot be told apart: it differs by %(mean)s points, between %(lower)s and "
            "%(upper)s.",
            **_figures(points, "+.1f"),
        )
    return gettext(
        "Its accuracy there differs by %(mean)s points, between %(lower)s and %(upper)s.", **_figures(points, "+.1f")
    )


def _figures(gain: dict[str, float], spec: str) -> dict[str, str]:
    return {key: formats.localised(format(gain[key], spec)) for key in ("mean", "lower", "upper")}
