"""Hashing much content without being in anybody's way, and none of it twice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry.caches import Recent
from zot.storage.protocol import Content, Damaged

_PIECE = 1024 * 1024
_REMEMBERED = 300_000


class UnreadableError(Exception):
    """The disk does not give some content back; the message says why."""


class Hashing:
    """Hashes at most so many bytes a second, 0 for any number, and remembers which files it found to be right.

    Files that repositories share are so read once.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._right: Recent[tuple[int, int, int], Digest] = Recent(_REMEMBERED)

    def check(self, content: Content, digest: Digest, go_on: Callable[[], None]) -> tuple[int, bool]:
        """Close some content after reading it; return the bytes that were read, and whether it is what it should be.

        Raises `UnreadableError`.
        """
        with content.file:
            identity = _identity(content)
            if identity is not None and self._right.get(identity) == digest:
                return 0, True
            try:
                size, is_right = self._read(content, digest, go_on)
            except Damaged:
                return 0, False
            except OSError as error:
                raise UnreadableError(os.strerror(error.errno or 0)) from error
        if is_right and identity is not None:
            self._right.keep(identity, digest)
        return size, is_right

    def _read(self, content: Content, digest: Digest, go_on: Callable[[], None]) -> tuple[int, bool]:
        running, size, begun = digests.hasher(digest.algorithm), 0, time.monotonic()
        while piece := content.file.read(_PIECE):
            running.update(piece)
            size += len(piece)
            if self._rate:
                ahead = size / self._rate - (time.monotonic() - begun)
                if ahead > 0:
                    go_on()
                    time.sleep(ahead)
        return size, running.hexdigest() == digest.hex


def _identity(content: Content) -> tuple[int, int, int] | None:
    """Return what tells an open file from all others, and from itself after a change; None for what is no file."""
    try:
        found = os.fstat(content.file.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
