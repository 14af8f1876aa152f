"""What goes on in a store that is full."""

from __future__ import annotations

import pytest

from tests.images import manifest
from tests.registry.conftest import PushBlob, PushManifest
from zot.errors import ManifestUnknown
from zot.registry import blobs, layout, manifests
from zot.registry.keeping import Keeper
from zot.registry.store import Store
from zot.storage.protocol import Full


@pytest.mark.parametrize("by", ["tag", "digest"])
@pytest.mark.parametrize("frees", [True, False], ids=["deleting makes room", "nothing makes room"])
def test_deletes_go_on(
    store: Store,
    push_blob: PushBlob,
    push_manifest: PushManifest,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    frees: bool,
) -> None:
    """Deleting needs no space; the mark that the index has changed comes when there is room for it again."""
    for content in (b"{}", b"layer", b"unneeded"):
        unneeded = push_blob("a", content)
    digest = push_manifest("a", manifest(), "v1")
    if store.layouts is None:
        pytest.skip("a store that is no directory has no index, and no marks")
    Keeper(store, store.layouts, None).project_dirty()
    write, room = store.storage.write, iter([False, frees])

    def no_room(key: str, document: bytes) -> None:
        if not next(room):
            raise Full("the storage is full")
        write(key, document)

    monkeypatch.setattr(store.storage, "write", no_room)
    blobs.delete(store, "a", unneeded)
    if by == "tag":
        manifests.delete_tag(store, "a", "v1")
    else:
        manifests.delete_digest(store, "a", digest)
    with pytest.raises(ManifestUnknown):
        manifests.get(store, "a", "v1")
    assert list(layout.dirty(store)) == (["a"] if frees else [])
