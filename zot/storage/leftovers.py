"""What the file system driver may have left lying about: found by a walk, removed if nobody has come back to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from zot.storage.protocol import Leftover


class Leftovers:
    """Looks through the driver's directories below `private`; files that are shared lie below `root`."""

    def __init__(self, root: str, private: str) -> None:
        self._root = root
        self._private = private

    def find(self, before: float, shared: str) -> Iterator[Leftover]:
        """Yield files that nobody has touched since `before`: temporary and damaged ones, and lone masters."""
        for path, found in _files(f"{self._private}/tmp"):
            if found.st_mtime < before:
                yield Leftover("temporary", path, found.st_size, found.st_mtime)
        for path, found in _files(f"{self._private}/damaged"):
            if found.st_ctime < before:
                yield Leftover("damaged", path, found.st_size, found.st_ctime)
        for path, found in _files(f"{self._root}/{shared}"):
            if found.st_nlink == 1 and found.st_ctime < before:
                yield Leftover("shared", path, found.st_size, found.st_ctime)

    def discard(self, leftover: Leftover) -> bool:
        """Unlink the file. One that is linked at this moment keeps its content under its other name."""
        try:
            if leftover.kind == "shared" and os.stat(leftover.name).st_nlink > 1:
                return False
            os.unlink(leftover.name)
        except FileNotFoundError:
            return False
        return True


def _files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the regular files below a directory; what goes meanwhile is passed over."""
    try:
        entries = list(os.scandir(directory))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
            continue
        with suppress(FileNotFoundError):
            yield entry.path, entry.stat(follow_symlinks=False)
