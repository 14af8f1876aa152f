"""Sorted names of directories, remembered while a directory does not change."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from zot.storage.stamps import step

# A list that was read within the same step of a directory's mtime as a change may miss a name, and the mtime would not
# tell. So a list is remembered only if it was read when that mtime had been seen for longer than a step before.
_MOST_NAMES = 500_000


class _Seen(NamedTuple):
    """A directory's mtime, since when it is known by the steady clock, and the names, if they can be trusted."""

    changed: int
    since: float
    names: list[str] | None


class NameCache:
    """Lists directories. Bounded by the number of names it remembers; shared by the threads of one process."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._names = 0
        self._guard = threading.Lock()

    def names(self, directory: str) -> list[str]:
        """Return the names in the directory in byte order; empty if there is no such directory. Not to be changed."""
        now = time.monotonic()
        try:
            changed = os.stat(directory).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return []
        with self._guard:
            known = self._seen.get(directory)
            if known is None or known.changed != changed:
                known = _Seen(changed, now, None)
                self._remember(directory, known)
            elif known.names is not None:
                self._seen.move_to_end(directory)
                return known.names
        try:
            names = sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        if now - known.since > step(changed):
            with self._guard:
                self._remember(directory, known._replace(names=names))
        return names

    def _remember(self, directory: str, seen: _Seen) -> None:
        self._names += _weight(seen) - _weight(self._seen.pop(directory, None))
        self._seen[directory] = seen
        while self._names > _MOST_NAMES and len(self._seen) > 1:
            _, dropped = self._seen.popitem(last=False)
            self._names -= _weight(dropped)


def _weight(seen: _Seen | None) -> int:
    return 0 if seen is None else 1 + len(seen.names or ())
