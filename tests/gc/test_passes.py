"""Passes over a store: what is looked at, when, and how a pass goes on."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import ModuleType

import pytest

from tests.gc.conftest import Pushes
from tests.gc.worlds import HOUR, Clock
from tests.images import OCI_MANIFEST
from zot.errors import BlobUnknown
from zot.gc import clock as clocks
from zot.gc import passes
from zot.gc.cleaning import Cleaned
from zot.gc.clock import Reading
from zot.gc.passes import Settings
from zot.gc.scrubbing import Scrubbed
from zot.oci.digest import Digest
from zot.oci.globs import compile_glob
from zot.oci.patterns import Pattern
from zot.registry import blobs, manifests, paths, repositories, statistics
from zot.registry.retention import Keep, Policy, Retention
from zot.registry.store import Store
from zot.storage.memory import Memory
from zot.storage.protocol import Full

DAY = 24 * HOUR


class Watcher:
    """Remembers which repositories were cleaned, and stops after some."""

    def __init__(self, most: int = 1000) -> None:
        self.names: list[str] = []
        self.removed = 0
        self.left: list[str] = []
        self._most = most

    def go_on(self) -> None:
        """Stop when there are enough."""
        if len(self.names) == self._most:
            raise InterruptedError

    def cleaned(self, done: Cleaned) -> None:
        """Remember the name."""
        self.names.append(done.plan.name)
        self.removed += len(done.removed)

    def apart(self, name: str) -> AbstractContextManager[None]:
        """Pass on what fails."""
        return nullcontext()

    def scrubbed(self, done: Scrubbed) -> None:
        """Remember the name."""
        self.names.append(done.repository)

    def dropped(self, what: str, size: int) -> None:
        """Remember what it was."""
        self.left.append(what)


def changed(store: Store, clock: Clock) -> list[str]:
    """Write what the worker gathered, and return which repositories a pass looks at."""
    store.gathered.flush(store.storage)
    watcher = Watcher()
    passes.over_changed(store, Settings(), watcher)
    return watcher.names


def test_only_what_changed_is_looked_at(store: Store, push: Pushes, clock: Clock) -> None:
    """A push, a delete, a moved tag and a lone blob each lead to one look, when their garbage is old enough."""
    names = ["pushed", "deleted", "moved", "lone"]
    for name in [*names, "other"]:
        push.image(name, "v1")
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["deleted", "lone", "moved", "other", "pushed"]
    assert changed(store, clock) == []
    manifests.delete_tag(store, "deleted", "v1")
    push.image("moved", "v1")
    push.blob("lone", b"lone")
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["deleted", "lone", "moved"]
    assert not repositories.exists(store, "deleted")


def test_what_is_too_young_is_looked_at_again_in_time(push: Pushes, store: Store, clock: Clock) -> None:
    """A pass notes when the next thing comes of age, also where only a rule of time will end."""
    store = replace(
        store, retention=Retention(policies=(Policy((compile_glob("**"),), keep_tags=(Keep(pushed_within=3 * DAY),)),))
    )
    push.image("a", "v1")
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    clock.now += 2 * DAY
    assert changed(store, clock) == []
    clock.now += DAY
    assert changed(store, clock) == ["a"]
    assert not repositories.exists(store, "a")
    assert list(store.storage.list(paths.WAITING)) == []


def test_a_push_may_be_for_another_tag_to_go(push: Pushes, store: Store, clock: Clock) -> None:
    """Where a number of tags is kept, one more is reason enough to look, though all that it needs was there."""
    store = replace(
        store, retention=Retention(policies=(Policy((compile_glob("**"),), keep_tags=(Keep(most_recently_pushed=2),)),))
    )
    push = Pushes(store)
    body = store.storage.read(paths.blob("a", push.image("a", "v1")))
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    for tag in ("v2", "v3"):
        clock.now += 1
        push.put("a", body, OCI_MANIFEST, tag)
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    assert list(store.storage.list(paths.tags("a"))) == ["v2", "v3"]


def test_what_comes_of_age_while_a_pass_goes_on_is_not_forgotten(store: Store, push: Pushes, clock: Clock) -> None:
    """What was waited for, and was not due when the pass began, is waited for still."""
    store = replace(store, retention=Retention(gc_delay=2 * HOUR, delay=0.9 * HOUR))
    push.image("a", "v1")
    lone = push.blob("a", b"lone")
    store.gathered.flush(store.storage)
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    push.blob("a", b"another")
    store.gathered.flush(store.storage)
    clock.now += 0.95 * HOUR

    class Slow(Watcher):
        def go_on(self) -> None:
            clock.now += 0.1 * HOUR

    passes.over_changed(store, Settings(), Slow())
    assert blobs.stat(store, "a", lone).size == 4
    assert changed(store, clock) == ["a"]
    with pytest.raises(BlobUnknown):
        blobs.stat(store, "a", lone)


def test_what_changes_just_when_a_mark_is_taken_away_is_not_forgotten(store: Store, push: Pushes, clock: Clock) -> None:
    """What was added to a mark after a pass had read it, and before it was taken away, is noted again."""
    push.image("a", "v1")
    store.gathered.flush(store.storage)
    clock.now += HOUR
    lone: list[Digest] = []

    class Meanwhile(Watcher):
        def go_on(self) -> None:
            if not lone:
                lone.append(push.blob("a", b"lone"))
                store.gathered.flush(store.storage)

    passes.over_changed(store, Settings(), Meanwhile())
    assert list(store.storage.list(paths.CHANGED)) == []
    store.gathered.flush(store.storage)
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    with pytest.raises(BlobUnknown):
        blobs.stat(store, "a", lone[0])


@pytest.mark.parametrize("document", [b"", b"\0" * 9, b"[]", b"7", b'{"since": "x"}', b'{"until": 0, "digests": [7]}'])
def test_damaged_notes_are_looked_into(store: Store, push: Pushes, clock: Clock, document: bytes) -> None:
    """A mark, a note of what waits, a position and a record of the clock that can't be read hold up nothing."""
    push.image("a")
    clock.now += HOUR
    for key in (paths.changed("a"), paths.waiting("a"), f"{paths.JOBS}/gc-position", f"{paths.JOBS}/clock"):
        store.storage.write(key, document)
    watcher = Watcher()
    assert clocks.suspicion(store.storage, clocks.read()) == ""
    passes.over_changed(store, Settings(), watcher)
    assert (watcher.names, watcher.removed) == (["a"], 4)
    passes.over_all(store, Settings(), watcher, resume=True)
    assert list(store.storage.list(paths.WAITING)) == []


