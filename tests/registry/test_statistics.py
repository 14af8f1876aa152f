"""Pulls are counted, beside the requests, and survive."""

from __future__ import annotations

import pytest

from tests.images import manifest
from tests.registry.conftest import PushBlob, PushManifest
from zot.registry import manifests, paths, statistics
from zot.registry.store import Store
from zot.storage.memory import Memory
from zot.storage.protocol import Unavailable


def test_a_pull_is_counted_for_digest_and_tag(store: Store, push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """By tag for both, by digest for that alone, not for signatures; several flushes add up and outlive the process."""
    push_blob("a", b"{}")
    push_blob("a", b"layer")
    signature = f"sha256-{'0' * 64}.sig"
    digest = push_manifest("a", manifest(), "v1", signature)
    manifests.get(store, "a", "v1")
    store.gathered.flush(store.storage)
    manifests.get(store, "a", digest)
    manifests.get(store, "a", signature)
    manifests.describe(store, "a", "v1")
    store.gathered.flush(store.storage)
    pulls = statistics.read(store.storage, "a")
    assert {key: pulled.times for key, pulled in pulls.items()} == {str(digest): 2, "v1": 1}
    assert pulls[str(digest)].last >= pulls["v1"].last > 0


def test_what_cannot_be_written_is_kept(store: Store, push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """Pulls and changes are gathered on while the store fails, and written when it is back."""
    push_blob("a", b"{}")
    push_blob("a", b"layer")
    push_manifest("a", manifest(), "v1")

    class Failing(Memory):
        def read(self, key: str) -> bytes:
            raise Unavailable("not now")

    manifests.get(store, "a", "v1")
    with pytest.raises(Unavailable):
        store.gathered.flush(Failing())
    manifests.get(store, "a", "v1")
    store.gathered.flush(store.storage)
    assert statistics.read(store.storage, "a")["v1"].times == 2
    assert list(store.storage.list(paths.CHANGED)) == ["a"]
