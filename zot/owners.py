"""Who owns something that is kept in a store, so that another process of the same machine can tell that the owner died.

A process is known by the boot of its machine, the space in which process numbers are given (containers have their own),
its number, and when it began, so that it is not mistaken for a later one of that number.

What lies on a disk belongs to a user of the machine as well, see `foreign_owner`.
"""

from __future__ import annotations

import os
import pwd
from functools import cache
from hashlib import sha256

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def me() -> str:
    """Return the name of this process: letters, digits and dashes, the same until it ends."""
    process = os.getpid()
    return f"{_space()}-{process}-{_began(process)}"


def is_gone(owner: str) -> bool:
    """Tell whether an owner was a process of this machine that has ended; false for those of other machines."""
    return _of_this_machine(owner) is False


def is_here(owner: str) -> bool:
    """Tell whether an owner is a process of this machine that goes on."""
    return bool(_of_this_machine(owner))


def foreign_owner(directory: str) -> str | None:
    """Return whom a directory belongs to, if that is another user, and this one may not write there; None otherwise.

    The name is the number where the user has none. Raises `OSError` if there is no directory to be seen.
    """
    uid = os.stat(directory).st_uid
    if uid == os.geteuid() or os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _of_this_machine(owner: str) -> bool | None:
    """Tell whether an owner goes on; None if it is not known to be a process of this machine."""
    space, _, process = owner.partition("-")
    number, _, began = process.partition("-")
    if not space or space != _space() or not (number.isdigit() and began):
        return None
    return _began(int(number)) == began


@cache
def _space() -> str:
    """Return what distinguishes this space of process numbers from all others; empty where that can't be known."""
    try:
        with open(_BOOT_ID) as file:
            boot = file.read().strip()
        return sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:16]
    except OSError:
        return ""


def _began(process: int) -> str:
    """Return when a process began, in the kernel's ticks; empty if there is none, or only what is left of one."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
