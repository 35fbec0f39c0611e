"""Status, how things stand, from the database alone: what serves since when and why, the newest verdicts, the ledger.

Light and quick enough for a page of Airflow's server: neither MLflow nor the service is asked. What a person did to
the alias in MLflow by hand is not seen until Refit's next move or look records it.
"""

from __future__ import annotations

import msgspec

from ml.drift import verdict_history
from ml.drift.verdict import DriftVerdict, Shadow
from ml.fleet import services
from ml.fleet.services import Fleet
from ml.registry import ledger
from ml.registry.ledger import Event
from ml.release import shadow_slot
from ml.settings import Settings


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`champion` is the move that brought what serves, None before the first; lists are newest first.

    `metrics` are the champion's on its test rows; `unfinished` is a move of the alias that was cut short;
    `shadow` is the challenger that waits to be judged, as the newest check found it; `fleet` are the services that
    registered themselves.
    """

    champion: Event | None = None
    previous: str = ""
    metrics: dict[str, float] = {}
    unfinished: Event | None = None
    shadow: Shadow | None = None
    ledger: list[Event] = []
    checks: list[DriftVerdict] = []
    fleet: Fleet = Fleet(0.0, ())


def read(settings: Settings, *, events: int = 30, checks: int = 20) -> Status:
    """The newest `events` rows of the ledger and `checks` verdicts, with what follows from them.

    Raises
    ------
    StoreUnavailable
        The database does not answer.
    """
    champion = ledger.newest_move(settings)
    before = ledger.served_before(settings, champion.to_version, champion.to_sha256) if champion else []
    return Status(
        champion=champion,
        previous=before[0][0] if before else "",
        metrics=_metrics(settings, champion) if champion else {},
        unfinished=ledger.open_intention(settings),
        shadow=shadow(settings),
        ledger=ledger.events(settings, limit=events),
        checks=verdict_history.history(settings, checks),
        fleet=services.known(settings),
    )


def shadow(settings: Settings) -> Shadow | None:
    """The challenger that waits in shadow, with what the newest check counted and compared; None where none waits."""
    candidate, last = shadow_slot.find(settings), verdict_history.latest(settings)
    if candidate is None:
        return None
    counted = last.shadow if last is not None else None
    if counted is not None and (counted.version, counted.since, counted.state) == (
        candidate.version, candidate.since, "waits",
    ):  # fmt: skip
        return counted
    until = candidate.since + settings.gate.shadow_s
    needed = shadow_slot.needed(settings)
    return Shadow(
        version=candidate.version, champion=candidate.champion, needed=needed, since=candidate.since, until=until
    )


def _metrics(settings: Settings, champion: Event) -> dict[str, float]:
    """As the ledger has them since the version was registered."""
    for event in ledger.events(settings, what=[ledger.REGISTERED]):
        if event.is_to(champion.to_version, champion.to_sha256):
            metrics = event.numbers.get("metrics") or {}
            return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return {}
