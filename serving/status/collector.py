"""The collector of `status.json`: ledger, versions, drift checks, and traffic with its accuracy in time slices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa

from ml import alerts as sent
from ml import registry, tracking
from ml.drift import DriftVerdict
from ml.errors import RefitError
from ml.evaluation.bounds import wilson
from ml.exploration.label_coverage import Coverage
from ml.exploration.weights import effective_sample_size, weights
from ml.fleet.services import Service
from ml.messages import Message, Text
from ml.monitoring import status
from ml.predictions import feedback, predictions
from ml.predictions.tables import actions
from ml.predictions.windows import same
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
    EstimateEntry,
    LedgerEntry,
    ServiceEntry,
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
    now, (all_time, recent) = clock.now(settings), windows(settings)
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
        recent={name: tuple(found) for name, found in recent.items()},
        alerts=tuple(alerts(settings)),
        services=tuple(_service(one, now - known.fleet.now) for one in known.fleet.services),
        next_check=_next_check(settings, now),
    )


def _next_check(settings: Settings, now: float) -> float:
    """When the schedule brings it, by Airflow's own reading of the line; in UTC, as Airflow takes it."""
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    try:
        return float(croniter(settings.schedule.drift_cron, now).get_next(float))
    except (CroniterError, KeyError, ValueError):  # "@continuous", or none
        return 0.0


def alerts(settings: Settings) -> list[Alert]:
    """The newest alerts, newest first: of this machine's `alerts.jsonl`, and of all that share its database."""
    lines = [*_of_file(settings.var / "logs" / "alerts.jsonl"), *(line.encode() for line in _shared(settings))]
    found: dict[bytes, Alert] = {}
    for line in lines:
        try:
            kept = msgspec.json.decode(line, type=_Kept)
        except msgspec.DecodeError:  # half a line, or another version's
            continue
        sentences: tuple[Text, ...] = kept.messages or (kept.text,)
        found[line] = Alert(time=kept.time, kind=kept.kind, sentences=sentences, address=kept.run)
    return sorted(found.values(), key=lambda alert: -alert.time)[:ALERTS]


def _of_file(file: Path) -> list[bytes]:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - ALERT_BYTES))
            return stream.read().splitlines()
    except OSError:
        return []


def _shared(settings: Settings) -> list[str]:
    try:
        return sent.newest(settings, ALERTS)
    except RefitError as error:
        log.warning("alerts of other machines could not be read: %s", error)
        return []


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
        reasons=(*check.reasons, *check.notes),
        columns=check.effects,
        rows=check.window.rows,
        report=Path(check.report["html"]).name if check.report.get("html") else "",
        version=check.model_version,
        histograms=check.histograms if with_histograms else (),
        coverage=check.coverage if with_histograms else Coverage(),
        estimates={
            name: msgspec.convert(found, EstimateEntry, from_attributes=True)
            for name, found in (check.estimate.metrics if with_histograms else {}).items()
        },
        estimate_labels=check.estimate.labels,
    )


def _service(one: Service, ahead_s: float) -> ServiceEntry:
    """`ahead_s`: of this machine's clock before the database's."""
    return ServiceEntry(
        host=one.host,
        address=one.address,
        versions=one.versions,
        workers=len(one.state.workers),
        seen=one.seen + ahead_s,
        stale=one.stale,
        out=one.state.out,
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


def windows(settings: Settings) -> tuple[list[Window], dict[str, list[Window]]]:
    """The newest predictions in equal slices of time, all of them and those of each range; empty slices are left out.

    Rows and labels are read one after the other and joined here: SQLite's plan for one query that does it all took
    95 CPU seconds of 50,000 rows, this takes 0.3.
    """
    p, f, a = predictions.c, feedback.c, actions.c
    newest = sa.select(p.prediction_id, p.time, p.model_version, p.label).order_by(p.time.desc()).limit(NEWEST_ROWS)
    q = newest.subquery().c
    engine = database.engine(settings)
    labels = sa.select(f.prediction_id, f.label).join(q.prediction_id.table, sa.and_(*same(engine, f, q)))
    chances = sa.select(a.prediction_id, a.label_propensity).join(
        q.prediction_id.table, a.prediction_id == q.prediction_id
    )
    with database.unavailable_as_transient(), engine.connect() as connection:
        rows = connection.execute(newest).all()
        # In the order in which they came: the latest label of a prediction counts.
        true = {row.prediction_id: row.label for row in connection.execute(labels.order_by(f.received_at, f.id))}
        chance = {row.prediction_id: row.label_propensity for row in connection.execute(chances)}
    if any(known is not None for known in chance.values()):
        known = [np.nan if chance.get(row.prediction_id) is None else chance[row.prediction_id] for row in rows]
        weight = weights(known, most=settings.explore.max_weight).rows.tolist()
    else:
        weight = [1.0] * len(rows)
    answers = [
        _Answer(time, version, true.get(key), label, w)
        for (key, time, version, label), w in zip(reversed(rows), reversed(weight), strict=True)
    ]
    now = clock.now(settings)
    return sliced(answers), {
        name: sliced([answer for answer in answers if answer.time >= now - span]) for name, span in RANGES.items()
    }


class _Answer(NamedTuple):
    time: float
    version: str
    true: str | None
    label: str
    weight: float


def sliced(answers: Sequence[_Answer], slices: int = SLICES) -> list[Window]:
    """Answers, the oldest first, in `slices` equal slices of time, each under its newest version."""
    if not answers:
        return []
    first, last = answers[0].time, answers[-1].time
    width = max((last - first) / slices, 1e-3)
    found: dict[int, list[_Answer]] = {}
    for answer in answers:  # the very last moment belongs to the last slice
        found.setdefault(min(int((answer.time - first) / width), slices - 1), []).append(answer)
    return [_window(first + i * width, first + (i + 1) * width, some) for i, some in found.items()]


def _window(start: float, end: float, answers: Sequence[_Answer]) -> Window:
    labelled = [answer for answer in answers if answer.true is not None]
    made = Window(start=start, end=end, version=answers[-1].version, predictions=len(answers))
    if not labelled:
        return made
    weight = sum(answer.weight for answer in labelled)
    made = msgspec.structs.replace(made, labelled=len(labelled), weight=weight)
    if not weight:  # what let them through gave none of them a chance of a label
        return made
    accuracy = sum(answer.weight for answer in labelled if answer.true == answer.label) / weight
    effective = effective_sample_size(np.array([answer.weight for answer in labelled]))
    low, high = wilson(accuracy * effective, effective)
    return msgspec.structs.replace(made, effective=effective, accuracy=accuracy, low=low, high=high)
