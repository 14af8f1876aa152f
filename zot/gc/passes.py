"""Passes over the repositories of a store: one over those that changed, and now and then one over all of them.

A change leaves a mark `changed/<name>`, some seconds later and not before it. A pass takes it away before it looks,
so that what changes meanwhile leaves a new one, and writes down when it is worth while to look again. What a crash
loses of that, the full pass finds: it notes how far it has come, and the next one goes on from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from zot.gc.cleaning import Cleaned, clean
from zot.gc.deciding import NEVER
from zot.gc.hashing import Hashing
from zot.gc.planning import Plan
from zot.gc.scrubbing import Scrubbed, Scrubber
from zot.logs import note_change
from zot.oci import names
from zot.registry import keeping, paths, repositories, uploads
from zot.registry.store import Store
from zot.storage.protocol import NotFound

log = logging.getLogger(__name__)

_GC_POSITION = f"{paths.JOBS}/gc-position"
_SCRUB_POSITION = f"{paths.JOBS}/scrub-position"
# How far a full pass has come is noted this often, in seconds.
_NOTED = 5.0
_DAY = 24 * 3600.0
# Content that was set aside as damaged is kept for so long, for whoever wants to look at it.
_DAMAGED_KEPT = 7 * _DAY


class Watch(Protocol):
    """Who watches a pass."""

    def go_on(self) -> None:
        """Be asked before each step; raise to stop the pass."""

    def cleaned(self, done: Cleaned) -> None:
        """Be told what became of a repository."""

    def scrubbed(self, done: Scrubbed) -> None:
        """Be told what was found in a repository."""

    def dropped(self, what: str, size: int) -> None:
        """Be told that something of the storage's own went, of so many bytes."""


class Settings(NamedTuple):
    """How a pass runs: whether it only says what it would do, and a reason for which no tag goes, if there is one."""

    dry_run: bool = False
    suspended: str = ""


def due(store: Store, now: float) -> Iterator[str]:
    """Yield the repositories in which something may have become garbage that is old enough by now."""
    rules = store.retention
    youngest = min(rules.gc_delay, rules.delay)
    for encoded in list(store.storage.list(paths.CHANGED)):
        name = names.decode(encoded)
        if _modified(store, paths.changed(name)) + youngest <= now:
            yield name
    for encoded in list(store.storage.list(paths.WAITING)):
        name = names.decode(encoded)
        if _waits_until(store, name) <= now:
            yield name


def over_changed(store: Store, settings: Settings, watch: Watch) -> None:
    """Clean the repositories that are due."""
    for name in due(store, time.time()):
        watch.go_on()
        watch.cleaned(clean_one(store, name, settings, watch.go_on))


def over_all(store: Store, settings: Settings, watch: Watch, *, resume: bool) -> None:
    """Clean all repositories, then drop what crashes left of the storage's own."""
    for name in _all(store, _GC_POSITION, watch, resume=resume):
        watch.cleaned(clean_one(store, name, settings, watch.go_on))
    if not settings.dry_run:
        drop_leftovers(store, watch, time.time())


def scrub_all(store: Store, rate: float, watch: Watch, *, resume: bool) -> None:
    """Read everything again, at most `rate` bytes a second; 0 is any number."""
    hashing = Hashing(rate)
    for name in _all(store, _SCRUB_POSITION, watch, resume=resume):
        watch.scrubbed(Scrubber(store, name, hashing, watch.go_on).scrub())


def _all(store: Store, position: str, watch: Watch, *, resume: bool) -> Iterator[str]:
    """Yield all repositories; with `resume` from where the last pass stopped, noting how far this one has come."""
    after = _position(store, position) if resume else ""
    if after:
        log.info("a pass over all repositories goes on after %s", after)
    noted = time.monotonic()
    for name in repositories.names(store, after):
        watch.go_on()
        yield name
        if resume and time.monotonic() - noted > _NOTED:
            store.storage.write(position, json.dumps({"after": name}).encode())
            noted = time.monotonic()
    if resume:
        store.storage.delete(position)


def clean_one(store: Store, name: str, settings: Settings, go_on: Callable[[], None]) -> Cleaned:
    """Clean a repository and note when to look again."""
    if not keeping.is_in_step(store, name):
        store.gathered.changed(name)
        return _put_off(name, "another program wrote its index.json, and what that names is not known yet")
    dry_run = settings.dry_run or store.retention.dry_run
    if dry_run:
        return clean(store, name, time.time(), dry_run=True, go_on=go_on, suspended=settings.suspended)
    store.storage.delete(paths.changed(name))
    try:
        done = clean(store, name, time.time(), dry_run=False, go_on=go_on, suspended=settings.suspended)
    except BaseException:
        store.gathered.changed(name)
        log.info("gc unsuccessfully completed for %s", name)
        raise
    _wait(store, name, done.plan.due)
    return done


def _put_off(name: str, why: str) -> Cleaned:
    log.warning("%s is not cleaned now: %s", name, why)
    return Cleaned(Plan(name, (), (), frozenset(), problems=(why,)), ())


def drop_leftovers(store: Store, watch: Watch, now: float) -> None:
    """Drop upload sessions that nobody wrote to for a day, or `gcDelay` if that is longer, and what crashes left.

    `now` is in seconds since 1970.
    """
    before = now - max(store.retention.gc_delay, _DAY)
    swept = uploads.sweep(store, before)
    if swept:
        watch.dropped(f"{swept} uploads", 0)
    for leftover in store.storage.leftovers(before, shared=paths.CONTENT):
        watch.go_on()
        if leftover.kind == "damaged" and leftover.modified > now - _DAMAGED_KEPT:
            continue
        if store.storage.discard(leftover):
            note_change("zot gc", "DELETE", leftover.name, "", "deleted", f"{leftover.kind} and of no use")
            watch.dropped(leftover.kind, leftover.size)


def _wait(store: Store, name: str, until: float) -> None:
    key = paths.waiting(name)
    if until < NEVER and repositories.exists(store, name):
        store.storage.write(key, json.dumps({"until": until}).encode())
    else:
        store.storage.delete(key)


def _waits_until(store: Store, name: str) -> float:
    try:
        return float(json.loads(store.storage.read(paths.waiting(name)))["until"])
    except NotFound:
        return NEVER


def _modified(store: Store, key: str) -> float:
    try:
        return store.storage.stat(key).modified
    except NotFound:
        return NEVER


def _position(store: Store, key: str) -> str:
    try:
        return str(json.loads(store.storage.read(key))["after"])
    except NotFound:
        return ""
