"""Logins that were right a moment ago."""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from zot.auth.principal import Principal

_MOST = 10_000


class _Entry(NamedTuple):
    principal: Principal
    until: float
    version: object


class Remembered:
    """Remembers who sent a header, for some seconds, under its hash with a key that only this process knows.

    Shared by threads. What was remembered with another version than is asked for is forgotten.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = os.urandom(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, header: str, version: object) -> Principal | None:
        """Return whose header this is, if that is remembered."""
        found = self._entries.get(self._hash(header))
        if found is None or found.until < self._clock() or found.version != version:
            return None
        return found.principal

    def keep(self, header: str, principal: Principal, version: object) -> None:
        """Remember it, and forget the oldest beyond the limit."""
        with self._guard:
            self._entries[self._hash(header)] = _Entry(principal, self._clock() + self._seconds, version)
            while len(self._entries) > _MOST:
                self._entries.popitem(last=False)

    def _hash(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode("utf-8", "surrogateescape"), "sha256")
