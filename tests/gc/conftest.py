"""A store whose clock the tests move, and what they push into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gc.worlds import Clock
from tests.images import OCI_INDEX, OCI_MANIFEST, digest_of, manifest
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.registry import manifests, statistics, uploads
from zot.registry.store import Store
from zot.storage.memory import Memory


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that stands still until it is told otherwise."""
    clock = Clock()
    with clock.running():
        yield clock


class Pushes:
    """Pushes into a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._number = 0

    def blob(self, name: str, content: bytes) -> Digest:
        """Push a blob."""
        digest = digests.parse(digest_of(content))
        uploads.push(self.store, name, digest, [content])
        return digest

    def image(self, name: str, *tags: str, layers: tuple[bytes, ...] = (), **more: Any) -> Digest:
        """Push an image that is unlike the others."""
        self._number += 1
        config = json.dumps({"number": self._number}).encode()
        for content in (config, *layers):
            self.blob(name, content)
        return self.put(name, manifest(config, layers, **more), OCI_MANIFEST, *tags)

    def index(self, name: str, *tags: str, children: tuple[Digest, ...]) -> Digest:
        """Push an index."""
        listed = [{"mediaType": OCI_MANIFEST, "digest": str(child), "size": 1} for child in children]
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        return self.put(name, json.dumps(body).encode(), OCI_INDEX, *tags)

    def put(self, name: str, body: bytes, media_type: str, *tags: str) -> Digest:
        """Push a manifest as it is."""
        digest = digests.of(body)
        manifests.put(self.store, name, digest, body, oci_manifest.parse(body, media_type), tags)
        return digest


@pytest.fixture
def storage() -> Memory:
    """What the store keeps its data in."""
    return Memory()


@pytest.fixture
def store(storage: Memory, clock: Clock) -> Store:
    """An empty store in memory that counts pulls from the beginning."""
    store = Store(storage)
    statistics.begin(store.storage)
    return store


@pytest.fixture
def push(store: Store) -> Pushes:
    """Push into the store."""
    return Pushes(store)
