"""Whether this machine's clock can be trusted to say how old a tag is."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from zot.registry import paths
from zot.registry.changes import DAMAGED
from zot.storage.protocol import NotFound, Storage

_KEY = f"{paths.JOBS}/clock"
# A clock that moved by more than this, in seconds, beside the steady one has jumped, and is not trusted for a day.
_JUMP = 3600.0
_SUSPENDED = 24 * 3600.0
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Reading(NamedTuple):
    """What the clocks showed: the wall's, in seconds since 1970, and the steady one of this boot of the machine."""

    wall: float
    steady: float
    boot: str


def read() -> Reading:
    """Read the clocks now."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    steady = time.monotonic() if clock is None else time.clock_gettime(clock)
    try:
        with open(_BOOT_ID) as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return Reading(time.time(), steady, boot)


def suspicion(storage: Storage, now: Reading) -> str:
    """Return why no tag may be deleted now, or an empty text, and remember this reading for the next time."""
    before, suspended_until = _remembered(storage)
    if before is not None and (jump := _jump(before, now)):
        suspended_until = now.wall + _SUSPENDED
        why = f"suspended, as the clock has jumped by {jump / 3600:.1f} hours"
    elif now.wall < suspended_until:
        why = (
            f"suspended, as the clock has jumped; tags are deleted again in {(suspended_until - now.wall) / 3600:.1f} h"
        )
    else:
        why = ""
    storage.write(_KEY, json.dumps({**now._asdict(), "suspendedUntil": suspended_until}).encode())
    return why


def _jump(before: Reading, now: Reading) -> float:
    """Return by how many seconds the wall clock has jumped; 0 if it has not, or nobody can know."""
    moved = now.wall - before.wall
    if before.boot == now.boot and now.steady >= before.steady:
        moved -= now.steady - before.steady
    elif moved > 0:
        # The machine was off, or another one has done this meanwhile: time may well have passed.
        return 0.0
    return moved if abs(moved) > _JUMP else 0.0


def _remembered(storage: Storage) -> tuple[Reading | None, float]:
    try:
        known = json.loads(storage.read(_KEY))
        before = Reading(float(known["wall"]), float(known["steady"]), str(known["boot"]))
        return before, float(known["suspendedUntil"])
    except (NotFound, *DAMAGED):
        return None, 0.0
