"""Leases: who may do a job now. Kept in the store, so that one is enough for all servers that use it.

A lease is renewed every few seconds. Whether a holder on this machine goes on can be seen. If it is on another machine,
whoever wants the lease watches whether it is renewed, by a steady clock: the clocks of machines differ, and jump. The
holder stops a while before others may go on, and asks before each step; its number grows with each holder.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zot import owners
from zot.registry import paths
from zot.storage.protocol import NotFound, Storage, StorageError

log = logging.getLogger(__name__)

# Seconds: how long a lease lasts when it is not renewed, how often it is, how long before its end its holder stops, and
# how often somebody who waits for its end looks.
LASTS = 60.0
_BEAT = 15.0
_MARGIN = 15.0
_WATCHED = 1.0


class HeldError(Exception):
    """Somebody else does this now; the message says who."""


class LostError(Exception):
    """The lease could not be renewed in time, so that another process may go on from here."""


class Lease:
    """A lease that this process holds."""

    def __init__(self, storage: Storage, key: str, number: int) -> None:
        self._storage = storage
        self._key = key
        self.number = number
        self._good_until = time.monotonic() + LASTS - _MARGIN
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `LostError` if the lease is not surely ours any more."""
        if time.monotonic() > self._good_until:
            raise LostError("the lease on this job ran out, as the store could not be written to")

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            begun = time.monotonic()
            try:
                self._storage.update(self._key, self._renewed)
            except StorageError as error:
                log.warning("the lease on a job is not renewed: %s", error)
            except LostError:
                self._good_until = 0.0
                return
            else:
                self._good_until = begun + LASTS - _MARGIN

    def _renewed(self, before: bytes | None) -> bytes:
        known = _decode(before)
        if not self._is_ours(known):
            raise LostError("another process has taken the lease")
        return _encode({**known, "until": time.time() + LASTS})

    def _is_ours(self, known: dict[str, Any]) -> bool:
        return (known.get("number"), known.get("owner")) == (self.number, owners.me())

    def release(self) -> None:
        """Let others have it, unless one of them has it already."""
        self._ended.set()
        self._thread.join()
        try:
            self._storage.update(self._key, self._given_back)
        except StorageError as error:
            log.warning("a lease runs out by itself, as it can't be given back: %s", error)

    def _given_back(self, before: bytes | None) -> bytes:
        known = _decode(before)
        return _encode({**known, "until": 0.0} if self._is_ours(known) else known)


@contextmanager
def take(storage: Storage, name: str, stopping: Callable[[], bool] = lambda: False) -> Iterator[Lease]:
    """Hold the lease of a name. Raises `HeldError` if somebody else does, or may do when `stopping`.

    It may take as long as a lease lasts to tell that a holder on another machine is gone.
    """
    key = f"{paths.JOBS}/leases/{name}"
    seen = _read(storage, key)
    if _is_held(storage, key, seen, stopping):
        raise HeldError(f"{name} is being done already, by process {seen['process']} on {seen['host']}")

    def change(before: bytes | None) -> bytes:
        known = _decode(before)
        if known.get("number", 0) != seen.get("number", 0) or known.get("until", 0.0) != seen.get("until", 0.0):
            raise HeldError(f"{name} was just begun by another process")
        return _encode({**_me(), "number": known.get("number", 0) + 1, "until": time.time() + LASTS})

    storage.update(key, change, new_directory=True)
    lease = Lease(storage, key, seen.get("number", 0) + 1)
    try:
        yield lease
    finally:
        lease.release()


def _is_held(storage: Storage, key: str, seen: dict[str, Any], stopping: Callable[[], bool]) -> bool:
    """Tell whether somebody has a lease, watching it if that can't be told at once."""
    owner = seen.get("owner", "")
    if not seen.get("until") or owners.is_gone(owner):
        return False
    begun = time.monotonic()
    while not (owners.is_here(owner) or stopping()):
        time.sleep(_WATCHED)
        if _read(storage, key) != seen:
            return True
        if time.monotonic() - begun > LASTS:
            return False
    return True


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "process": os.getpid(), "owner": owners.me()}


def _read(storage: Storage, key: str) -> dict[str, Any]:
    try:
        return _decode(storage.read(key))
    except NotFound:
        return {}


def _decode(document: bytes | None) -> dict[str, Any]:
    """Read a lease; one that is damaged is nobody's."""
    try:
        found = json.loads(document or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
