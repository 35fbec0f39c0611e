"""Confirmation: waiting until the services that live serve a version, and what follows where some do not.

The rule. Every service that lives must report the version from all its workers, or that it cannot take it over. Where
at least half of them serve it, the version is promoted; each of the others is named, and is out of rotation as long as
it does not serve it (`ml.fleet.rotation`). Where fewer do, nothing is promoted. With `registry.confirm = "required"`
one that does not is enough for that. A service that dies meanwhile is waited for until its row is stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ml.errors import PromotionError
from ml.fleet import services
from ml.fleet.services import Loaded, Service
from ml.messages import Message, message
from ml.settings import Settings

POLL_S = 0.1  # between two looks at the rows
SLACK_S = 0.3  # a refusal counts that came so long before the first look: the alias moves before it; our choice


class Confirmed(msgspec.Struct, frozen=True):
    """The services that serve the version, with how many workers; those that do not, and why; those that died."""

    serving: tuple[Service, ...]
    without: tuple[Message, ...]
    gone: tuple[Message, ...]

    @property
    def workers(self) -> int:
        """Of the services that serve it."""
        return sum(len(service.state.workers) for service in self.serving)


def wait(
    settings: Settings,
    version: str,
    serves: Callable[[Loaded], bool],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Confirmed | None:
    """Wait as the rule says; None where no service is registered and alive.

    Parameters
    ----------
    serves
        Whether what a worker has loaded is the version.
    sleep
        Waits between two looks, in seconds.

    Raises
    ------
    PromotionError
        Fewer than half of the services that live serve it, or one does not and all must.
    """
    deadline = time.monotonic() + settings.registry.confirm_timeout_s
    fleet = services.known(settings)
    if not fleet.live:
        return None
    began, met = fleet.now - SLACK_S, {service.id: service for service in fleet.live}
    while True:
        live = fleet.live
        met |= {service.id: service for service in live}
        serving = tuple(one for one in live if all(map(serves, one.state.workers)))
        refused = [one for one in live if one not in serving and _refuses(one, version, began)]
        decided = len(serving) + len(refused) == len(live) or _too_few(settings, len(live) - len(refused), len(live))
        if decided or time.monotonic() > deadline:
            break
        sleep(POLL_S)
        fleet = services.known(settings)
    without = tuple(_without(settings, one, version, began) for one in live if one not in serving)
    gone = tuple(met[one].name for one in met.keys() - {service.id for service in live})
    if not live or _too_few(settings, len(serving), len(live)):
        known = {"version": version, "n": len(serving), "of": len(live), "services": [*without, *map(_gone, gone)]}
        raise PromotionError(message("release.fleet_not_confirmed", **known))
    return Confirmed(serving, without, gone)


def _too_few(settings: Settings, serving: int, live: int) -> bool:
    if settings.registry.confirm == "required":
        return serving < live
    return 2 * serving < live


def _refuses(service: Service, version: str, began: float) -> bool:
    refused = service.state.refused
    return refused is not None and refused.version == version and service.refused_at >= began


def _without(settings: Settings, service: Service, version: str, began: float) -> Message:
    reason: Message | str = message(
        "release.fleet_elsewhere", seen=list(service.versions), seconds=settings.registry.confirm_timeout_s
    )
    if service.state.refused is not None and _refuses(service, version, began):
        reason = service.state.refused.reason
    return message("release.fleet_service", name=service.name, reason=reason)


def _gone(name: Message) -> Message:
    return message("release.fleet_service", name=name, reason=message("release.fleet_gone_meanwhile"))
