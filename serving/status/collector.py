"""The collector of `status.json`: ledger, versions, drift checks, and traffic with its accuracy in time slices."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from ml import registry, tracking
from ml.drift import DriftVerdict
from ml.errors import RefitError
from ml.evaluation.bounds import wilson
from ml.messages import Message, Text
from ml.monitoring import status
from ml.predictions import feedback, predictions
from ml.registry import VersionInfo, ledger
from ml.settings import Settings
from ml.storage import clock, database
from serving.model import champion_lookup
from serving.status import reader
from serving.status.reader import (
    NEWEST_ROWS,
    RANGES,
    Alert,
    CheckEntry,
    LedgerEntry,
    Status,
    VersionEntry,
    Window,
)

log = logging.getLogger("refit.log_shipper")

EVENTS = 100  # newest rows of the ledger
CHECKS = 50  # newest
VERSIONS = 60  # newest
SLICES = 48  # of time, in the chart of how it went
ALERTS = 50  # newest
ALERT_BYTES = 200_000  # of the file's end that are read for them
ALIASES = ("champion", "previous", "shadow")


class _Kept(msgspec.Struct, frozen=True):
    """What of a line of `alerts.jsonl` is told (`ml.alerts`)."""

    kind: str
    text: str
    time: float
    messages: tuple[Message, ...] = ()
    run: str = ""


def collect(settings: Settings) -> Status:
    """What is known now; the versions are those of the last time that the registry answered."""
    known = status.read(settings, events=EVENTS, checks=CHECKS)
    now, all_time = clock.now(settings), windows(settings)
    registered, answered = _versions(settings, now)
    compared = next((check.id for check in known.checks if check.findings), "")
    return Status(
        time=now,
        shadow=known.shadow.message if known.shadow is not None else "",
        ledger=tuple(map(_line, known.ledger)),
        versions=registered,
        versions_time=answered,
        checks=tuple(_check(check, with_histograms=check.id == compared) for check in known.checks),
        windows=tuple(all_time),
        recent={name: tuple(_since(settings, now - span, all_time)) for name, span in RANGES.items()},
        alerts=tuple(alerts(settings.var / "logs" / "alerts.jsonl")),
        next_check=_next_check(settings, now),
    )


def _since(settings: Settings, start: float, all_time: list[Window]) -> list[Window]:
    """Slices of what came since then; the same as of all time where nothing is older."""
    return all_time if all_time and all_time[0].start >= start else windows(settings, since=start)


def _next_check(settings: Settings, now: float) -> float:
    """When the schedule brings it, by Airflow's own reading of the line; in UTC, as Airflow takes it."""
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    try:
        return float(croniter(settings.schedule.drift_cron, now).get_next(float))
    except (CroniterError, KeyError, ValueError):  # "@continuous", or none
        return 0.0


def alerts(file: Path) -> list[Alert]:
    """The newest alerts of this machine's `alerts.jsonl`, newest first; what is no alert is passed over."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - ALERT_BYTES))
            lines = stream.read().splitlines()
    except OSError:
        return []
    found: list[Alert] = []
    for line in reversed(lines):
        try:
            kept = msgspec.json.decode(line, type=_Kept)
        except msgspec.DecodeError:  # half a line, or another version's
            continue
        sentences: tuple[Text, ...] = kept.messages or (kept.text,)
        found.append(Alert(time=kept.time, kind=kept.kind, sentences=sentences, address=kept.run))
        if len(found) == ALERTS:
            break
    return found


def _line(event: ledger.Event) -> LedgerEntry:
    return LedgerEntry(
        time=event.time, what=event.what, from_version=event.from_version, to_version=event.to_version, who=event.who,
        why=event.because,
    )  # fmt: skip


def _check(check: DriftVerdict, *, with_histograms: bool) -> CheckEntry:
    return CheckEntry(
        id=check.id,
        time=check.time,
        verdict=check.verdict,
        retrain=check.retrain,
        decision=check.decision,
        reasons=tuple(check.reasons),
        columns=check.effects,
        rows=check.window.rows,
        report=Path(check.report["html"]).name if check.report.get("html") else "",
        version=check.model_version,
        histograms=check.histograms if with_histograms else (),
    )


def _versions(settings: Settings, now: float) -> tuple[tuple[VersionEntry, ...], float]:
    """The registry's newest versions, and when it named them."""
    address = tracking.uri(settings)
    try:
        registered = _over_rest(settings, address) if address.startswith("http") else _embedded(settings)
    except RefitError as error:
        log.info("the versions in the overview stay as they were: %s", error)
        last = reader.read(settings.var / "serving")
        return last.versions, last.versions_time
    return tuple(_version(info, aliases) for info, aliases in registered), now


