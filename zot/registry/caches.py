"""What a worker remembers. Nothing here decides anything: each entry is immutable content under its digest."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from zot.oci import digest as digests
from zot.oci.digest import Hasher

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST_RUNNING = 256


class Recent(Generic[K, V]):
    """The most recently used values, bounded by the sum of their weights. Shared by threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value, if it is remembered."""
        with self._guard:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Remember a value, and forget the least recently used ones beyond the limit."""
        if weight > self._limit // 8:
            return
        with self._guard:
            old = self._values.pop(key, None)
            self._weight += weight - (old[1] if old else 0)
            self._values[key] = (value, weight)
            while self._weight > self._limit:
                self._weight -= self._values.popitem(last=False)[1][1]


class RunningHashes:
    """Hashes of uploads under way, by upload and offset.

    A running hash can't be saved, so it stays in the worker that has it. An upload that goes on in another worker, or
    whose hash was crowded out, is read once when it is finished.
    """

    def __init__(self) -> None:
        self._hashes: OrderedDict[str, tuple[int, str, Hasher]] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, upload: str, offset: int, algorithm: str = "sha256") -> tuple[str, Hasher] | None:
        """Return algorithm and hash of an upload's first `offset` bytes, a fresh one at 0; None if it is not here."""
        with self._guard:
            known = self._hashes.pop(upload, None)
        if known is not None and known[0] == offset:
            return known[1], known[2]
        return None if offset else (algorithm, digests.hasher(algorithm))

    def keep(self, upload: str, offset: int, algorithm: str, running: Hasher) -> None:
        """Remember the hash for the upload's next request."""
        with self._guard:
            self._hashes[upload] = (offset, algorithm, running)
            if len(self._hashes) > _MOST_RUNNING:
                self._hashes.popitem(last=False)

    def forget(self, upload: str) -> None:
        """Drop the hash of an upload that ended."""
        with self._guard:
            self._hashes.pop(upload, None)
