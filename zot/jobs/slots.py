"""How many job processes run at a time on a server, over all its stores.

Each place is a file in a directory that the processes of one server share, and a flock on it. A job inherits the lock,
so its place is taken for exactly as long as the process lives, whoever else is killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

_USUAL = 2
_MOST = 256
# Whoever finds no place looks again after so many seconds.
_PAUSE = 0.5


class Slots:
    """So many places for job processes; two if it is 0, and no more than a server ever has use for."""

    def __init__(self, directory: str, count: int) -> None:
        self._files = [f"{directory}/job-{number}" for number in range(min(count, _MOST) or _USUAL)]

    def take(self, wait: Callable[[float], bool]) -> int | None:
        """Return the descriptor of a place, which is ours until it is closed by all who have it.

        While there is none, `wait` is called with a number of seconds; None once it says that nobody wants a place.
        """
        while True:
            for file in self._files:
                fd = _try(file, fcntl.LOCK_EX)
                if fd is not None:
                    return fd
            if wait(_PAUSE):
                return None

    def busy(self) -> int:
        """Return how many places are taken now."""
        # A shared lock hinders only whoever looks in the same moment, and looks again.
        tried = [_try(file, fcntl.LOCK_SH) for file in self._files]
        for fd in tried:
            if fd is not None:
                os.close(fd)
        return tried.count(None)

    def __len__(self) -> int:
        return len(self._files)


def _try(file: str, mode: int) -> int | None:
    """Return a file with a lock on it, or None if somebody else has it."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