def _over_rest(settings: Settings, address: str) -> list[tuple[VersionInfo, list[str]]]:
    """The newest versions, each with its aliases, without MLflow's client, which is not light."""
    name = settings.registry.model_name
    model = champion_lookup.get(address, "registered-models/get", name=name)
    if model is None:
        return []
    aliases: dict[str, list[str]] = {}
    for entry in model["registered_model"].get("aliases", ()):
        aliases.setdefault(str(entry["version"]), []).append(str(entry["alias"]))
    page = champion_lookup.get(
        address,
        "model-versions/search",
        filter=f"name='{name}'",
        max_results=str(VERSIONS),
        order_by="version_number DESC",
    )
    infos = [_info(entry) for entry in (page or {}).get("model_versions", ())]
    return [(info, aliases.get(info.version, [])) for info in infos]


def _info(entry: dict[str, Any]) -> VersionInfo:
    return VersionInfo(
        version=str(entry["version"]),
        run_id=str(entry.get("run_id") or ""),
        source=str(entry.get("source") or ""),
        created=float(entry.get("creation_timestamp") or 0) / 1000,
        tags={tag["key"]: tag["value"] for tag in entry.get("tags", ())},
    )


def _embedded(settings: Settings) -> list[tuple[VersionInfo, list[str]]]:
    if not (settings.var / "mlflow" / "mlflow.db").exists() and not settings.registry.tracking_uri:
        return []
    named = {name: registry.by_alias(settings, name) for name in ALIASES}
    return [
        (info, [name for name, at in named.items() if at is not None and at.version == info.version])
        for info in registry.versions(settings, limit=VERSIONS)
    ]


def _version(info: VersionInfo, aliases: list[str]) -> VersionEntry:
    return VersionEntry(
        version=info.version,
        time=info.created,
        family=info.family,
        verdict=info.verdict,
        sentence=info.sentence,
        aliases=tuple(aliases),
        quarantined=bool(info.quarantined),
        why_quarantined=info.quarantined,
        run_id=info.run_id,
        sha256=info.sha256,
        metrics={name: (value, None, None) for name, value in info.metrics.items()},
    )


def windows(settings: Settings, slices: int = SLICES, *, since: float | None = None) -> list[Window]:
    """The newest predictions, `since` a moment (seconds), in `slices` equal slices of time, without empty ones."""
    engine = database.engine(settings)
    p, f = predictions.c, feedback.c
    newest = sa.select(p.prediction_id, p.time, p.model_version, p.label).order_by(p.time.desc()).limit(NEWEST_ROWS)
    newest = newest if since is None else newest.where(p.time >= since)
    q = newest.subquery().c
    ranked = sa.select(
        f.prediction_id,
        f.label,
        sa.func.row_number()
        .over(partition_by=f.prediction_id, order_by=(f.received_at.desc(), f.id.desc()))
        .label("nth"),
    ).where(f.prediction_id.in_(sa.select(q.prediction_id)))
    latest = ranked.subquery()
    with database.unavailable_as_transient(), engine.connect() as connection:
        first, last = connection.execute(sa.select(sa.func.min(q.time), sa.func.max(q.time))).one()
        if first is None:
            return []
        width = max((last - first) / slices, 1e-3)
        index = sa.cast(sa.func.floor((q.time - first) / width), sa.Integer).label("slice")
        joined = q.prediction_id.table.outerjoin(
            latest, sa.and_(latest.c.prediction_id == q.prediction_id, latest.c.nth == 1)
        )
        query = (
            sa.select(
                index,
                sa.func.max(q.model_version),
                sa.func.count(),
                sa.func.count(latest.c.label),
                sa.func.sum(sa.case((latest.c.label == q.label, 1), else_=0)),
            )
            .select_from(joined)
            .group_by(index)
            .order_by(index)
        )
        rows = connection.execute(query).all()
    merged: dict[int, list[Any]] = {}
    for i, version, n, labelled, right in rows:  # the very last moment belongs to the last slice
        entry = merged.setdefault(min(int(i), slices - 1), [version, 0, 0, 0])
        entry[0] = version
        for at, value in enumerate((n, labelled, right), start=1):
            entry[at] += int(value or 0)
    return [
        _window(first + i * width, first + (i + 1) * width, str(version), n, labelled, right)
        for i, (version, n, labelled, right) in merged.items()
    ]


def _window(start: float, end: float, version: str, n: int, labelled: int, right: int) -> Window:
    if not labelled:
        return Window(start=start, end=end, version=version, predictions=n)
    low, high = wilson(right, labelled)
    return Window(
        start=start,
        end=end,
        version=version,
        predictions=n,
        labelled=labelled,
        accuracy=right / labelled,
        low=low,
        high=high,
    )
