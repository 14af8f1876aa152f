"""One core for each worker, and all of them for whoever moves much data.

Python runs one thread of a process at a time. When a request goes from the poll loop to a thread and back, a kernel
that wakes each of them on another core makes both wait for the lock and for the cache: measured on two cores, one
worker served 1,960 small requests a second at 600 µs of processor time each, and 4,250 at 236 µs when it stayed on one.

A thread that copies megabytes does so without Python's lock, and would only wait behind others on that core; it may
leave it for as long. What only computes, and for long, goes aside, where it takes what requests leave.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_HAS_AFFINITY = hasattr(os, "sched_setaffinity")
# Those of the program that imports this, before any of its processes is pinned.
_ALLOWED = os.sched_getaffinity(0) if _HAS_AFFINITY else frozenset[int]()
# Against others that want the same core, a thread aside gets a quarter of it: one check of a password after the other
# takes little from requests, and none takes so long that a login seems to hang.
_ASIDE = 5
# Below this a transfer is over before another core would help.
LARGE = 1024 * 1024


class Cores:
    """The cores that this program may use; made before anything is pinned."""

    def __init__(self) -> None:
        self._all = frozenset(os.sched_getaffinity(0)) if _HAS_AFFINITY else frozenset()

    def pin(self, number: int) -> None:
        """Keep this thread, and the threads that it starts, on one core."""
        if self._all:
            # The parent's number spreads several servers on one machine over its cores.
            chosen = sorted(self._all)[(number + os.getppid()) % len(self._all)]
            os.sched_setaffinity(0, {chosen})

    def roam(self) -> Callable[[], None]:
        """Let this thread use all cores; call what is returned, in this thread, to bring it back."""
        if not self._all:
            return lambda: None
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._all)
        return lambda: os.sched_setaffinity(0, before)

    def roaming(self, pieces: Iterator[T], length: int | None) -> Generator[T, None, None]:
        """Yield pieces of so many bytes in all, or of nobody knows how many, and roam meanwhile if that is much."""
        if length is not None and length < LARGE:
            yield from pieces
            return
        come_back = self.roam()
        try:
            yield from pieces
        finally:
            come_back()


def aside(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what a function does that keeps a core busy for long, without Python's lock.

    It runs in a thread of its own, as a low priority can't be taken back, and on whichever core has room: beside the
    requests of its worker it would halve their rate.
    """
    with ThreadPoolExecutor(1, "aside", _step_aside) as thread:
        return thread.submit(function, *arguments, **named).result()


def _step_aside() -> None:
    if _HAS_AFFINITY:
        # On Linux both are of the calling thread alone.
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + _ASIDE)
        os.sched_setaffinity(0, _ALLOWED)
