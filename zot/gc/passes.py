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
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from zot.gc.cleaning import Cleaned, clean
from zot.gc.deciding import NEVER
from zot.gc.hashing import Hashing
from zot.gc.planning import Plan
from zot.gc.scrubbing import Scrubbed, Scrubber
from zot.logs import note_change
from zot.oci import names
from zot.registry import changes, keeping, paths, repositories, uploads
from zot.registry.changes import Digests
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

    def apart(self, name: str) -> AbstractContextManager[None]:
        """Decide on what fails while a repository is looked at: what this swallows does not keep others from theirs."""

    def cleaned(self, done: Cleaned) -> None:
        """Be told what became of a repository, also if the pass was stopped or failed in its middle."""

    def scrubbed(self, done: Scrubbed) -> None:
        """Be told what was found in a repository."""

    def dropped(self, what: str, size: int) -> None:
        """Be told that something of the storage's own went, of so many bytes."""


class Settings(NamedTuple):
    """How a pass runs: whether it only says what it would do, and a reason for which no tag goes, if there is one."""

    dry_run: bool = False
    suspended: str = ""


class Due(NamedTuple):
    """A repository to be looked at: for these digests and what they lead to, or for anything if there are none."""

    name: str
    about: Digests | None


def due(store: Store, now: float) -> Iterator[Due]:
    """Yield the repositories in which something may have become garbage that is old enough by now."""
    rules = store.retention
    youngest = min(rules.gc_delay, rules.delay)
    changed, waiting_too = set(store.storage.list(paths.CHANGED)), set(store.storage.list(paths.WAITING))
    for encoded in sorted(changed | waiting_too):
        name = names.decode(encoded)
        change = changes.read(store.storage, name) if encoded in changed else None
        waiting = _waiting(store, name) if encoded in waiting_too else _FOR_NOTHING
        reasons: list[Digests | None] = []
        if change is not None and change.since + youngest <= now:
            reasons.append(change.about)
        if waiting.until <= now:
            reasons.append(waiting.about)
        if reasons:
            yield Due(name, _together(*reasons))


def over_changed(store: Store, settings: Settings, watch: Watch) -> None:
    """Clean the repositories that are due."""
    for one in due(store, time.time()):
        watch.go_on()
        with watch.apart(one.name):
            clean_one(store, one.name, settings, watch.go_on, one.about, told=watch.cleaned)


def over_all(store: Store, settings: Settings, watch: Watch, *, resume: bool) -> None:
    """Clean all repositories, then drop what crashes left of the storage's own."""
    for name in _all(store, _GC_POSITION, watch, resume=resume):
        with watch.apart(name):
            clean_one(store, name, settings, watch.go_on, told=watch.cleaned)
    if not settings.dry_run:
        drop_leftovers(store, watch, time.time())


def scrub_all(store: Store, rate: float, watch: Watch, *, resume: bool) -> None:
    """Read everything again, at most `rate` bytes a second; 0 is any number."""
    hashing = Hashing(rate)
    for name in _all(store, _SCRUB_POSITION, watch, resume=resume):
        with watch.apart(name):
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


def clean_one(
    store: Store,
    name: str,
    settings: Settings,
    go_on: Callable[[], None],
    about: Digests | None = None,
    told: Callable[[Cleaned], None] = lambda _: None,
) -> Cleaned:
    """Clean a repository, or what of it `cleaning.look` is to look at, and note when to look again.

    `told` is as `cleaning.clean` has it.
    """
    if not keeping.is_in_step(store, name):
        store.gathered.changed(name)
        why = "another program wrote its index.json, and what that names is not known yet"
        done = _put_off(name, f"{why}; zot layout sync {name} takes it in")
        told(done)
        return done
    now = time.time()
    if settings.dry_run or store.retention.dry_run:
        return clean(store, name, now, dry_run=True, go_on=go_on, suspended=settings.suspended, told=told)
    store.storage.delete(paths.changed(name))
    try:
        done = clean(store, name, now, dry_run=False, go_on=go_on, suspended=settings.suspended, about=about, told=told)
    except BaseException:
        # However it ends, a stop by SIGTERM included, the mark that is gone has to come back; nothing is swallowed.
        store.gathered.changed(name, *(about or ()))
        log.info("gc unsuccessfully completed for %s", name)
        raise
    _wait(store, done.plan, about)
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


class _Waiting(NamedTuple):
    """When to look at a repository again, in seconds since 1970, and for which digests; None for any."""

    until: float
    about: Digests | None


_FOR_NOTHING = _Waiting(NEVER, frozenset())


def _waiting(store: Store, name: str) -> _Waiting:
    try:
        known = json.loads(store.storage.read(paths.waiting(name)))
        return _Waiting(float(known["until"]), changes.decode_digests(known.get("digests")))
    except NotFound:
        return _FOR_NOTHING
    except changes.DAMAGED:
        return _Waiting(0.0, None)


def _wait(store: Store, plan: Plan, about: Digests | None) -> None:
    """Note when to look again, and still for what was waited for before and is not `about` what was looked at."""
    before = _waiting(store, plan.name)
    after = _Waiting(plan.due, None if plan.due < NEVER and plan.is_whole else frozenset(plan.waiting))
    if not (plan.is_whole or changes.covers(about, before.about)):
        after = _Waiting(min(before.until, plan.due), _together(before.about, after.about))
    if after == before:
        return
    key = paths.waiting(plan.name)
    if after.until < NEVER and repositories.exists(store, plan.name):
        document = {"until": after.until, "digests": changes.encode_digests(after.about)}
        store.storage.write(key, json.dumps(document).encode())
    else:
        store.storage.delete(key)


def _together(*several: Digests | None) -> Digests | None:
    """Join what is to be looked at; None is for anything."""
    found: Digests = frozenset()
    for about in several:
        if about is None:
            return None
        found |= about
    return found


def _position(store: Store, key: str) -> str:
    try:
        return str(json.loads(store.storage.read(key))["after"])
    except (NotFound, *changes.DAMAGED):
        return ""
