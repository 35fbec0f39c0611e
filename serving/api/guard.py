"""What stands in front of every route, Flask's and the fast one alike: keys, rate limit, ids, headers, access log."""

from __future__ import annotations

import base64
import functools
import ipaddress
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from flask import Flask, request

from ml.messages import Message, message
from serving.auth.keys import Scope, is_loopback
from serving.ids import token
from serving.problems import Problem
from serving.service import Service

access = logging.getLogger("refit.access")

BODY_FILE = "refit.body"  # in the WSGI environ: the whole body as a file that can be read twice

CLIENT_GONE = "refit.client_gone"  # in the WSGI environ: asks whether the client has closed its connection
REFUSED = "refit.refused"  # in the environ: the problem of a request that the worker refuses, to be told as a page

Header = Callable[[str], str | None]

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# https://www.w3.org/TR/trace-context/: version 00, trace id, parent id, flags; ids of zeros only are invalid.
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With "no-referrer" a browser sends "Origin: null" with the pages' own forms, and that is refused.
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
HTML_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)

STATIC = "static"  # style sheets and pictures of the pages, which Flask serves itself: open

View = TypeVar("View", bound=Callable[..., Any])
_scopes: dict[Callable[..., Any], Scope | None] = {}
_by_address: set[Callable[..., Any]] = set()


def opens(scope: Scope | None, *, by_address: bool = False) -> Callable[[View], View]:
    """Declare what a request must bring for a route. Below the route's decorator.

    Parameters
    ----------
    scope
        That its key must have; None where no key is needed.
    by_address
        Its Host may be any IP address: Prometheus finds machines by DNS and asks them by address.
    """

    def declare(view: View) -> View:
        _scopes[view] = scope
        if by_address:
            _by_address.add(view)
        return view

    return declare


class Application(Flask):
    """Flask that registers no route whose scope is not declared."""

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """As Flask's.

        Raises
        ------
        TypeError
            The view does not say which scope it needs.
        """
        if view_func is not None and view_func not in _scopes and endpoint != STATIC:
            raise TypeError(f"{rule}: its view lacks @guard.opens(scope)")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def scope(self, endpoint: str | None) -> Scope | None:
        """The scope that a route needs; "predict" for an address that there is not."""
        if endpoint == STATIC:
            return None
        return "predict" if endpoint is None else _scopes[self.view_functions[endpoint]]

    def by_address(self, endpoint: str | None) -> bool:
        """Whether a route may be asked with any IP address as its Host."""
        return endpoint is not None and self.view_functions[endpoint] in _by_address


def stop_if_gone() -> None:
    """Between two parts of long work: end it where nobody waits for it any more, and the server can tell.

    Raises
    ------
    Problem
        408, which nobody reads.
    """
    gone = request.environ.get(CLIENT_GONE)
    if gone is not None and gone():
        raise Problem(408, message("http.client_gone"))


class Context(NamedTuple):
    """The request's id, and the trace it belongs to ("" where it came without one)."""

    request_id: str
    trace_id: str
    traceparent: str

    @classmethod
    def of(cls, header: Header) -> Context:
        """Taken from the headers where they are well-formed, else made."""
        given = header("X-Request-ID")
        request_id = given if given and REQUEST_ID.fullmatch(given) else token()[:16]
        trace = TRACEPARENT.fullmatch(header("traceparent") or "")
        if trace is None:
            return cls(request_id, "", "")
        trace_id, flags = trace.groups()
        return cls(request_id, trace_id, f"00-{trace_id}-{token()[:16]}-{flags}")


