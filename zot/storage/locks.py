"""Locks over all processes that use one directory: flocks on a fixed set of files.

A flock belongs to an open file and ends with its process, so nothing is left behind by a crash. The files are never
renamed or removed: a flock on a file that lost its name guards nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from zot.storage.disk import TranslatedErrors

STRIPES = 256


class FileLocks:
    """Named locks. A name is `kind` or `kind/member`; members of one kind share 256 files by their hash.

    Taking one raises the storage protocol's errors, by `errors`; what is done under a lock is not its affair.
    """

    def __init__(self, directory: str, errors: TranslatedErrors) -> None:
        self._directory = directory
        self._errors = errors

    @contextmanager
    def hold(self, name: str, *, shared: bool) -> Iterator[None]:
        """Hold a lock, shared or exclusive.

        Everybody passes a gate first. Whoever wants the lock exclusively waits for it with the gate closed, so a stream
        of shared holders can't starve it.
        """
        path = self._path(name)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        gate = self._take(f"{path}.gate", mode)
        try:
            held = self._take(path, mode)
        finally:
            os.close(gate)
        try:
            yield
        finally:
            os.close(held)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a lock that is never shared, and so needs no gate."""
        held = self._take(self._path(name), fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(held)

    def _path(self, name: str) -> str:
        kind, _, member = name.partition("/")
        if not member:
            return f"{self._directory}/{kind}"
        return f"{self._directory}/{kind}-{crc32(member.encode()) % STRIPES:02x}"

    def _take(self, path: str, mode: int) -> int:
        with self._errors:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, mode)
            except BaseException:
                os.close(fd)
                raise
            return fd
