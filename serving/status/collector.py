"""The collector of `status.json`: ledger, versions, drift checks, and traffic with its accuracy in time slices."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ml import registry, tracking
from ml.drift import verdict_history
from ml.errors import RefitError
from ml.evaluation.bounds import wilson
from ml.monitoring import status
from ml.predictions import feedback, predictions
from ml.registry import ledger
from ml.settings import Settings
from ml.storage import database
from serving.model import champion_lookup
from serving.status.reader import CheckEntry, LedgerEntry, Status, VersionEntry, Window

log = logging.getLogger("refit.log_shipper")

EVENTS = 100
CHECKS = 50
VERSIONS = 30
SLICES = 48
NEWEST_ROWS = 50_000  # what the slices are made of: bounds the query on a log of any length
ALIASES = ("champion", "previous", "shadow")


def collect(settings: Settings) -> Status:
    """What is known now. The registry's part is empty while it does not answer."""
    waits = status.shadow(settings)
    return Status(
        time=time.time(),
        shadow=waits.message if waits is not None else "",
        ledger=tuple(_ledger(settings)),
        versions=tuple(_versions(settings)),
        checks=tuple(_checks(settings)),
        windows=tuple(windows(settings)),
    )


def _ledger(settings: Settings) -> list[LedgerEntry]:
    return [
        LedgerEntry(
            time=e.time, what=e.what, from_version=e.from_version, to_version=e.to_version, who=e.who, why=e.because
        )
        for e in ledger.events(settings, limit=EVENTS)
    ]


def _checks(settings: Settings) -> list[CheckEntry]:
    return [
        CheckEntry(
            id=check.id,
            time=check.time,
            verdict=check.verdict,
            retrain=check.retrain,
            decision=check.decision,
            reasons=tuple(check.reasons),
            columns={finding.column: finding.effect for finding in check.findings},
            rows=check.window.rows,
            report=Path(check.report["html"]).name if check.report.get("html") else "",
        )
        for check in verdict_history.history(settings, CHECKS)
    ]


def _versions(settings: Settings) -> list[VersionEntry]:
    try:
        registered = _registered(settings)
    except RefitError as error:
        log.info("no versions in the overview: %s", error)
        return []
    return [_version(version, tags, aliases) for version, tags, aliases in registered]


def _registered(settings: Settings) -> list[tuple[dict[str, Any], dict[str, str], list[str]]]:
    """(version, its tags, its aliases) of the newest versions; over REST where that will do, as it is light."""
    address, name = tracking.uri(settings), settings.registry.model_name
    if not address.startswith("http"):
        return _embedded(settings)
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
    return [
        (v, {t["key"]: t["value"] for t in v.get("tags", ())}, aliases.get(str(v["version"]), []))
        for v in (page or {}).get("model_versions", ())
    ]


def _embedded(settings: Settings) -> list[tuple[dict[str, Any], dict[str, str], list[str]]]:
    if not (settings.var / "mlflow" / "mlflow.db").exists() and not settings.registry.tracking_uri:
        return []
    named = {name: registry.by_alias(settings, name) for name in ALIASES}
    return [
        (
            {"version": v.version, "creation_timestamp": v.created * 1000, "run_id": v.run_id},
            v.tags,
            [name for name, info in named.items() if info is not None and info.version == v.version],
        )
        for v in registry.versions(settings, limit=VERSIONS)
    ]


def _version(found: dict[str, Any], tags: dict[str, str], aliases: list[str]) -> VersionEntry:
    metrics: dict[str, tuple[float, float | None, float | None]] = {}
    for key, text in tags.items():
        if key.startswith("refit.metric."):
            metrics[key.removeprefix("refit.metric.")] = (float(text), None, None)
    return VersionEntry(
        version=str(found["version"]),
        time=float(found.get("creation_timestamp") or 0) / 1000,
        family=tags.get("refit.family", ""),
        verdict=tags.get("refit.verdict", ""),
        sentence=registry.sentence_of(tags),
        aliases=tuple(aliases),
        quarantined=bool(tags.get("refit.quarantined")),
        run_id=str(found.get("run_id") or ""),
        metrics=metrics,
    )


def windows(settings: Settings, slices: int = SLICES) -> list[Window]:
    """The newest predictions in `slices` equal slices of time; empty slices are left out."""
    engine = database.engine(settings)
    p, f = predictions.c, feedback.c
    newest = sa.select(p.prediction_id, p.time, p.model_version, p.label).order_by(p.time.desc()).limit(NEWEST_ROWS)
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
