"""What one request may cost: bytes of its body by route, JSON values, rows and cells; and a token bucket a caller.

All are checked on what is declared or counted, before the work that they bound is done.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from ml.messages import message
from ml.settings import Settings
from serving.problems import Problem

# Paths that take tables or tensors, and JSON where it is said to be; every other body is JSON or a form.
TABLES = ("/predict/file", "/file", "/labels", "/invocations", "/v2/")

HEAVY_BYTES = 1_000_000  # a body that takes many times a single row's memory; our choice
FORM_BYTES = 1_000_000  # of a page's form: one row, whose every field of three bytes takes hundreds
MAX_CALLERS = 10_000  # the one not seen for longest is forgotten, and starts again with a full bucket


class RateLimit:
    """Allows `rate` requests a second and `burst` at once, a caller. A rate of 0 allows everything.

    With `share`, of both the part that this service has among several.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._whole = (rate, float(burst))
        self.rate, self.burst = self._whole
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def share(self, services: int) -> None:
        """Take a share of the limit: so many services answer. A burst is one request at least."""
        rate, burst = self._whole
        self.rate, self.burst = rate / services, max(1.0, burst / services)

    def wait_s(self, caller: str) -> float:
        """Take a token: 0 when there was one, else the seconds until the next."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        tokens, then = self._buckets.pop(caller, (self.burst, now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.rate


def body_bytes(settings: Settings, path: str, content_type: str) -> int:
    """The largest body that a route takes, in bytes. `content_type` is of the request, "" where it has none."""
    limits = settings.serving
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        return min(FORM_BYTES, limits.max_body_bytes)
    is_table = path.startswith(TABLES) and not content_type.lower().startswith("application/json")
    return limits.max_body_bytes if is_table else min(limits.max_json_bytes, limits.max_body_bytes)


def is_heavy(target: str, content_type: str, packed: bool, size: int) -> bool:
    """Whether a request may take many times the memory of a single row's: long, packed, or a table of unknown length.

    `target` is the request's with its query, `packed` whether it has a Content-Encoding, `size` that of its body.

    Parameters
    ----------
    content_type
        The header; "" where it is absent.
    """
    if size > HEAVY_BYTES or packed:
        return True
    if not target.startswith(("/predict/file", "/file", "/labels", "/invocations")):
        return False
    plain = content_type.lower().startswith(("text/csv", "application/json"))
    return size > 0 and not (plain and "name=" not in target)


def check_tensors(settings: Settings, rows: int, columns: int) -> None:
    """Refuse rows × (columns in and out) that are held in memory as wholes, unlike a file's, beyond the setting.

    Parameters
    ----------
    columns
        In and out, together.

    Raises
    ------
    Problem
        413
    """
    check_cells(settings, rows, columns)
    most = settings.serving.max_tensor_cells
    if rows * columns > most:
        raise Problem(413, message("requests.too_many_tensor_cells", limit=most, rows=rows, columns=columns))


def check_values(body: bytes, most: int) -> None:
    """Refuse JSON with more values than `most`, before any is made: a value of three bytes can take a hundred.

    Each value but one follows a comma or a bracket. Those within texts count too, so `most` has room.

    Raises
    ------
    Problem
        413
    """
    if len(body) > most and (found := body.count(b",") + body.count(b"[") + body.count(b"{")) > most:
        raise Problem(413, message("requests.too_many_values", limit=most, got=found))


def check_cells(settings: Settings, rows: int, columns: int) -> None:
    """Refuse a table or tensors of more rows, or more rows × columns, than the settings allow.

    Raises
    ------
    Problem
        413
    """
    limits = settings.serving
    if rows > limits.max_file_rows:
        raise Problem(413, message("requests.too_many_file_rows", limit=limits.max_file_rows, got=rows))
    if rows * columns > limits.max_file_cells:
        limit = limits.max_file_cells
        raise Problem(413, message("requests.too_many_cells", limit=limit, rows=rows, columns=columns))