def check(
    service: Service, method: str, scope: Scope | None, header: Header, address: str, *, by_address: bool = False
) -> Problem | None:
    """Why the request must not go on: 400 and 403 for what a foreign page makes a browser send, 401 and 403 for a
    missing, wrong or too narrow key, 429 for too many requests.

    Parameters
    ----------
    by_address
        Its Host may be any IP address.
    """
    refusal = _foreign(service, method, header, by_address)
    if refusal is not None:
        return refusal
    keys, limits = service.keys, service.limits
    if not keys.required and not limits.rate:
        return None
    if scope is None:
        return None
    caller = address
    if keys.required:
        presented = _presented(header)
        if "," in presented:  # WSGI servers join a header that came twice; no key has a comma
            return Problem(400, message("requests.keys_twice"))
        if not presented:
            return _unauthorised(message("requests.key_missing"))
        key = keys.find(presented)
        if key is None:
            return _unauthorised(message("requests.key_unknown"))
        if scope not in key.scopes and "admin" not in key.scopes:
            return Problem(403, message("requests.key_scope", scope=scope, scopes=key.scopes))
        caller = key.id
    wait = limits.wait_s(caller)
    if wait > 0:
        return Problem(
            429,
            message("requests.too_many", rate=limits.rate, wait=wait),
            headers={"Retry-After": str(max(1, round(wait)))},
        )
    return None


def permits(service: Service, scope: Scope, header: Header) -> bool:
    """Whether the request's key has a further scope than its route's; every request has all where no key is needed."""
    if not service.keys.required:
        return True
    key = service.keys.find(_presented(header))
    return key is not None and bool({scope, "admin"} & set(key.scopes))


def _foreign(service: Service, method: str, header: Header, by_address: bool) -> Problem | None:
    """A page of another site can make its reader's browser talk to a service on the reader's machine: by a form, or
    by a name of its own that resolves to 127.0.0.1 (DNS rebinding). Neither is any client of ours."""
    given = header("Host")
    host = given or ""
    # Without a Host (HTTP/1.0) it is no browser. Rebinding needs a name: an address is where the browser really went.
    known = is_local_name(host) or _name(host) in service.allowed_hosts or (by_address and _is_address(host))
    if service.checks_host and given is not None and not known:
        return Problem(400, message("requests.foreign_host"))
    if method in ("GET", "HEAD"):
        return None
    origin = header("Origin")
    # Every other port of this machine is the same site to a browser, and another program's page.
    if origin is not None and not _is_own(origin, host, service.allowed_hosts):
        return Problem(403, message("requests.foreign_origin"))
    if header("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return Problem(403, message("requests.foreign_site"))
    return None


def _is_own(origin: str, host: str, allowed_hosts: frozenset[str]) -> bool:
    """Whether an Origin is the very one that Host names, or a proxy's name that may come."""
    scheme, _, name = origin.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    if default:
        name, host = name.removesuffix(default), host.removesuffix(default)
    return bool(name) and (name.lower() == host.lower() or _name(name) in allowed_hosts)


@functools.lru_cache(maxsize=256)
def is_local_name(host: str) -> bool:
    """Whether a Host header means this machine: localhost or a loopback address, with or without a port."""
    return is_loopback(_name(host))


def _is_address(host: str) -> bool:
    """Whether a Host header is an IP address, with or without a port."""
    try:
        ipaddress.ip_address(_name(host).strip("[]"))
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """The name in a Host header as names are compared: without a port, in lower case, without the root's dot."""
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _unauthorised(detail: Message) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer, Basic realm="Refit"'})


def headers(context: Context, content_type: str) -> Iterator[tuple[str, str]]:
    """Headers that every answer carries."""
    yield "X-Request-ID", context.request_id
    if context.traceparent:
        yield "traceparent", context.traceparent
    yield from SECURITY_HEADERS
    if content_type.startswith("text/html"):
        yield "Content-Security-Policy", HTML_POLICY


def log_access(service: Service, context: Context, method: str, path: str, status: int, seconds: float) -> None:
    """One JSON line, as `serving.access_log` says."""
    wanted = service.settings.serving.access_log
    if wanted == "none" or (wanted == "errors" and status < 500):
        return
    access.info(
        "request",
        extra={
            "request_id": context.request_id,
            "trace_id": context.trace_id,
            "method": method,
            "path": path,
            "status": status,
            "ms": round(seconds * 1000, 3),
        },
    )


def _presented(header: Header) -> str:
    scheme, _, credentials = (header("Authorization") or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":  # what a browser can send: any name, the key as password
            try:
                return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
            except ValueError:
                return ""
        case _:
            return header("X-API-Key") or ""
