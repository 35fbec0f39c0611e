"""Rotation: which service must not answer, though it could. Its `/health/ready` says 503, and the balancer drops it.

Decided by each service for itself from all the rows, so that nothing has to be taken back: as soon as the reason is
gone, it is in again. The database and the other services are not needed to go on answering.
"""

from __future__ import annotations

from collections.abc import Callable

from ml.fleet.services import Fleet, Loaded, Service
from ml.messages import Text, code_of, message

OTHER_KEY = "connections.out_hash_key"


def out(fleet: Fleet, own: Service, champion: str, serves: Callable[[Loaded], bool], *, left_s: float) -> Text:
    """Why the service `own` is out of rotation; "" where it is not.

    It is where it serves another version than the champion, cannot take that over (or has not for long), and at least
    half of the services that live do serve it: without them, an older answer is better than none.

    Parameters
    ----------
    champion, serves
        The version that was confirmed, "" for none; and whether what a worker has loaded is that one.
    left_s
        Seconds for which the service may still be behind without having refused the version.
    """
    others = [one for one in fleet.live if one.id != own.id]
    if (key := _other_key(others, own)) is not None:
        return message(OTHER_KEY, name=key.name)
    if not champion or not own.state.workers or all(map(serves, own.state.workers)):
        return ""
    serving = [one for one in others if one.state.workers and all(map(serves, one.state.workers))]
    if 2 * len(serving) < len(others) + 1:
        return ""
    refused = own.state.refused
    if refused is not None and refused.version == champion:
        return message("connections.out_refused", version=champion, reason=refused.reason)
    return message("connections.out_behind", version=champion, seen=list(own.versions)) if left_s <= 0 else ""


def _other_key(others: list[Service], own: Service) -> Service | None:
    """The service whose key of `log.hash_columns` counts, where that is another than its own.

    The one that has lived longest without being out for its own: so that a newcomer with a wrong key changes nothing
    for the rest, and does not become the measure when they are started anew one after the other.
    """
    if not own.state.hash_key:
        return None
    keyed = [one for one in (*others, own) if one.state.hash_key and code_of(one.state.out) != OTHER_KEY]
    first = min(keyed, key=lambda one: (one.started, one.id), default=own)
    return first if first.state.hash_key != own.state.hash_key else None
