"""Clients that are slow on purpose, but not too slow, on a machine that may be slower still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Pace:
    """Rests between the steps of a client, and notes when one took longer than `longest` seconds."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last = time.monotonic()
        self.is_lost = False

    def rest(self, seconds: float) -> None:
        """Rest before the next step."""
        time.sleep(seconds)
        now = time.monotonic()
        self.is_lost |= now - self._last > self._longest
        self._last = now


def keep_pace(longest: float, attempt: Callable[[Pace], Result]) -> Result:
    """Return what an attempt does; one that fails is made again if the machine held it up, which proves nothing."""
    while True:
        pace = Pace(longest)
        try:
            return attempt(pace)
        except (AssertionError, OSError):
            if not pace.is_lost:
                raise
