"""Garbage collection and retention against a model that says by brute force what goes."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.gc.model import survivors
from tests.gc.worlds import (
    HOUR,
    NAME,
    Clock,
    eager_policies,
    events,
    fill,
    many_events,
    policies,
    retention,
    state,
)
from tests.storage.conftest import bucket_driver
from zot.gc import passes, remembering
from zot.gc.cleaning import Cleaned, clean
from zot.gc.passes import Settings
from zot.gc.planning import Kind
from zot.gc.reading import Reader
from zot.gc.scrubbing import Scrubbed
from zot.registry import paths, repositories
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Idle, Stat, Storage, Upload

CASES = int(os.environ.get("ZOT_ORACLE_CASES", "150"))
# Of everything something goes: a tag, an index with what it lists, an image, blobs that it named and one that none did.
BUSY: list[tuple[int, tuple[Any, ...]]] = [
    (0, ("image", {0, 1}, None, False, "v1.0")),
    (1, ("image", {1, 2}, None, False, "v2.0")),
    (1, ("image", {3}, None, True, "v1.0")),
    (1, ("index", [0, 1], None, False, None)),
    (0, ("blob", 4)),
    (0, ("pull", 0)),
]
EAGER: dict[str, Any] = {
    "delay": 0.0,
    "gcDelay": 0.0,
    "deleteUntagged": True,
    "deleteReferrers": True,
    "keepTags": [{"patterns": ["v2.*"]}],
    "keepUntagged": None,
    "immutable": [],
}


class _Dated:
    """A driver whose content is as old as the test's clock says, as nobody can set the times of files and objects."""

    def __init__(self, driver: Storage) -> None:
        self._driver = driver
        self._times: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def stat(self, key: str) -> Stat:
        """Say when the clock said that it was changed."""
        return self._driver.stat(key)._replace(modified=self._times[key])

    def describe(self, keys: Iterable[str], *, enough: float = 0.0) -> Iterator[Stat | None]:
        """Say so of each."""
        known = list(keys)
        for key, found in zip(known, self._driver.describe(known), strict=True):
            yield None if found is None else found._replace(modified=self._times[key])

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Note the time."""
        self._driver.put(key, upload, shared=shared, new_directory=new_directory)
        self._times[key] = time.time()

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Note the time, unless what is there stays."""
        if not once or key not in self._times:
            self._times[key] = time.time()
        self._driver.write(key, document, once=once, new_directory=new_directory)

    def remove_idle(self, contents: Iterable[Idle], removed: list[str]) -> None:
        """Remove what the clock says is idle."""
        idle = (one._replace(modified=math.inf) for one in contents if self._is_idle(one))
        self._driver.remove_idle(idle, removed)

    def _is_idle(self, one: Idle) -> bool:
        return self._times.get(one.key, 0.0) <= one.modified

    def touch(self, key: str) -> None:
        """Note the time."""
        self._driver.touch(key)
        self._times[key] = time.time()


@contextmanager
def storages(kind: str, request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Make a store of a kind."""
    if kind == "memory":
        yield Memory()
    elif kind == "filesystem":
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root:
            driver = Filesystem(root, private=paths.PRIVATE, commit=False)
            driver.start()
            yield cast(Storage, _Dated(driver))
    else:
        with bucket_driver(request.getfixturevalue("moto")) as bucket:
            yield cast(Storage, _Dated(bucket))


@pytest.mark.parametrize(("kind", "cases"), [("memory", CASES), ("filesystem", CASES), ("moto", 6 + CASES // 250)])
def test_exactly_what_the_model_says_goes(kind: str, cases: int, request: pytest.FixtureRequest) -> None:
    """Whatever was pushed and whatever the policy: tags, manifests and blobs that stay are those of the model.

    A dry run before says exactly what the real run then does, and changes nothing. Of each kind some must have gone.
    """
    went: Counter[Kind] = Counter()
    slow = kind == "moto"

    @settings(max_examples=cases, suppress_health_check=list(HealthCheck))
    @example(happened=BUSY, policy=EAGER, later=1)
    @given(
        happened=many_events if slow else events,
        policy=eager_policies if slow else policies,
        later=st.integers(0, 40),
    )
    def check(happened: list[tuple[int, tuple[Any, ...]]], policy: dict[str, Any], later: int) -> None:
        clock = Clock()
        with storages(kind, request) as storage, clock.running():
            world = fill(store := Store(storage, retention=retention({**policy, "immutable": []})), clock, happened)
            store = Store(storage, retention=retention(policy))
            now = clock.now + later * HOUR
            before = state(store)
            assert before == (set(world["tags"]), set(world["manifests"]), set(world["blobs"]))
            predicted = clean(store, NAME, now, dry_run=True, go_on=lambda: None)
            assert state(store) == before
            done = clean(store, NAME, now, dry_run=False, go_on=lambda: None)
            assert done.removed == predicted.removed
            went.update(removal.kind for removal in done.removed)
            expected = survivors(world, policy, now)
            assert state(store) == expected
            assert repositories.exists(store, NAME) == (bool(happened) and any(expected))
            again = clean(store, NAME, now, dry_run=True, go_on=lambda: None)
            assert not again.removed

    check()
    assert all(went[kind] for kind in (Kind.TAG, Kind.MANIFEST, Kind.BLOB)), went


@pytest.mark.parametrize("kind", ["memory", "filesystem"])
def test_what_changed_is_enough_to_look_at(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes that look only at what the marks name leave what the model says, now and when the rest comes of age.

    Unless rules are about ranks or referrers they do so without reading the whole repository, but for one that is
    nearly empty. Of each four manifests some may have been noted by a full pass before.
    """
    monkeypatch.setattr(remembering, "_WORTH", 1)
    ways: Counter[str] = Counter()

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
    @given(
        happened=events,
        policy=policies,
        deleted=st.lists(st.integers(0, 9), max_size=3),
        later=st.integers(0, 40),
        noted=st.integers(0, 4),
    )
    def check(happened: list[Any], policy: dict[str, Any], deleted: list[int], later: int, noted: int) -> None:
        policy = {**policy, "immutable": [], "keepTags": [], "keepUntagged": None, "deleteReferrers": False}
        clock = Clock()
        with storages(kind, request) as storage, clock.running():
            store = Store(storage, retention=retention(policy))
            world = fill(store, clock, happened, deleted)
            snapshot = Reader(store, NAME).read()
            some = {one: node for place, (one, node) in enumerate(snapshot.manifests.items()) if place % 4 < noted}
            remembering.note(store, replace(snapshot, manifests=some))
            for _ in range(2):
                clock.now += later * HOUR
                watch = _Watch()
                passes.over_changed(store, Settings(), watch)
                ways.update(watch.ways)
                assert state(store) == survivors(world, policy, clock.now)

    check()
    assert ways["narrow"] > ways["whole"] / 10 > 0, ways


class _Watch:
    """Counts how repositories were looked at."""

    def __init__(self) -> None:
        self.ways: list[str] = []

    def go_on(self) -> None:
        """Go on."""

    def cleaned(self, done: Cleaned) -> None:
        """Note how it was looked at."""
        self.ways.append("whole" if done.plan.is_whole else "narrow")

    def apart(self, name: str) -> AbstractContextManager[None]:
        """Pass on what fails."""
        return nullcontext()

    def scrubbed(self, done: Scrubbed) -> None:
        """Nothing is scrubbed."""

    def dropped(self, what: str, size: int) -> None:
        """Nothing is dropped."""
