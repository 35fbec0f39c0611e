"""Two versions side by side: parameters, columns, rows, metrics, and what the gate measured of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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

Row = tuple[str, str, str, str, str]  # name, of the one, of the other, difference, its tone


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
    return {
        "a": a.version,
        "b": b.version,
        "metrics": list(_metrics(a, b, before, after)),
        "paired": _paired(before, after) if before and after else [],
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
    a: VersionEntry, b: VersionEntry, before: VersionFiles | None, after: VersionFiles | None
) -> Iterator[Row]:
    one, other = _measured(a, before), _measured(b, after)
    same_question = not _another_question(before, after)
    for name, text in formats.METRICS.items():
        if name in one or name in other:
            x, y = (_value(values.get(name)) for values in (one, other))
            cells = [formats.measured(values[name]) if name in values else "–" for values in (one, other)]
            difference, tone = _difference(name, x, y) if same_question else ("", "")
            yield str(text), cells[0], cells[1], difference, tone


def _another_question(before: VersionFiles | None, after: VersionFiles | None) -> bool:
    """Whether the two answer by other labels: then a figure of the one is no better or worse than that of the other."""
    schemas = [files.schema for files in (before, after) if files]
    return len({(schema.target, frozenset(schema.classes)) for schema in schemas if schema is not None}) > 1


def _measured(entry: VersionEntry, files: VersionFiles | None) -> dict[str, Any]:
    """With intervals where the version's files are here, else as the registry's tags have them."""
    return (files.metrics.get("metrics") if files else None) or dict(entry.metrics)


def _value(measured: Any) -> float | None:
    return measured.get("value") if isinstance(measured, dict) else measured[0] if measured else None


def _difference(name: str, x: float | None, y: float | None) -> tuple[str, str]:
    """The difference with a word for which is better, as it would be seen in four digits; and its tone."""
    if x is None or y is None:
        return "", ""
    gain = x - y if name in LOWER_IS_BETTER else y - x
    figure = formats.localised(f"{y - x:+.4f}")
    if abs(gain) < SAME:
        return gettext("the same"), ""
    better = gettext("%(figure)s ▲ better", figure=figure), "good"
    return better if gain > 0 else (gettext("%(figure)s ▼ worse", figure=figure), "warn")


def _other_rows(before: VersionFiles | None, after: VersionFiles | None) -> bool:
    """Whether the two were measured on test rows of different snapshots."""
    snapshots = [files.metrics.get("snapshot") for files in (before, after) if files]
    return len(set(snapshots)) > 1


def _contract(before: VersionFiles | None, after: VersionFiles | None) -> list[Message]:
    """What callers of the one would feel of the other."""
    schemas = [files.schema for files in (before, after) if files]
    known = [schema for schema in schemas if schema is not None]
    return contract_changes(*known) if len(known) == 2 else []


def _paired(before: VersionFiles, after: VersionFiles) -> list[str]:
    """What the gate measured of both on the same rows, when the one was judged against the other."""
    for challenger, champion in ((after, before), (before, after)):
        gate = challenger.json("gate.json") or {}
        if str(gate.get("champion") or "") == champion.version:
            return list(_told(challenger.version, champion.version, gate.get("numbers") or {}))
    return []


def _told(new: str, old: str, numbers: dict[str, Any]) -> Iterator[str]:
    sure = formats.percent(numbers.get("confidence") or 0.0)
    for name, scale in (("gain", 1.0), ("accuracy_gain", 100.0)):
        gain = numbers.get(name) or {}
        if any(gain.get(key) is None for key in ("mean", "lower", "upper", "rows")):
            continue
        figures = {
            key: formats.localised(f"{scale * gain[key]:+.{4 if scale == 1 else 1}f}")
            for key in ("mean", "lower", "upper")
        }
        known = {"new": new, "old": old, "n": formats.number(gain["rows"], 0), "sure": sure, **figures}
        if name == "gain" and abs(gain["mean"]) < SAME:
            yield gettext(
                "On the same %(n)s rows the log-loss of version %(new)s is that of version %(old)s: they answer alike.",
                **known,
            )
        elif name == "gain":
            yield gettext(
                "On the same %(n)s rows the log-loss of version %(new)s is better than that of version %(old)s by "
                "%(mean)s nats a row, between %(lower)s and %(upper)s (each bound with %(sure)s confidence).",
                **known,
            )
        else:
            yield gettext("Its accuracy there differs by %(mean)s points, between %(lower)s and %(upper)s.", **known)
