"""The leader process: one per store, started and watched by the server's master.

    python -m zot.jobs.leader --parent PID --shared DIRECTORY [--store ROUTE] < configuration.json

It waits for the leader's lock of the store, which another server on the same store may hold, and then sees to its
duties until it is told to stop (SIGTERM) or its parent is gone.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType

from zot.config import Config
from zot.errors import StartupError
from zot.jobs import duties
from zot.jobs.duties import Duty
from zot.jobs.scheduler import SHORTEST_SCRUB, Scheduler, Timing
from zot.jobs.slots import Slots
from zot.logs import configure
from zot.registry.opening import open_stores
from zot.storage.protocol import Lapsed, Storage, StorageError, Unavailable

log = logging.getLogger(__name__)

LOCK = "leader"
# Who is told to end before the lock is its own waits for so many seconds more: if it is free, there is a last pass.
_LAST_TRY = 1.0
# A duty takes at most a twentieth of one core: it is done again after 19 times as long as it took, or after a minute.
_REST = 19
_LONGEST_REST = 60.0
_RETRY = 5.0
# How often it looks whether its parent is still there.
_LOOK = 1.0


class Leader:
    """Sees to the duties of one store, one after the other."""

    def __init__(self, storage: Storage, parent: int) -> None:
        self._storage = storage
        self._parent = parent
        self._pausing = False
        self._waiting = False
        self.is_stopping = False

    def take_signals(self) -> None:
        """Take signals from now on; those that whoever starts a leader blocks in it, also if they came before."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGALRM, self._give_up)
        # Whoever sends these to all processes means the master.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        """End a pause now, and waiting for the lock soon; a duty under way is finished."""
        self.is_stopping = True
        # Again and again, as the wait may begin after the first time.
        signal.setitimer(signal.ITIMER_REAL, _LAST_TRY, _LAST_TRY)
        if self._pausing:
            self._pausing = False
            raise _Stop

    def _give_up(self, _signal: int, _frame: FrameType | None) -> None:
        if self._waiting:
            self._waiting = False
            raise _Stop

    def run(self, take_up: Callable[[], AbstractContextManager[list[Duty]]]) -> None:
        """Lead until told to stop, or until the parent is gone; `take_up` is entered when the store is ours to lead.

        Also one that is told to stop before that does what is to be done at the end, if nobody else leads the store.
        """
        with ExitStack() as held:
            if not self._take_lock(held):
                return
            due = dict.fromkeys(held.enter_context(take_up()), 0.0)
            while self.goes_on():
                for duty in [duty for duty, when in due.items() if when <= time.monotonic()]:
                    if self.goes_on():
                        due[duty] = _do(duty)
                self._pause(min(_LOOK, min(due.values()) - time.monotonic()))

    def _take_lock(self, held: ExitStack) -> bool:
        """Wait for the lock for as long as it takes; false if told to stop meanwhile."""
        try:
            while not self._try_lock(held):
                self._pause(_RETRY)
                if not self.goes_on():
                    return False
        except _Stop:
            log.debug("stopping")
            return False
        return True

    def _try_lock(self, held: ExitStack) -> bool:
        try:
            self._waiting = True
            held.enter_context(self._storage.lock(LOCK, shared=False))
        except Unavailable as error:
            log.debug("the store is not ours to lead yet: %s", error)
            return False
        finally:
            self._waiting = False
        return True

    def goes_on(self) -> bool:
        """Tell whether nobody wants the leader to end, and its server is there."""
        return not self.is_stopping and os.getppid() == self._parent

    def _pause(self, seconds: float) -> None:
        try:
            self._pausing = not self.is_stopping
            if self._pausing:
                time.sleep(max(seconds, 0.0))
            self._pausing = False
        except _Stop:
            log.debug("stopping")


def _do(duty: Duty) -> float:
    """Do a duty; one that the storage fails is done again when it is due. Returns when that is, on the steady clock."""
    begun = time.monotonic()
    duties.attempt(duty.work)
    ended = time.monotonic()
    return ended + max(duty.pace, min(_REST * (ended - begun), _LONGEST_REST))


def timings(config: Config, route: str) -> list[Timing]:
    """Return when the jobs of a store run."""
    options = config.storage.at(route)
    found = []
    if options.gc:
        found.append(Timing("gc", options.gc_interval.total_seconds(), options.gc_time_window))
    scrub = config.extensions.scrub
    if scrub is not None and scrub.enable:
        found.append(Timing("scrub", max(scrub.interval.total_seconds(), SHORTEST_SCRUB)))
    return found


class _Stop(BaseException):
    """Raised in the main thread by the signal handler; a `BaseException` as KeyboardInterrupt is."""


def main(arguments: list[str]) -> int:
    """Read the configuration from standard input and lead."""
    parser = argparse.ArgumentParser(prog="zot.jobs.leader")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--shared", required=True, metavar="DIRECTORY", help="what the server's processes share")
    parser.add_argument("--store", default="/", metavar="ROUTE", help="lead the store of this sub-path")
    options = parser.parse_args(arguments)
    config = Config.from_json(sys.stdin.read())
    configure(config.log.level, config.log.output, config.log.audit, by="leader")
    try:
        stores = open_stores(config)
        storage = stores.at(options.store).storage
    except StartupError as error:
        log.error("the store can't be led: %s", error)
        return 1
    leader = Leader(storage, options.parent)
    leader.take_signals()
    slots = Slots(options.shared, config.scheduler.num_workers)
    scheduler = Scheduler(storage, options.store, config.to_json(), timings(config, options.store), slots)

    @contextmanager
    def take_up() -> Iterator[list[Duty]]:
        if leader.goes_on():
            scheduler.start()
        measured = options.shared if config.extensions.shows_metrics else None
        with duties.taken_up(stores, options.store, lambda: not leader.goes_on(), measured) as own:
            yield [*own, Duty(scheduler.look_after, pace=1)]
            # What a job has changed up to its end is in the last pass, too.
            scheduler.stop()

    try:
        leader.run(take_up)
    except (Lapsed, StorageError) as error:
        log.error("the store is led no longer: %s", error)
        return 1
    finally:
        scheduler.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
