"""status: what serves, what served before, what was decided lately."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ml.cli import show
from ml.cli.options import options, settings_for
from ml.settings import Settings

if TYPE_CHECKING:
    from ml.fleet.services import Fleet
    from ml.registry.catalog import VersionInfo
    from ml.registry.ledger import Event

EVENTS = 10  # of the ledger, that fit a terminal


@click.command()
@click.option("--events", "n_events", type=click.IntRange(1, 1000), default=EVENTS, help="Rows of the ledger to show.")
@options()
def status(n_events: int, as_json: bool, **given: Any) -> None:
    """The champion and its numbers, what it replaced, the ledger, quarantine, and who serves."""
    facts = gather(settings_for(given), n_events)
    show.result(facts, as_json=as_json, text=_text(facts))


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version. `created` is seconds since 1970 UTC; `metrics` are those of the test rows."""

    version: str
    created: float
    family: str
    sha256: str
    run_key: str
    sentence: str
    metrics: dict[str, float]


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the ledger: when, what, who, from which version to which, and why."""

    time: float
    what: str
    who: str
    from_version: str
    to_version: str
    why: str
    run_key: str


class LastCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The newest drift check."""

    time: float
    verdict: str
    sentence: str


class ServiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A service that registered itself: how many of its workers serve each version, how many seconds ago it was heard
    of, whether that is too long, and why it is out of rotation ("" where it is not)."""

    host: str
    address: str
    versions: dict[str, int]
    seen_s_ago: float
    stale: bool
    out: str


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `status` tells. `versions` counts them, `quarantined` maps a version to the reason; `services`
    are asked where none is `registered`, and one that does not answer has None."""

    model: str
    mlflow: str
    champion: Version | None
    serves_on: str  # the version that the service goes on with, where the alias was deleted in MLflow's registry
    serves_on_deleted: bool  # whether that version was deleted there too
    previous: Version | None
    shadow: dict[str, Any] | None
    versions: int
    quarantined: dict[str, str]
    unfinished: LedgerLine | None
    ledger: list[LedgerLine]
    last_check: LastCheck | None
    services: dict[str, Mapping[str, Any] | None]
    registered: list[ServiceLine]


def gather(settings: Settings, n_events: int = EVENTS) -> StatusReport:
    """What the database knows (`ml.monitoring.status`), and what the registry and the services say.

    Raises
    ------
    RegistryUnavailable, StoreUnavailable
        The registry or the database does not answer.
    """
    from ml import registry, tracking
    from ml.monitoring import status as kept
    from ml.registry.rollout import ready, urls

    champion, previous = registry.champion(settings), registry.by_alias(settings, registry.PREVIOUS)
    facts = kept.read(settings, events=n_events, checks=1)
    registered = _registered(facts.fleet)
    serves = facts.champion
    known = registry.versions(settings, limit=100) if champion or previous or serves else []
    return StatusReport(
        model=settings.registry.model_name,
        mlflow=tracking.uri(settings).split("@")[-1],
        champion=_version(champion),
        serves_on=serves.to_version if serves and champion is None else "",
        serves_on_deleted=serves is not None and not any(serves.is_to(v.version, v.sha256) for v in known),
        previous=_version(previous),
        shadow=_shadow(settings, champion),
        versions=len(known),
        quarantined={v.version: str(v.quarantined) for v in known if v.quarantined},
        unfinished=_line(facts.unfinished) if facts.unfinished else None,
        ledger=[_line(event) for event in facts.ledger],
        last_check=next((msgspec.convert(check, LastCheck, from_attributes=True) for check in facts.checks), None),
        services={} if registered else {url: ready(url, 1.0) for url in urls(settings)},
        registered=registered,
    )


def _registered(fleet: Fleet) -> list[ServiceLine]:
    return [
        ServiceLine(
            host=one.host,
            address=one.address,
            versions=dict(Counter(loaded.version or "none" for loaded in one.state.workers)),
            seen_s_ago=round(fleet.now - one.seen, 1),
            stale=one.stale,
            out=str(one.state.out),
        )
        for one in fleet.services
    ]


