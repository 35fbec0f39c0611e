"""A token bucket for each caller: an API key where there is one, else the address."""

from __future__ import annotations

import time
from collections import OrderedDict

MAX_CALLERS = 10_000  # the one not seen for longest is forgotten, and starts again with a full bucket


class RateLimit:
    """Allows `rate` requests a second and `burst` at once, a caller. A rate of 0 allows everything."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

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
