"""Noting on a file what it was when the store finished it, so that a change shows before the file is served.

The note is an extended attribute with size and mtime: it costs no sync and no inode of its own, goes with the file
under all its names, and stays when another program writes into the file. Where a file system has no such attributes, or
a file came from elsewhere, there is no note, and nothing is suspected.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

_NAME = "user.zot.stamp"
_SUPPORTED = hasattr(os, "setxattr")


def stamp(fd: int) -> None:
    """Note size and time of an open file."""
    if _SUPPORTED:
        # Without a note the file is served all the same, and only a scrub would find damage.
        with suppress(OSError):
            os.setxattr(fd, _NAME, _describe(os.fstat(fd)))


def is_suspect(file: int | str, found: os.stat_result) -> bool:
    """Tell whether a file, given by descriptor or path, differs from its note."""
    if not _SUPPORTED:
        return False
    try:
        return os.getxattr(file, _NAME) != _describe(found)
    except OSError:
        return False


def renew(path: str) -> None:
    """Let a file's ctime be now, and its mtime, which the note has, stay."""
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))


def _describe(found: os.stat_result) -> bytes:
    return b"%d %d" % (found.st_size, found.st_mtime_ns)
