"""A garbage collection that never pauses, and is killed now and then: `python -m scripts.history.collecting CONFIG`."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, product
from pathlib import Path

from scripts.history.recorder import Violation
from tests.servers import REPOSITORY, Server, environment, workers
from zot.config import load
from zot.gc import passes, removing
from zot.jobs import kinds
from zot.jobs.lease import HeldError
from zot.jobs.records import Record
from zot.jobs.running import Run, run
from zot.logs import configure
from zot.registry.opening import open_stores

# A process collects for so long, in seconds, before it is killed.
_LIVES = (2.0, 20.0)


def main(config: str) -> None:
    """Collect in all stores, again and again: where something changed, which needs less reading, and everywhere."""
    loaded = load(config)
    configure("error", "")
    removals = logging.getLogger(removing.__name__)
    removals.setLevel(logging.DEBUG)
    removals.addHandler(logging.FileHandler(_log(Path(config))))
    removals.propagate = False
    stores = [store for _, store in open_stores(loaded).by_route()]
    print("collecting", flush=True)
    for store, collect in cycle(product(stores, (_changed, kinds.collect_all))):
        with suppress(HeldError):
            run(store, Record("gc", "hand"), collect)


def _log(config: Path) -> Path:
    """Return where each removal leaves a line, as the record of a run that is killed tells of few."""
    return config.with_name("removals")


def _changed(run: Run) -> None:
    passes.over_changed(run.store, kinds.settings_of(run), run)


@contextmanager
def collecting(config: Path, servers: Sequence[Server]) -> Iterator[Callable[[], str]]:
    """Keep such a process running and kill it every few seconds, and a worker of one of the servers with it.

    Yields a function that says what was done, and raises `Violation` if nothing was removed: then nothing was tried.
    """
    ended = threading.Event()
    killed = [0]

    def keep() -> None:
        chance = random.Random(1)  # noqa: S311
        while not ended.is_set():
            command = [sys.executable, "-m", "scripts.history.collecting", str(config)]
            process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE)
            assert process.stdout is not None
            try:
                process.stdout.readline()
                if not ended.wait(chance.uniform(*_LIVES)):
                    killed[0] += 1
                    with suppress(ProcessLookupError, IndexError):
                        os.kill(chance.choice(workers(chance.choice(servers))), signal.SIGKILL)
            finally:
                process.send_signal(signal.SIGKILL)
                process.communicate()

    def said() -> str:
        removed = Counter(_log(config).read_text().splitlines())
        if not removed:
            raise Violation("the collections have removed nothing: the histories prove little")
        return f"the collections have {dict(removed)}; {killed[0]} and as many workers were killed\n"

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
