"""What keeps a flood of wrong logins from being answered, and from holding up the right ones."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
import threading
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv6Address
from typing import NamedTuple

from zot.errors import TooManyRequests

_MOST_KEPT = 10_000


class Limit(NamedTuple):
    """How many failures are let through at once, and how many seconds it takes until there may be one more."""

    burst: int
    seconds: float


BY_ADDRESS = Limit(30, 1.0)
BY_ADDRESS_AND_USER = Limit(10, 6.0)


class _Buckets:
    """Counts failures by some key; each is forgotten after a while, one after the other."""

    def __init__(self, limit: Limit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        # When the last of a key's failures will be forgotten.
        self._clear_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Return for how many seconds the key is to wait."""
        over = self._clear_at.get(key, 0.0) - self._clock() - (self._limit.burst - 1) * self._limit.seconds
        return max(over, 0.0)

    def has(self, key: Hashable) -> bool:
        """Tell whether there is a failure that is not forgotten."""
        return self._clear_at.get(key, 0.0) > self._clock()

    def add(self, key: Hashable) -> None:
        """Count a failure."""
        self._clear_at[key] = max(self._clear_at.get(key, 0.0), self._clock()) + self._limit.seconds
        self._clear_at.move_to_end(key)
        if len(self._clear_at) > _MOST_KEPT:
            self._clear_at.popitem(last=False)


class Throttle:
    """Refuses logins after many failures from the same address, or from the same address for the same user.

    Never by user alone, or anybody could lock out whoever they like. A user who logged in from an address before is not
    held up by what others try from there. Each worker counts for itself. Addresses are those of `network`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._addresses = _Buckets(BY_ADDRESS, clock)
        self._pairs = _Buckets(BY_ADDRESS_AND_USER, clock)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._guard = threading.Lock()

    def check(self, address: str, user: str) -> None:
        """Raise `TooManyRequests` if there were too many failures."""
        with self._guard:
            wait = self._pairs.wait((address, user))
            if (address, user) not in self._welcome:
                wait = max(wait, self._addresses.wait(address))
        if wait > 0:
            raise busy("too many logins failed", math.ceil(wait))

    def is_suspect(self, address: str) -> bool:
        """Tell whether logins from an address failed of late."""
        with self._guard:
            return self._addresses.has(address)

    def failed(self, address: str, user: str) -> None:
        """Count a failure."""
        with self._guard:
            self._addresses.add(address)
            self._pairs.add((address, user))

    def succeeded(self, address: str, user: str) -> None:
        """Remember that the user comes from there."""
        with self._guard:
            self._welcome[address, user] = None
            if len(self._welcome) > _MOST_KEPT:
                self._welcome.popitem(last=False)


class Queue:
    """Lets few threads of this worker check passwords, and some more wait for what others check.

    At most `places` check, two thirds of them for one address, and a third for addresses from which logins failed of
    late, so that the rest is kept for others, who wait behind few. At most `waiting` are anywhere in here. The others
    are refused at once, so that threads stay free for requests that need no check.
    """

    def __init__(self, places: int, waiting: int) -> None:
        self._places = max(places, 2)
        self._waiting = max(waiting, self._places)
        self._taken: Counter[str] = Counter()
        self._guard = threading.Lock()

    def enter(self) -> AbstractContextManager[None]:
        """Be one of those in here. Raises `TooManyRequests`."""
        return self._within({"in here": self._waiting})

    def place(self, address: str, *, is_suspect: bool = False) -> AbstractContextManager[None]:
        """Have a place. Raises `TooManyRequests`."""
        limits = {"all": self._places, f"from {address}": max(self._places * 2 // 3, 1)}
        return self._within(limits | ({"suspect": max(self._places // 3, 1)} if is_suspect else {}))

    @contextmanager
    def _within(self, limits: dict[str, int]) -> Iterator[None]:
        with self._guard:
            if any(self._taken[what] >= most for what, most in limits.items()):
                raise busy("too many logins are being checked", 1)
            self._taken.update(limits.keys())
        try:
            yield
        finally:
            with self._guard:
                self._taken.subtract(limits.keys())
                self._taken = +self._taken


class OneAtATime:
    """A lock over all workers of this machine, for what takes a whole core. Made before the workers fork.

    It is a POSIX lock on a file without a name, which a process that dies lets go.
    """

    def __init__(self) -> None:
        self._fd, path = tempfile.mkstemp(prefix="zot-")
        os.unlink(path)
        weakref.finalize(self, os.close, self._fd)
        self._thread = threading.Lock()

    def __enter__(self) -> None:
        self._thread.acquire()
        fcntl.lockf(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN)
        self._thread.release()


class FailDelay:
    """Lets a failed login wait, while few do; the others are told at once to come later, so that threads stay free."""

    def __init__(self, seconds: float, places: int) -> None:
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(max(places, 1))

    def wait(self) -> None:
        """Wait. Raises `TooManyRequests` if too many wait already."""
        if not self._seconds:
            return
        if not self._places.acquire(blocking=False):
            raise busy("too many logins failed", math.ceil(self._seconds))
        try:
            time.sleep(self._seconds)
        finally:
            self._places.release()


def network(address: str) -> str:
    """Return what is counted for an address: with IPv6 a client has a whole network of 64 bits to choose from."""
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    # All of IPv4 would be one network otherwise.
    return str(found.ipv4_mapped or int(found) >> 64)


def busy(reason: str, seconds: int) -> TooManyRequests:
    """Return the answer to who is to come later, and when."""
    return TooManyRequests(reason, "wait a little, then try again", headers={"Retry-After": str(seconds)})