def test_a_full_pass_goes_on_where_the_last_one_stopped(
    store: Store, push: Pushes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position is kept; after the end the next one begins anew."""
    monkeypatch.setattr(passes, "_NOTED", -1.0)
    names = [f"r{number}" for number in range(6)]
    for name in names:
        push.image(name, "v1")
    first = Watcher(most=3)
    with pytest.raises(InterruptedError):
        passes.over_all(store, Settings(), first, resume=True)
    assert first.names == names[:3]
    for _ in range(2):
        watcher = Watcher()
        passes.over_all(store, Settings(), watcher, resume=True)
        assert watcher.names == (names[3:] if _ == 0 else names)


def test_a_stopped_repository_is_looked_at_again(store: Store, push: Pushes, clock: Clock) -> None:
    """If a run ends in the middle of a repository, its mark is there again."""
    push.image("a")
    clock.now += HOUR
    store.gathered.flush(store.storage)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        passes.clean_one(store, "a", Settings(), stop)
    clock.now += HOUR
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["a"]


@pytest.mark.parametrize(("failing", "name"), [(statistics, "forget"), (passes, "_wait")])
def test_what_went_is_told_though_the_rest_failed(
    store: Store, push: Pushes, clock: Clock, monkeypatch: pytest.MonkeyPatch, failing: ModuleType, name: str
) -> None:
    """What a run removed is known also if the store fails when all is gone, and only notes are to be written."""
    push.image("a", "kept")
    push.image("a")
    clock.now += DAY

    def fail(*_: object) -> None:
        raise Full("no room for notes")

    monkeypatch.setattr(failing, name, fail)
    watcher = Watcher()
    with pytest.raises(Full):
        passes.over_all(store, Settings(), watcher, resume=False)
    assert (watcher.names, watcher.removed) == (["a"], 3)


@pytest.mark.parametrize("by", ["run", "configuration"])
def test_a_dry_run_changes_nothing(store: Store, push: Pushes, clock: Clock, by: str) -> None:
    """Not a key of the store differs afterwards, whether the run or the configuration is dry."""
    store = replace(store, retention=Retention(dry_run=by == "configuration"))
    push.image("a")
    push.blob("b", b"lone")
    clock.now += 2 * DAY
    store.gathered.flush(store.storage)
    assert isinstance(store.storage, Memory)
    before = dict(store.storage._keys)
    watcher = Watcher()
    passes.over_all(store, Settings(dry_run=by == "run"), watcher, resume=False)
    assert watcher.removed > 3
    assert dict(store.storage._keys) == before


def test_uploads_left_for_a_day_go(store: Store, push: Pushes, clock: Clock) -> None:
    """A full pass drops them, and masters that nobody shares."""
    push.image("a", "v1")
    with store.storage.upload("session", create=True):
        pass
    watcher = Watcher()
    passes.over_all(store, Settings(), watcher, resume=False)
    assert watcher.left == []
    clock.now += 2 * DAY
    passes.over_all(store, Settings(), watcher, resume=False)
    assert watcher.left == ["1 uploads"]


def test_retention_and_garbage_in_one_pass(store: Store, push: Pushes, clock: Clock) -> None:
    """A tag that goes takes its manifest and its blobs with it, if they are old enough, and no shared layer."""
    store = replace(
        store, retention=Retention(policies=(Policy((compile_glob("**"),), keep_tags=(Keep((Pattern("v2"),)),)),))
    )
    push.image("a", "v1", layers=(b"shared", b"own"))
    push.image("a", "v2", layers=(b"shared",))
    assert changed(store, clock) == []
    clock.now += HOUR
    assert changed(store, clock) == ["a"]
    assert blobs.stat(store, "a", push.blob("a", b"shared")).size == 6
    assert len(list(store.storage.list(paths.blobs("a", "sha256")))) == 3


HOUR_AGO = Reading(1000.0, 50.0, "boot")


@pytest.mark.parametrize(
    ("now", "suspended"),
    [
        (Reading(1000.0 + 7200, 50.0 + 7200, "boot"), False),
        (Reading(1000.0 + 7200, 50.0, "boot"), True),
        (Reading(1000.0 - 7200, 50.0, "boot"), True),
        (Reading(1000.0 + 1800, 50.0, "boot"), False),
        (Reading(1000.0 + 10**6, 10.0, "another"), False),
        (Reading(1000.0 - 7200, 10.0, "another"), True),
    ],
)
def test_a_clock_that_jumped_is_not_trusted(now: Reading, suspended: bool) -> None:
    """By more than an hour beside the steady clock, or back over a restart: no tag goes for a day of that clock."""
    storage = Memory()
    assert clocks.suspicion(storage, HOUR_AGO) == ""
    assert bool(clocks.suspicion(storage, now)) == suspended
    later = Reading(now.wall + 3600, now.steady + 3600, now.boot)
    assert bool(clocks.suspicion(storage, later)) == suspended
    day = Reading(now.wall + 90_000, now.steady + 90_000, now.boot)
    assert clocks.suspicion(storage, day) == ""


def test_the_clocks_of_this_machine_agree() -> None:
    """Read twice, they have not jumped."""
    storage = Memory()
    assert clocks.suspicion(storage, clocks.read()) == ""
    assert clocks.suspicion(storage, clocks.read()) == ""
    assert abs(clocks.read().wall - time.time()) < 60
    assert json.loads(storage.read(f"{paths.JOBS}/clock"))["suspendedUntil"] == 0.0
