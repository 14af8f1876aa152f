"""What tells that a file has changed."""

from __future__ import annotations

import os


def stamp(file: str) -> object:
    """Return what is another when the file's content is, also when a symbolic link on the way leads elsewhere."""
    try:
        found = os.stat(file)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size
