"""Several requests at a time: a bucket answers each after a while, and many in that while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# So many threads, and so many items for them.
_AT_ONCE = 16
_TOGETHER = 4 * _AT_ONCE

T = TypeVar("T")
R = TypeVar("R")


def together(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Do the work for each item in threads, and yield the results in order.

    Items are taken some sixty at a time, when the results before them were. What raises, work or items, does so when
    all that was begun is done.
    """
    for some in _batches(items):
        if len(some) == 1:
            yield work(some[0])
            continue
        # Threads are made anew each time, as none may be there when a process is forked; a request takes far longer.
        with ThreadPoolExecutor(min(len(some), _AT_ONCE)) as threads:
            done = [threads.submit(work, item) for item in some]
        yield from (one.result() for one in done)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of items; what had come before an exception is not lost by it."""
    some: list[T] = []
    try:
        for item in items:
            some.append(item)
            if len(some) == _TOGETHER:
                yield some
                some = []
    except Exception:
        if some:
            yield some
        raise
    if some:
        yield some
