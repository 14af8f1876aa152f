"""What the kernel knows of a server's processes: processor time and memory of the whole tree."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


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
    """Return the processor time of the tree so far, user and system, also of children that ended."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15])
    return total / _TICK


def resident(pid: int) -> int:
    """Return the resident memory of one process in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


@dataclass
class Peak:
    """The most memory that any single process of a tree had, in bytes."""

    most: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        """Look every 20 ms until done."""
        while not self.done.wait(0.02):
            self.most = max(self.most, *(resident(one) for one in tree(pid)))


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """Watch the memory of a tree meanwhile."""
    peak = Peak()
    thread = threading.Thread(target=peak.watch, args=(pid,), daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.done.set()
        thread.join()
