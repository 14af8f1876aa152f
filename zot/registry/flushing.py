"""Writing what a worker has gathered, every few seconds, by a thread of its own: no request waits for it."""

from __future__ import annotations

import logging
import threading
import time

from zot.registry import statistics
from zot.registry.stores import Stores
from zot.storage.protocol import StorageError

log = logging.getLogger(__name__)

_PAUSE = 5.0
# Writing takes at most a tenth of the time.
_REST = 9


class Flusher:
    """Writes what the stores of this process gather. To be started after a fork, since threads do not survive one."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write what was gathered; what a store does not take now is kept for the next time."""
        for route, store in self._stores.by_route():
            try:
                store.gathered.flush(store.storage)
            except StorageError as error:
                log.warning("pulls and changes in store %s are not noted yet: %s", route, error)

    def _run(self) -> None:
        self._begin()
        pause = _PAUSE
        while not self._ended.wait(pause):
            begun = time.monotonic()
            self.flush()
            pause = max(_PAUSE, _REST * (time.monotonic() - begun))

    def _begin(self) -> None:
        for route, store in self._stores.by_route():
            try:
                statistics.begin(store.storage)
            except StorageError as error:
                log.warning("it is not noted that pulls are counted in store %s: %s", route, error)
