"""The leader process: one per store, started and watched by the server's master.

    python -m zot.jobs.leader --parent PID < configuration.json

It waits for the leader's lock of the store, which another server on the same store may hold, and then keeps the
projection up until it is told to stop (SIGTERM) or its parent is gone. Before it ends it projects what is still dirty.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType

from zot.config import Config
from zot.logs import configure
from zot.registry import layout
from zot.registry.opening import open_stores
from zot.registry.store import Store
from zot.storage.protocol import StorageError

log = logging.getLogger(__name__)

LOCK = "leader"
_PAUSE = 1.0
# Projecting takes at most a twentieth of one core: after a pass the leader rests for 19 times as long.
_REST = 19


class Leader:
    """Projects one store, pass after pass."""

    def __init__(self, store: Store, parent: int) -> None:
        self._store = store
        self._parent = parent
        self._known = layout.remember()
        self._stopping = False
        self._waiting = False

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """End what waits now; a pass under way goes on to its end, and one more follows."""
        self._stopping = True
        if self._waiting:
            self._waiting = False
            raise _Stop

    def run(self) -> None:
        """Lead until told to stop, or until the parent is gone."""
        with ExitStack() as held:
            try:
                self._waiting = True
                held.enter_context(self._store.storage.lock(LOCK, shared=False))
                self._waiting = False
            except _Stop:
                return
            while not self._stopping and os.getppid() == self._parent:
                begun = time.monotonic()
                self.project_dirty()
                self._pause(max(_PAUSE, _REST * (time.monotonic() - begun)))
            self.project_dirty()

    def _pause(self, seconds: float) -> None:
        try:
            self._waiting = not self._stopping
            if self._waiting:
                time.sleep(seconds)
            self._waiting = False
        except _Stop:
            log.debug("stopping")

    def project_dirty(self) -> None:
        """Project every repository that changed; one that fails is tried again with the next pass."""
        try:
            for name in layout.dirty(self._store):
                layout.project(self._store, name, self._known)
        except StorageError as error:
            log.error("index.json can't be written now: %s", error)


class _Stop(BaseException):
    """Raised in the main thread by the signal handler; a `BaseException` as KeyboardInterrupt is."""


def main(arguments: list[str]) -> int:
    """Read the configuration from standard input and lead."""
    parser = argparse.ArgumentParser(prog="zot.jobs.leader")
    parser.add_argument("--parent", type=int, required=True)
    parent = parser.parse_args(arguments).parent
    config = Config.model_validate_json(sys.stdin.read())
    configure(config.log.level, config.log.output)
    leader = Leader(open_stores(config).default, parent)
    signal.signal(signal.SIGTERM, leader.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leader.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
