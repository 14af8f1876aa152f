"""One run of a job, in a process of its own that gives way to everything else.

    python -m zot.jobs.run KIND --parent PID [--store ROUTE] < configuration.json

It stops in order when it is told to (SIGTERM) or its parent is gone. Leaves with 0 if it is done, 1 if it failed or was
stopped, 3 if another process does this already.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from zot.config import Config
from zot.errors import StartupError
from zot.jobs import kinds
from zot.jobs.lease import HeldError
from zot.jobs.records import Record
from zot.jobs.running import run
from zot.logs import configure
from zot.registry.opening import open_stores
from zot.storage.linux import give_way
from zot.storage.protocol import StorageError

log = logging.getLogger(__name__)

HELD = 3


class _Stop:
    """Whether this process is to end."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._told = False

    def tell(self, _signal: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        self._told = True

    def __call__(self) -> bool:
        return self._told or os.getppid() != self._parent


def main(arguments: list[str]) -> int:
    """Read the configuration from standard input and do the job."""
    parser = argparse.ArgumentParser(prog="zot.jobs.run")
    parser.add_argument("kind", choices=sorted(kinds.SCHEDULED))
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--store", default="/", metavar="ROUTE")
    options = parser.parse_args(arguments)
    stop = _Stop(options.parent)
    signal.signal(signal.SIGTERM, stop.tell)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    give_way()
    config = Config.from_json(sys.stdin.read())
    configure(config.log.level, config.log.output, config.log.audit, by="schedule")
    try:
        store = open_stores(config).at(options.store)
        record = Record(options.kind, "schedule", store.retention.dry_run)
        done = run(store, record, kinds.SCHEDULED[options.kind], stopping=stop)
    except HeldError as error:
        log.info("%s", error)
        return HELD
    except (StartupError, StorageError) as error:
        log.error("%s can't be done: %s", options.kind, error)
        return 1
    return 0 if done.outcome == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
