"""Rollout verification: has every worker taken over the new version?

Read in the database after the alias moved, where services register themselves (`ml.fleet`); else asked of
`/health/ready`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ml import http
from ml.errors import PromotionError
from ml.fleet import confirmation
from ml.fleet.services import Loaded
from ml.messages import Message, Text, message
from ml.registry import ledger
from ml.settings import Settings

POLL_S = 0.1  # between two looks at the workers


class Confirmation(msgspec.Struct, frozen=True):
    """`services` that answered with the version on every worker; `note` says it for the ledger.

    `without`: those that do not, each with the reason, where the version is promoted all the same.
    """

    services: tuple[str, ...]
    workers: int
    note: Text
    without: tuple[Message, ...] = ()


def urls(settings: Settings) -> tuple[str, ...]:
    """Base URLs of the services that must confirm."""
    host = "127.0.0.1" if settings.serving.host in ("0.0.0.0", "::", "") else settings.serving.host
    return settings.serving.urls or (f"http://{host}:{settings.serving_port}",)


def notify(settings: Settings) -> None:
    """Tell the follower of this machine to look now rather than at its next round."""
    file = settings.var / "serving" / "notified"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def verify(
    settings: Settings,
    version: str,
    *,
    get: Callable[[str, float], Any] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Confirmation:
    """Wait until every worker of every service reports `version`: its number and, where a move of the alias is under
    way, the hash of the bundle that is moved to, as another registry has the number too.

    Of services that are registered in the database the rule is that of `ml.fleet.confirmation`. Of others
    `settings.registry.confirm` is `never` (ask nobody), `auto` (a service that does not listen is passed over
    and the note says so) or `required` (every service must answer).

    Parameters
    ----------
    get
        Asks an address within so many seconds for its JSON, None where nobody listens; by default `ready`.
    sleep
        Waits between two looks, in seconds.

    Raises
    ------
    PromotionError
        A service refused the version, or did not report it on every worker within `confirm_timeout_s`.
    """
    if settings.registry.confirm == "never":
        return Confirmation((), 0, message("release.not_asked"))
    fetch = get or ready
    notify(settings)
    deadline = time.monotonic() + settings.registry.confirm_timeout_s
    moving = ledger.open_intention(settings)
    wanted = version, moving.to_sha256 if moving is not None and moving.to_version == version else ""
    if (registered := _registered(settings, wanted, sleep)) is not None:
        return registered
    confirmed, absent, workers = [], [], 0
    for url in urls(settings):
        count = _one(settings, url, wanted, deadline, fetch, sleep)
        if count is None:
            absent.append(url)
        else:
            confirmed.append(url)
            workers += count
    return Confirmation(tuple(confirmed), workers, _note(workers, confirmed, absent))


def _registered(settings: Settings, wanted: tuple[str, str], sleep: Callable[[float], None]) -> Confirmation | None:
    def serves(loaded: Loaded) -> bool:
        return ledger.same((loaded.version, loaded.sha256), wanted)

    found = confirmation.wait(settings, wanted[0], serves, sleep=sleep)
    if found is None:
        return None
    names = [service.name for service in found.serving]
    parts = [message("release.fleet_confirmed", workers=found.workers, n=len(names), services=names)]
    if found.without:
        parts.append(message("release.fleet_without", version=wanted[0], services=list(found.without)))
    if found.gone:
        parts.append(message("release.fleet_gone", services=list(found.gone)))
    addresses = tuple(service.address for service in found.serving)
    return Confirmation(addresses, found.workers, message("release.confirmation", parts=parts), found.without)


def _note(workers: int, confirmed: list[str], absent: list[str]) -> Message:
    parts = [message("release.confirmed", n=workers, urls=confirmed) if confirmed else message("release.not_confirmed")]
    if absent:
        parts.append(message("release.absent", urls=absent))
    return message("release.confirmation", parts=parts)


def ready(url: str, timeout_s: float) -> dict[str, Any] | None:
    """The JSON of `GET {url}/health/ready`, also of a 503; None where nothing listens.

    A service that listens and answers something else gives an empty mapping.
    """
    try:
        response = http.get(f"{url.rstrip('/')}/health/ready", timeout_s=timeout_s)
    except http.HttpError as error:
        if error.refused:
            return None
        try:
            response = json.loads(error.content)  # 503 "not ready" carries the same JSON
        except ValueError:
            return {}
    return response if isinstance(response, dict) else {}


def _reason(refused: dict[str, Any]) -> Text:
    """Why a service refused, by code where it is told so."""
    try:
        return msgspec.convert(refused.get("message"), Message)
    except msgspec.ValidationError:  # the words of another, or another version's
        return str(refused.get("reason") or "") or message("release.no_reason")


def _one(
    settings: Settings,
    url: str,
    wanted: tuple[str, str],
    deadline: float,
    fetch: Callable[[str, float], Any],
    sleep: Callable[[float], None],
) -> int | None:
    """Number of workers that report the version; None where no service listens and none is required."""
    version, began = wanted[0], time.time() - 1  # an older refusal is of an earlier try
    while True:
        answer = fetch(url, 2.0)
        if answer is None and settings.registry.confirm == "auto":
            return None
        state = answer or {}
        reports = [_served(w) for w in state.get("workers", []) if isinstance(w, dict)]
        if reports and all(ledger.same(one, wanted) for one in (_served(state), *reports)):
            return len(reports)
        refused = state.get("refused")
        if isinstance(refused, dict) and str(refused.get("version")) == version and refused.get("time", began) >= began:
            raise PromotionError(message("release.service_refused", url=url, version=version, reason=_reason(refused)))
        if time.monotonic() > deadline:
            known = {"url": url, "version": version, "seconds": settings.registry.confirm_timeout_s}
            if not answer:
                raise PromotionError(message("release.service_silent", **known))
            seen, workers = _served(state)[0], [one[0] for one in reports]
            raise PromotionError(message("release.service_elsewhere", seen=seen, workers=workers, **known))
        sleep(POLL_S)


def _served(report: dict[str, Any]) -> tuple[str, str]:
    """(version, hash of its bundle) of a report; the hash is "" where an older service does not tell it."""
    return str(report.get("model_version")), str(report.get("sha256") or "")
