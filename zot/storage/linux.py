"""Calls of Linux that Python does not offer, with what stands for them elsewhere."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from contextlib import suppress

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# ioprio_set(2) has no function in the C library, so here is its number; and "best effort, after all others".
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
_THIS_PROCESS = (1, 0)
_AFTER_ALL = (2 << 13) | 7
# This much nicer than servers. With 19 beside busy ones, a job would hold up whoever waits for a lock that it has.
_NICER = 10
_library = ctypes.CDLL(None, use_errno=True)


def sync_filesystem(directory: str) -> None:
    """Write all that is dirty in the file system of a directory, syncfs(2); without that call, of all of them."""
    call = getattr(_library, "syncfs", None)
    if call is None:
        os.sync()
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if call(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), directory)
    finally:
        os.close(fd)


def exchange(one: str, other: str) -> bool:
    """Let two files change names at once, renameat2(2); False where that can't be done."""
    call = getattr(_library, "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), other)


def give_way() -> None:
    """Let other processes go before this one, with the processor and the disk."""
    os.nice(_NICER)
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        _library.syscall(number, *_THIS_PROCESS, _AFTER_ALL)
