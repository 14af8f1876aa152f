"""Garbage collection and retention against a model that says by brute force what goes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gc.model import survivors
from tests.gc.worlds import HOUR, NAME, Clock, events, fill, policies, retention, state
from tests.storage.conftest import bucket_driver
from zot.gc.cleaning import clean
from zot.registry import paths, repositories
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Stat, Storage, Upload

CASES = int(os.environ.get("ZOT_ORACLE_CASES", "150"))


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

    def put(self, key: str, upload: Upload, *, shared: str | None = None, new_directory: bool = False) -> None:
        """Note the time."""
        self._driver.put(key, upload, shared=shared, new_directory=new_directory)
        self._times[key] = time.time()

    def write(self, key: str, document: bytes, *, once: bool = False, new_directory: bool = False) -> None:
        """Note the time, unless what is there stays."""
        if not once or key not in self._times:
            self._times[key] = time.time()
        self._driver.write(key, document, once=once, new_directory=new_directory)

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


@pytest.mark.parametrize(("kind", "cases"), [("memory", CASES), ("filesystem", CASES), ("moto", 5 + CASES // 100)])
def test_exactly_what_the_model_says_goes(kind: str, cases: int, request: pytest.FixtureRequest) -> None:
    """Whatever was pushed and whatever the policy: tags, manifests and blobs that stay are those of the model.

    A dry run before says exactly what the real run then does, and changes nothing.
    """

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    @given(happened=events, policy=policies, later=st.integers(0, 40))
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
            expected = survivors(world, policy, now)
            assert state(store) == expected
            assert repositories.exists(store, NAME) == (bool(happened) and any(expected))
            again = clean(store, NAME, now, dry_run=True, go_on=lambda: None)
            assert not again.removed

    check()
