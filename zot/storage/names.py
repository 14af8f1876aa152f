"""Sorted names of directories, remembered while a directory does not change."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict

# A directory's mtime moves in steps of the kernel's clock tick (up to 10 ms). A list that was read less than this after
# the last change may miss a name that came within the same tick.
_SETTLED_NS = 50_000_000
_MOST_NAMES = 500_000


class NameCache:
    """Lists directories. Bounded by the number of names it remembers; shared by the threads of one process."""

    def __init__(self) -> None:
        self._lists: OrderedDict[str, tuple[int, list[str]]] = OrderedDict()
        self._names = 0
        self._guard = threading.Lock()

    def names(self, directory: str) -> list[str]:
        """Return the names in the directory in byte order; empty if there is no such directory. Not to be changed."""
        try:
            changed = os.stat(directory).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return []
        with self._guard:
            known = self._lists.get(directory)
            if known is not None and known[0] == changed:
                self._lists.move_to_end(directory)
                return known[1]
        try:
            names = sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        if time.time_ns() - changed > _SETTLED_NS:
            self._remember(directory, changed, names)
        return names

    def _remember(self, directory: str, changed: int, names: list[str]) -> None:
        with self._guard:
            old = self._lists.pop(directory, None)
            self._names += len(names) - (len(old[1]) if old else 0)
            self._lists[directory] = (changed, names)
            while self._names > _MOST_NAMES and len(self._lists) > 1:
                _, (_, dropped) = self._lists.popitem(last=False)
                self._names -= len(dropped)
