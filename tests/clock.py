"""A clock that jumps, for the processes of a server that is started later."""

from __future__ import annotations

from pathlib import Path

import pytest

_JUMPING = """
import sys
import time
real, real_ns, real_monotonic = time.time, time.time_ns, time.monotonic

def offset():
    with open({file!r}) as file:
        return int(file.read())

def monotonic():
    name = sys._getframe(1).f_globals.get("__name__", "")
    return real_monotonic() + (offset() if name.startswith({waiting!r}) else 0)

time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
time.monotonic = monotonic
"""


class JumpingClock:
    """The clock; the file says how many seconds it is from ours."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Be so many seconds from our own clock from now on."""
        beside = self._file.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.replace(self._file)


def jumping_clock(monkeypatch: pytest.MonkeyPatch, directory: Path, waiting: tuple[str, ...] = ()) -> JumpingClock:
    """Let servers that are started from now on have such a clock.

    The clock that measures how long something takes jumps for the packages `waiting` only: others would take a jump for
    a process that hangs.
    """
    file, modules = directory / "clock", directory / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(_JUMPING.format(file=str(file), waiting=waiting))
    monkeypatch.setenv("PYTHONPATH", str(modules))
    return JumpingClock(file)
