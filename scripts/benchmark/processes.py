"""What the kernel knows of a server's processes: processor time and memory of the whole tree."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_QUIET = 1.25
_RESTLESS = 0.04
_LONGEST_REST = 30.0


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    try:
        tasks = [path.name for path in Path(f"/proc/{pid}/task").iterdir()]
        children = [
            int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        ]
    except OSError:
        return [pid]
    return [pid, *(below for child in children for below in tree(child))]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of the tree so far, user and system, also of children that ended and were waited for.

    Read from each process's clock, which counts nanoseconds, where /proc/PID/stat has hundredths of a second; of
    children that ended, stat is all there is.
    """
    return sum(_clock(one) + _reaped(one) for one in tree(pid))


def _clock(pid: int) -> float:
    """Return the time of all threads of a process; the number of its clock is made as clock_getcpuclockid(3) does."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _reaped(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / _TICK


def settle(pid: int) -> None:
    """Wait until a tree has done what it put off: until it used under 4% of a core for 1.25 s; 30 s at most."""
    end = time.monotonic() + _LONGEST_REST
    quiet_since, before = time.monotonic(), cpu_seconds(pid)
    while time.monotonic() < end:
        time.sleep(0.25)
        now = cpu_seconds(pid)
        if now - before > 0.25 * _RESTLESS:
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since >= _QUIET:
            return
        before = now
    print(f"process {pid} did not come to rest within {_LONGEST_REST:.0f} s", file=sys.stderr)


def resident(pid: int) -> int:
    """Return the resident memory of one process in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def proportional(pid: int) -> int:
    """Return a process's memory in bytes, with its share only of what it has in common with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass
class Memory:
    """The most resident memory that each process of a tree had, in bytes, and the proportional memory of the tree."""

    peaks: dict[int, int] = field(default_factory=dict)
    proportional: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        """Look at once and then every 20 ms until done; look for new processes every half second."""
        look, members = 0, tree(pid)
        while True:
            for one in members:
                self.peaks[one] = max(self.peaks.get(one, 0), resident(one))
            if self.done.wait(0.02):
                return
            look += 1
            if look % 25 == 0:
                members = tree(pid)


@contextmanager
def watched(pid: int) -> Iterator[Memory]:
    """Watch the memory of a tree meanwhile."""
    memory = Memory()
    thread = threading.Thread(target=memory.watch, args=(pid,), daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        memory.done.set()
        thread.join()
        memory.proportional = sum(proportional(one) for one in tree(pid))


def end(pid: int, members: list[int]) -> None:
    """Kill what is left of a tree that was asked to end: of its members, those that are still of its group."""
    for one in members:
        with suppress(OSError):
            if os.getpgid(one) == pid:
                os.kill(one, signal.SIGKILL)
