"""Stores on each driver, and pushes into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images import digest_of
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.registry import manifests, paths, uploads
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory

PushBlob = Callable[..., Digest]
PushManifest = Callable[..., Digest]


@pytest.fixture(params=["filesystem", "memory", "filesystem without dedupe"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "memory":
        return Store(Memory())
    driver = Filesystem(str(tmp_path / "root"), private=paths.PRIVATE)
    driver.start()
    return Store(driver, dedupe=request.param == "filesystem", layouts=driver.layouts)


@pytest.fixture
def push_blob(store: Store) -> PushBlob:
    """Push a blob into a repository."""

    def push(name: str, content: bytes, algorithm: str = "sha256") -> Digest:
        digest = digests.parse(digest_of(content, algorithm))
        uploads.push(store, name, digest, [content])
        return digest

    return push


@pytest.fixture
def push_manifest(store: Store) -> PushManifest:
    """Push a manifest into a repository, under tags."""

    def push(
        name: str, body: bytes, *tags: str, media_type: str = "application/vnd.oci.image.manifest.v1+json"
    ) -> Digest:
        digest = digests.of(body)
        manifests.put(store, name, digest, body, oci_manifest.parse(body, media_type), tags)
        return digest

    return push
