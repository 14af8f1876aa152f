"""Noting on a file what it was when the store finished it, and when somebody last cared for it.

So a change shows before the file is served. The note is an extended attribute with size, mtime and that time: it costs
no sync and no inode of its own, goes with the file under all its names, and stays when another program writes into the
file. The time is not the ctime, since that is renewed under all names when one of them is removed. Where a file system
has no such attributes, or a file came from elsewhere, there is no note: nothing is suspected, and the ctime counts.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress

_NAME = "user.zot.stamp"
_SECOND_NS = 1_000_000_000
_STEP = 0.05
_COARSE_STEP = 2.5
_SUPPORTED = hasattr(os, "setxattr")
_NO_NOTE = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES})


def stamp(fd: int) -> None:
    """Note size and time of an open file, and that it is cared for now."""
    if _SUPPORTED:
        # Without a note the file is served all the same, and only a scrub would find damage.
        with suppress(OSError):
            os.setxattr(fd, _NAME, _describe(os.fstat(fd)) + _now())


def is_suspect(file: int | str, found: os.stat_result) -> bool:
    """Tell whether a file, given by descriptor or path, differs from its note."""
    with suppress(OSError):
        return examine(file, found)[1]
    return False


def examine(file: int | str, found: os.stat_result) -> tuple[float, bool]:
    """Return when somebody last cared for a file, in seconds since 1970, and whether it differs from its note.

    Raises `OSError` if there may be a note that can't be read: what it says of the time must not be guessed.
    """
    described, noted = _parse(_read(file))
    return found.st_ctime if noted is None else noted, described not in (None, _describe(found))


def latest_care(found: os.stat_result) -> float:
    """Return a time, in seconds since 1970, after which nobody has cared for a file, without a look at its note.

    Whoever writes a note renews the ctime, so if somebody cares for the file after that time, a later look returns a
    later one. It also does when a name of the file comes or goes; what the note says is then the same.
    """
    return found.st_ctime + step(found.st_ctime_ns)


def step(time_ns: int) -> float:
    """Return the seconds within which two changes of a file may have this same time.

    They move in steps: of the kernel's clock tick (up to 10 ms), or of one or two seconds on file systems that keep
    whole seconds.
    """
    return _STEP if time_ns % _SECOND_NS else _COARSE_STEP


def renew(path: str) -> None:
    """Note that a file is cared for now; its mtime stays. Without a note the ctime is renewed."""
    note = _read(path)
    if note is not None:
        try:
            os.setxattr(path, _NAME, b" ".join(note.split()[:2]) + _now())
        except OSError:
            # There is no room for it. Its time would be too old, so it has to go.
            os.removexattr(path, _NAME)
        else:
            return
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))


def _read(file: int | str) -> bytes | None:
    if not _SUPPORTED:
        return None
    try:
        return os.getxattr(file, _NAME)
    except OSError as error:
        if error.errno in _NO_NOTE:
            return None
        raise


def _parse(note: bytes | None) -> tuple[bytes | None, float | None]:
    """Return what a note says of size and mtime, and of the time in seconds since 1970; None for what it does not say.

    Some are from before the time was noted. Others nobody wrote who keeps to this: they fit no file.
    """
    described, _, noted = (note or b"").rpartition(b" ")
    if b" " in described and noted.isdigit():
        return described, int(noted) / 1e9
    return note, None


def _describe(found: os.stat_result) -> bytes:
    return b"%d %d" % (found.st_size, found.st_mtime_ns)


def _now() -> bytes:
    """Return the time, of a fixed width, so that renewing it needs no more room."""
    return b" %020d" % time.time_ns()