def _version(info: VersionInfo | None) -> Version | None:
    if info is None:
        return None
    return Version(
        version=info.version,
        created=info.created,
        family=info.family,
        sha256=info.sha256,
        run_key=info.run_key,
        sentence=str(info.sentence),
        metrics=info.metrics,
    )


def _line(event: Event) -> LedgerLine:
    return msgspec.convert(event, LedgerLine, from_attributes=True)


def _shadow(settings: Settings, champion: VersionInfo | None) -> dict[str, Any] | None:
    """The challenger that waits, compared now; with `problem` where it cannot be."""
    from ml.errors import BundleError, DataError, RegistryError
    from ml.monitoring import status as kept
    from ml.release import shadow_slot, shadow_test

    candidate, progress, problem = shadow_slot.find(settings), kept.shadow(settings), ""
    if candidate is None:
        return None
    try:
        serves = (champion.version, champion.sha256) if champion is not None else ("", "")
        progress = shadow_test.progress(settings, candidate, *serves)
    except (RegistryError, BundleError, DataError) as error:
        problem = str(error)
    if progress is None:  # it was decided on at this moment
        return None
    return {**msgspec.to_builtins(progress), "sentence": progress.sentence, "problem": problem}


def _text(found: StatusReport) -> str:
    lines = [f"model      {found.model}  ({found.mlflow})"]
    champion = found.champion
    if champion is None and found.serves_on:
        what = f"version {found.serves_on}" if found.serves_on_deleted else "the alias `champion`"
        number = "ANOTHER" if found.serves_on_deleted else found.serves_on
        lines.append(
            f"champion   {what} was deleted in MLflow's registry; the service still serves version {found.serves_on}; "
            f"next: python -m ml promote --version {number} --reason …"
        )
    elif champion is None:
        lines.append("champion   none yet; next: python -m ml pipeline")
    else:
        values = {name: champion.metrics.get(name) for name in ("accuracy", "roc_auc", "log_loss")}
        numbers = ", ".join(f"{name} {'undefined' if v is None else f'{v:.4f}'}" for name, v in values.items())
        lines.append(f"champion   version {champion.version}, {champion.family}, made {_when(champion.created)}")
        lines.append(f"           test {numbers}")
        lines.append(f"           gate: {champion.sentence}")
    lines.append(f"previous   {'version ' + found.previous.version if found.previous else 'none'}")
    if found.shadow:
        lines.append(f"shadow     {found.shadow['sentence']} Until {_when(found.shadow['until'])}.")
        if found.shadow["problem"]:
            lines.append(f"           it cannot be compared: {found.shadow['problem']}")
    lines += [f"quarantine version {v}: {why}" for v, why in found.quarantined.items()]
    if found.unfinished:
        lines.append("unfinished a move of the alias was cut short; the next promote or rollback settles it")
    lines += [f"service    {url}: {_service(answer)}" for url, answer in found.services.items()]
    lines += [f"service    {one.host} at {one.address}: {_registered_service(one)}" for one in found.registered]
    if found.last_check:
        lines.append(f"last check {_when(found.last_check.time)}: {found.last_check.sentence}")
    lines.append("ledger")
    lines += [_ledger_line(event) for event in found.ledger] or ["  empty"]
    return "\n".join(lines)


def _service(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "does not answer"
    workers = [str(w.get("model_version")) for w in answer.get("workers", []) if isinstance(w, dict)]
    state, version = answer.get("status", "unknown"), answer.get("model_version")
    return f"{state}, version {version}, workers {', '.join(workers) or 'none'}"


def _registered_service(one: ServiceLine) -> str:
    serving = ", ".join(f"version {version} on {n} workers" for version, n in one.versions.items()) or "no workers"
    state = "STALE, " if one.stale else "OUT OF ROTATION, " if one.out else ""
    return f"{state}{serving}, heard of {one.seen_s_ago:g} s ago{': ' if one.out else ''}{one.out}"


def _ledger_line(event: LedgerLine) -> str:
    arrow = f"{event.from_version or '–'} → {event.to_version or '–'}"
    return f"  {_when(event.time)}  {event.what:<16} {arrow:<8} {event.who}: {event.why}"


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
