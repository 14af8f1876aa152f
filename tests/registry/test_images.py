"""What people are shown of an image, and of the space that repositories take."""

from __future__ import annotations

import json

import pytest

from tests.registry.conftest import PushBlob, PushManifest
from zot.errors import ManifestUnknown, NameUnknown
from zot.oci.media_types import OCI_INDEX, OCI_MANIFEST
from zot.registry import images, usage
from zot.registry.store import Store

CONFIG = json.dumps({"os": "linux", "architecture": "arm64", "variant": "v8"}).encode()
LAYER = b"a layer " * 20_000


def descriptor(digest: object, size: int, media_type: str, **more: object) -> dict[str, object]:
    """Return a descriptor."""
    return {"mediaType": media_type, "digest": str(digest), "size": size, **more}


@pytest.fixture
def image(push_blob: PushBlob) -> bytes:
    """An image of one layer whose blobs are in the repository `a`."""
    config = descriptor(push_blob("a", CONFIG), len(CONFIG), "application/vnd.oci.image.config.v1+json")
    layer = descriptor(push_blob("a", LAYER), len(LAYER), "application/vnd.oci.image.layer.v1.tar")
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}).encode()


def test_an_image_is_described(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """Platform, parts, tags and the sum of all sizes are those of what was pushed."""
    digest = push_manifest("a", image, "v2", "v1")
    shown = images.show(store, "a", "v1")
    assert shown.tags == ("v1", "v2")
    assert shown.image.digest == str(digest)
    assert shown.image.platform == "linux/arm64/v8"
    assert [layer.size for layer in shown.image.layers] == [len(LAYER)]
    assert shown.image.total == len(image) + len(CONFIG) + len(LAYER)


def test_an_index_is_described_with_its_children(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """Children that are here are described with their parts; one that is not says so; nothing is counted twice."""
    child = push_manifest("a", image)
    absent = descriptor("sha256:" + "0" * 64, 7, OCI_MANIFEST, platform={"os": "linux", "architecture": "s390x"})
    entries = [descriptor(child, len(image), OCI_MANIFEST, platform={"os": "linux", "architecture": "arm64"}), absent]
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, entries[0]]}).encode()
    push_manifest("a", body, "multi", media_type=OCI_INDEX)
    found = images.show(store, "a", "multi").image
    assert [(one.platform, one.is_here) for one in found.children[:2]] == [
        ("linux/arm64", True),
        ("linux/s390x", False),
    ]
    assert found.total == len(body) + len(image) + len(CONFIG) + len(LAYER)


def test_what_refers_to_an_image_is_listed(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """A referrer's descriptor is shown with its artifact type."""
    subject = push_manifest("a", image, "v1")
    parsed = json.loads(image) | {"subject": descriptor(subject, len(image), OCI_MANIFEST), "artifactType": "text/note"}
    push_manifest("a", json.dumps(parsed).encode())
    assert [one["artifactType"] for one in images.show(store, "a", subject).referrers] == ["text/note"]


def test_what_is_no_image_has_no_platform(store: Store, push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """A config that is no JSON object, as artifacts have, gives no platform and no failure."""
    config = descriptor(push_blob("a", b"\xff"), 1, "application/x-config")
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}).encode()
    assert images.show(store, "a", push_manifest("a", body)).image.platform == ""


def test_what_is_not_there_is_said(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """An unknown tag and an unknown repository are told apart."""
    push_manifest("a", image, "v1")
    with pytest.raises(ManifestUnknown):
        images.show(store, "a", "v2")
    with pytest.raises(NameUnknown):
        images.show(store, "b", "v1")


def test_usage_tells_shared_from_unique(store: Store, push_blob: PushBlob) -> None:
    """What two repositories hold counts for both; with dedupe it is unique to neither and stored once, else copied."""
    push_blob("a", LAYER)
    push_blob("b", LAYER)
    push_blob("b", b"own")
    looked_at: list[str] = []
    used, totals = usage.measure(store, progress=looked_at.append)
    assert looked_at == ["a", "b"]
    assert [(one.repository, one.blobs, one.size, one.unique) for one in used] == [
        ("a", 1, len(LAYER), 0 if store.dedupe else len(LAYER)),
        ("b", 2, len(LAYER) + 3, 3 if store.dedupe else len(LAYER) + 3),
    ]
    stored = len(LAYER) + 3 if store.dedupe else 2 * len(LAYER) + 3
    assert totals == (2, 2, 2 * len(LAYER) + 3, stored)


def test_a_manifest_is_unique_wherever_it_is(
    store: Store, image: bytes, push_blob: PushBlob, push_manifest: PushManifest
) -> None:
    """Each repository has a file of its own for the same manifest, so that goes with it; shared once, all adds up."""
    for name in ("a", "b"):
        push_blob(name, LAYER)
        push_blob(name, CONFIG)
        push_manifest(name, image, "v1")
    used, totals = usage.measure(store, progress=lambda _: None)
    shared = used[0].size - used[0].unique
    assert [one.unique >= len(image) for one in used] == [True, True]
    assert sum(one.unique for one in used) + shared == totals.stored
