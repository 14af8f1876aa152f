"""Locks over all servers of a bucket, made of small objects.

    locks/<name>/shared-<owner>-<uuid>     one for each shared holder: its intent
    locks/<name>/exclusive                 the mark of the one exclusive holder, made only if there is none

A shared taker puts its intent and then looks for the mark; an exclusive one puts the mark and then looks for intents.
S3 is strongly consistent, so one of them always sees the other, and waits: the shared one takes its intent back and
comes again when the mark is gone, the exclusive one keeps its mark until the intents are gone, so a stream of shared
holders can't starve it. `scripts/lock_model.py` tries all interleavings.

Holders renew what they put. What was not renewed for `VOID_AFTER` seconds, by the server's clock, counts for nothing,
as its owner may have died. An owner that could not renew for `LAPSES_AFTER` seconds, by its own clock, which goes on
while the machine sleeps, changes nothing more and acknowledges nothing; the time in between is longer than any single
request takes. An owner that was a process of this machine, and is seen to be gone, is waited for only as long as its
last request may be under way still.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from zot import owners
from zot.storage.protocol import Lapsed, NotFound, StorageError, Unavailable
from zot.storage.s3.bucket import ABSENT, Bucket, pauses
from zot.storage.s3.client import Conflict

log = logging.getLogger(__name__)

VOID_AFTER = 180.0
LAPSES_AFTER = 90.0
RENEWED_AFTER = 20.0
_LAST_REQUEST = 5.0
# Who waits longer than this is told to come back.
_PATIENCE = 45.0

_INTENT = "shared-"
_OWNER = "zot-owner"
_MOST_GONE = 1000

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since some moment, counting those in which the machine slept."""
    return time.clock_gettime(_CLOCK)


class _Claim:
    """An intent or a mark that is in the bucket. `renewed` is when the request that last wrote it was begun."""

    def __init__(self, key: str, etag: str, renewed: float) -> None:
        self.key = key
        self.etag = etag
        self.renewed = renewed
        self.ended = False
        # Held while it is renewed or removed, so that it is not renewed back into the bucket.
        self.guard = threading.Lock()

    def check(self) -> None:
        """Raise `Lapsed` if others may think by now that its owner is dead."""
        if now() - self.renewed > LAPSES_AFTER:
            raise Lapsed("a lock could not be renewed in time, so nothing more is changed under it")


