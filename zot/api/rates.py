"""How often a client may ask: one count for each address, over all workers.

A client has as many requests in hand as its rate allows in a second, and gets them back at that rate. What is kept of
it is one number, the moment at which it will have all of them back (the "generic cell rate algorithm"), in a table that
the workers share. Two workers that count the same client in the same instant may count once; the error is that small.
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zot.auth.throttle import network
from zot.errors import TooManyRequests

_ROWS = 16 * 1024
_WAYS = 4
# What watches over the server is never refused, or a flood would make it look dead.
_EXEMPT = frozenset(("/livez", "/readyz", "/startupz"))


class Table:
    """When each client will have all its requests back, by a number for it, on the clock that all processes share.

    It has room for 65,536; beyond that those who asked least are forgotten. Made before the processes are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        memory = memoryview(mmap.mmap(-1, _ROWS * _WAYS * 16))
        self._keys = memory[: len(memory) // 2].cast("Q")
        self._times = memory[len(memory) // 2 :].cast("d")
        self._clock = clock

    def take(self, key: int, rate: int) -> float:
        """Take one request in hand; returns 0, or after how many seconds there will be one."""
        key &= 0xFFFF_FFFF_FFFF_FFFF
        place, now = self._place(key), self._clock()
        full = max(self._times[place], now)
        wait = full - now - (rate - 1) / rate
        # A billionth is what the numbers are not exact by.
        if wait > 1e-9:
            return wait
        self._times[place] = full + 1 / rate
        return 0.0

    def _place(self, key: int) -> int:
        first = key % _ROWS * _WAYS
        oldest = first
        for place in range(first, first + _WAYS):
            if self._keys[place] == key:
                return place
            if self._times[place] < self._times[oldest]:
                oldest = place
        self._keys[oldest], self._times[oldest] = key, 0.0
        return oldest


@dataclass(frozen=True)
class Limits:
    """Requests a second that a client may make, of all methods, and of single ones."""

    rate: int | None
    methods: Mapping[str, int]


class Rates:
    """Refuses clients that ask too often. `limits` may be replaced at any time; None is no limit."""

    def __init__(self, table: Table, limits: Limits | None) -> None:
        self._table = table
        self.limits = limits

    def refusal(self, address: str, method: str, path: str) -> TooManyRequests | None:
        """Return what a client is told that has asked too often, or None."""
        limits = self.limits
        if limits is None or path in _EXEMPT:
            return None
        client = network(address)
        if limits.rate is not None and (wait := self._table.take(hash(client), limits.rate)):
            return _refused(wait, limits.rate, "requests")
        rate = limits.methods.get(method)
        if rate is not None and (wait := self._table.take(hash((client, method)), rate)):
            return _refused(wait, rate, f"{method} requests")
        return None


def _refused(wait: float, rate: int, what: str) -> TooManyRequests:
    return TooManyRequests(
        f"more than {rate} {what} a second come from this address",
        f"wait {wait:.2f} s, and ask less often",
        detail={"limit": rate},
        headers={"Retry-After": str(math.ceil(wait))},
    )
