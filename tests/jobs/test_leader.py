"""The leader before the store is its own: what it does when it is told to end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.servers import PATIENCE
from zot.jobs import leader
from zot.jobs.duties import Duty
from zot.jobs.leader import LOCK, Leader
from zot.storage.filesystem import Filesystem


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a leader take signals in this process, and wait shortly."""
    monkeypatch.setattr(leader, "_LAST_TRY", 0.05)
    taken = (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in taken]
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def disk(tmp_path: Path) -> Filesystem:
    """A store."""
    disk = Filesystem(str(tmp_path), private="private", commit=False)
    disk.start()
    return disk


def test_told_to_end_long_before_it_waits(disk: Filesystem) -> None:
    """A leader that was told to end while it was busy does not wait for a lock that another server keeps."""

    def lead() -> AbstractContextManager[list[Duty]]:
        raise AssertionError("it waited until the lock was free")

    told = Leader(disk, os.getppid())
    with ExitStack() as other:
        other.enter_context(disk.lock(LOCK, shared=False))
        too_late = threading.Timer(PATIENCE, other.close)
        too_late.start()
        try:
            told.take_signals()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
            told.run(lead)
        finally:
            too_late.cancel()