class Locks:
    """The locks below one prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._renewer = _Renewer(bucket)
        self._held = threading.local()
        self._guard = threading.Lock()
        # When owners were first seen to be gone.
        self._gone: dict[str, float] = {}

    def check(self) -> None:
        """Raise `Lapsed` if a lock that this thread holds has lapsed; called before anything is changed."""
        self.checker()()

    def checker(self) -> Callable[[], None]:
        """Return what `check` does for this thread, for others that work under its locks."""
        claims: Sequence[_Claim] = getattr(self._held, "claims", ())

        def check() -> None:
            for claim in claims:
                claim.check()

        return check

    @contextmanager
    def hold(self, name: str, *, shared: bool) -> Iterator[None]:
        """Hold a lock. Raises `Unavailable` if it can't be had soon, and `Lapsed` at the end if it has meanwhile."""
        directory = f"{self._prefix}/{name}"
        claim = self._share(directory) if shared else self._exclude(directory)
        claims: list[_Claim] = self._held.__dict__.setdefault("claims", [])
        claims.append(claim)
        try:
            yield
            claim.check()
        finally:
            claims.remove(claim)
            self._release(claim)

    def _share(self, directory: str) -> _Claim:
        until = now() + _PATIENCE
        while True:
            claim = self._put(f"{directory}/{_INTENT}{owners.me()}-{uuid.uuid4().hex}")
            with self._released_on_error(claim):
                if not self._is_marked(directory):
                    return claim
            self._release(claim)
            for pause in _waiting(until):
                time.sleep(pause)
                if not self._is_marked(directory):
                    break

    def _exclude(self, directory: str) -> _Claim:
        until = now() + _PATIENCE
        claim = self._mark(directory)
        waiting = _waiting(until)
        while claim is None:
            time.sleep(next(waiting))
            # Looking is cheaper than trying.
            claim = None if self._is_marked(directory) else self._mark(directory)
        with self._released_on_error(claim):
            waiting = _waiting(until)
            while self._has_intents(directory):
                time.sleep(next(waiting))
        return claim

    def _put(self, key: str) -> _Claim:
        begun = now()
        return self._claim(key, self._bucket.put(key, uuid.uuid4().bytes), begun)

    def _mark(self, directory: str) -> _Claim | None:
        """Put the mark if there is none, or a void one; None if somebody has it."""
        key, body, begun = f"{directory}/exclusive", uuid.uuid4().bytes, now()
        with suppress(Conflict):
            return self._claim(key, self._bucket.put(key, body, only_if=ABSENT, metadata=_mine()), begun)
        with suppress(Conflict, NotFound):
            found, about = self._bucket.read(key)
            if found == body:
                # The server got the request twice, and did it the first time.
                return self._claim(key, about.etag, begun)
            if not self._counts(about.metadata.get(_OWNER, ""), about.age):
                return self._claim(key, self._bucket.swap(key, body, only_if=about.etag, metadata=_mine()), begun)
        return None

    def _claim(self, key: str, etag: str, begun: float) -> _Claim:
        claim = _Claim(key, etag, begun)
        self._renewer.add(claim)
        return claim

    def _is_marked(self, directory: str) -> bool:
        try:
            found = self._bucket.head(f"{directory}/exclusive")
        except NotFound:
            return False
        return self._counts(found.metadata.get(_OWNER, ""), found.age)

    def _has_intents(self, directory: str) -> bool:
        found = False
        for page in self._bucket.list(f"{directory}/"):
            for name, age in page.ages().items():
                if not name.startswith(_INTENT):
                    continue
                if self._counts(name.removeprefix(_INTENT).rpartition("-")[0], age):
                    found = True
                else:
                    self._bucket.delete(f"{directory}/{name}")
        return found

    def _counts(self, owner: str, age: float) -> bool:
        """Tell whether a claim of so many seconds has to be reckoned with."""
        if age > VOID_AFTER:
            return False
        if not owners.is_gone(owner):
            return True
        with self._guard:
            if len(self._gone) > _MOST_GONE:
                self._gone.clear()
            return now() - self._gone.setdefault(owner, now()) < _LAST_REQUEST

    @contextmanager
    def _released_on_error(self, claim: _Claim) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._release(claim)
            raise

    def _release(self, claim: _Claim) -> None:
        self._renewer.remove(claim)
        with claim.guard:
            claim.ended = True
            if now() - claim.renewed > LAPSES_AFTER:
                # It may be somebody else's by now.
                return
            try:
                self._bucket.delete(claim.key)
            except StorageError as error:
                # What was done under it is done all the same; others wait until this is void.
                log.warning("a lock is given back late: %s", error)


class _Renewer:
    """Renews the claims of this process in a thread that lives as long as there are any."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._claims: set[_Claim] = set()
        self._guard = threading.Lock()
        # The process in which the thread runs: a forked one has to start its own.
        self._running_in = 0

    def add(self, claim: _Claim) -> None:
        """Look after a claim."""
        with self._guard:
            self._claims.add(claim)
            if self._running_in != os.getpid():
                self._running_in = os.getpid()
                threading.Thread(target=self._run, name="lock renewal", daemon=True).start()

    def remove(self, claim: _Claim) -> None:
        """Look after it no longer."""
        with self._guard:
            self._claims.discard(claim)

    def _run(self) -> None:
        while True:
            with self._guard:
                if not self._claims:
                    self._running_in = 0
                    return
                claims = list(self._claims)
            for claim in claims:
                if now() - claim.renewed > RENEWED_AFTER:
                    self._renew(claim)
            time.sleep(RENEWED_AFTER / 4)

    def _renew(self, claim: _Claim) -> None:
        with claim.guard:
            begun = now()
            if claim.ended or begun - claim.renewed > LAPSES_AFTER:
                return
            try:
                claim.etag = self._bucket.swap(claim.key, uuid.uuid4().bytes, only_if=claim.etag, metadata=_mine())
                claim.renewed = begun
            except StorageError as error:
                log.warning("a lock can't be renewed: %s", error)


def _mine() -> dict[str, str]:
    return {_OWNER: owners.me()}


def _waiting(until: float) -> Iterator[float]:
    """Yield pauses, and raise `Unavailable` when it is too late for another."""
    for pause in pauses(1_000_000, first=0.02, longest=2.0):
        if now() > until:
            raise Unavailable("another request holds this repository for long")
        yield pause
