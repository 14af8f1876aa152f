"""What a registry does with blobs, manifests and tags, on every driver."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, index, manifest
from tests.registry.conftest import PushBlob, PushManifest
from zot.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
)
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.registry import blobs, manifests, paths, referrers, repositories, tags, uploads
from zot.registry.store import Store
from zot.storage.protocol import Storage, Unavailable

NOBODY = digests.of(b"nobody pushed this")


@pytest.fixture
def image(push_blob: PushBlob) -> bytes:
    """A manifest whose blobs are in repository `a`."""
    push_blob("a", b"{}")
    push_blob("a", b"layer")
    return manifest()


def left_over(store: Store) -> list[str]:
    """Return the uploads that are still there."""
    return list(store.storage.list(f"{paths.PRIVATE}/uploads"))


def test_a_blob_comes_back(store: Store, push_blob: PushBlob) -> None:
    """A pushed blob has its size and its bytes, and leaves no upload; another repository does not have it."""
    for algorithm in ("sha256", "sha512", "sha384"):
        digest = push_blob("a/b", b"content", algorithm)
        assert blobs.stat(store, "a/b", digest).size == 7
        with blobs.open_blob(store, "a/b", digest).file as file:
            assert file.read() == b"content"
        with pytest.raises(NameUnknown):
            blobs.stat(store, "a", digest)
    with pytest.raises(BlobUnknown):
        blobs.stat(store, "a/b", NOBODY)
    assert left_over(store) == []


def test_repositories_share_a_blob(store: Store, push_blob: PushBlob) -> None:
    """With dedupe repositories share one content, which the last repository to go takes along."""
    content = b"shared" * 20_000
    digest = push_blob("a", content)
    push_blob("b", content)
    push_blob("b", content)
    assert store.storage.is_shared(paths.content(digest)) == store.dedupe
    blobs.delete(store, "a", digest)
    with blobs.open_blob(store, "b", digest).file as file:
        assert file.read() == content
    assert store.storage.is_shared(paths.content(digest)) == store.dedupe
    blobs.delete(store, "b", digest)
    assert not store.storage.is_shared(paths.content(digest))


def test_a_wrong_digest_leaves_nothing(store: Store) -> None:
    """Content of another digest is refused, and neither blob nor upload stays, whole or in a session."""
    with pytest.raises(DigestInvalid, match="have the digest sha256:"):
        uploads.push(store, "a", NOBODY, [b"something else"])
    session = uploads.start(store, "a")
    with pytest.raises(DigestInvalid):
        uploads.finish(store, "a", session, NOBODY, [b"something else"], None)
    assert left_over(store) == []
    assert not repositories.exists(store, "a")


def test_a_body_that_breaks_off(store: Store) -> None:
    """A push in one request that breaks off leaves nothing; a session keeps what came and goes on from there."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        uploads.push(store, "a", NOBODY, broken())
    assert left_over(store) == []
    session = uploads.start(store, "a")
    with pytest.raises(ConnectionResetError):
        uploads.append(store, "a", session, broken(), None)
    assert uploads.status(store, "a", session) == 4
    uploads.finish(store, "a", session, digests.of(b"half and half"), [b" and half"], 4)


def test_chunks_have_an_order(store: Store) -> None:
    """A chunk that begins elsewhere is refused with 416 and the session goes on where it stood."""
    session = uploads.start(store, "a")
    assert uploads.append(store, "a", session, [b"0123"], 0) == 4
    for begin in (0, 3, 5, 2**62):
        with pytest.raises(BlobUploadInvalid) as caught:
            uploads.append(store, "a", session, [b"x"], begin)
        assert caught.value.status == 416
        assert caught.value.headers["Range"] == "0-3"
    uploads.finish(store, "a", session, digests.of(b"01234567"), [b"4567"], 4)


def test_an_upload_goes_on_in_another_worker(store: Store) -> None:
    """A worker that has not seen the beginning reads it again before it believes a digest."""
    session = uploads.start(store, "a")
    uploads.append(store, "a", session, [b"begun here, "], None)
    store.hashes.forget(paths.upload("a", session, ""))
    uploads.append(store, "a", session, [b"continued there"], None)
    uploads.finish(store, "a", session, digests.of(b"begun here, continued there"), [], None)


def test_a_hash_of_another_algorithm(store: Store) -> None:
    """Chunks are hashed as sha256 on the way; a digest of another algorithm is computed at the end."""
    session = uploads.start(store, "a")
    uploads.append(store, "a", session, [b"chunk"], None)
    digest = digests.of(b"chunk", "sha512")
    uploads.finish(store, "a", session, digest, [], None)
    assert blobs.stat(store, "a", digest).size == 5


def test_a_session_belongs_to_its_repository(store: Store) -> None:
    """Elsewhere, after its end, and under a name that is none, there is no such session."""
    session = uploads.start(store, "a")
    for name, asked in (("b", session), ("a", "../../etc"), ("a", session.upper()), ("a", "")):
        with pytest.raises(BlobUploadUnknown):
            uploads.status(store, name, asked)
    uploads.cancel(store, "a", session)
    with pytest.raises(BlobUploadUnknown):
        uploads.cancel(store, "a", session)


def test_two_requests_on_one_session(store: Store) -> None:
    """While one request writes to a session, another is told so with a 409, and the first is not disturbed."""
    session = uploads.start(store, "a")

    def body() -> Iterator[bytes]:
        yield b"one"
        with pytest.raises(BlobUploadInvalid) as caught:
            uploads.append(store, "a", session, [b"two"], None)
        assert caught.value.status == 409
        yield b" two"

    assert uploads.append(store, "a", session, body(), None) == 7


def test_mount(store: Store, push_blob: PushBlob) -> None:
    """With dedupe a blob is mounted from a repository, or from any; what is not there is not mounted."""
    digest = push_blob("a", b"shared")
    assert blobs.mount(store, "b", digest, "a") is store.dedupe
    assert blobs.mount(store, "c", digest, None) is store.dedupe
    assert not blobs.mount(store, "d", NOBODY, "a")
    assert not blobs.mount(store, "d", digest, "nowhere")
    assert not blobs.mount(store, "d", NOBODY, None)
    assert list(repositories.names(store)) == (["a", "b", "c"] if store.dedupe else ["a"])


def test_a_manifest_comes_back_as_it_was(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """By tag and by digest a manifest has its bytes and its type; a new digest and a new tag are unknown."""
    body = json.dumps(json.loads(image), indent=3).encode() + b"\n"
    digest = push_manifest("a", body, "v1")
    assert manifests.get(store, "a", "v1").body == manifests.get(store, "a", digest).body == body
    assert manifests.describe(store, "a", "v1") == manifests.describe(store, "a", digest)
    for reference in ("v2", NOBODY):
        with pytest.raises(ManifestUnknown):
            manifests.get(store, "a", reference)
    with pytest.raises(NameUnknown):
        manifests.get(store, "b", "v1")


def test_a_manifest_needs_its_blobs(store: Store, push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """Blobs that are missing are named, all of them, and nothing of the manifest stays, not even a repository."""
    with pytest.raises(ManifestBlobUnknown) as caught:
        push_manifest("a", manifest(), "v1")
    assert caught.value.detail["digests"] == [digest_of(b"{}"), digest_of(b"layer")]
    assert not repositories.exists(store, "a")
    push_blob("b", b"{}")
    push_blob("b", b"layer")
    with pytest.raises(ManifestBlobUnknown):
        push_manifest("a", manifest(), "v1")


def test_foreign_layers_and_children_may_be_missing(push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """Layers that live elsewhere, the children of an index, and a subject need not be here."""
    push_blob("a", b"{}")
    foreign = descriptor(b"x", "application/vnd.oci.image.layer.nondistributable.v1.tar")
    push_manifest("a", manifest(layers=(), subject=foreign))
    body = json.loads(manifest(layers=()))
    push_manifest("a", json.dumps(body | {"layers": [foreign]}).encode())
    push_manifest("a", index(b"not here"), media_type=OCI_INDEX)


def test_a_tag_moves(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """A tag that moves leaves the old manifest to be had by digest; deleting the old one does not take the tag."""
    old = push_manifest("a", image, "v1", "v2")
    new = push_manifest("a", image + b" ", "v1")
    assert manifests.get(store, "a", "v1").digest == new
    assert manifests.get(store, "a", old).body == image
    manifests.delete_digest(store, "a", old)
    assert manifests.get(store, "a", "v1").digest == new
    assert tags.page(store, "a", 10, "").names == ["v1"]


def test_deleting_a_tag_keeps_the_manifest(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """The manifest stays under its digest and its other tags."""
    digest = push_manifest("a", image, "v1", "v2")
    manifests.delete_tag(store, "a", "v1")
    with pytest.raises(ManifestUnknown):
        manifests.delete_tag(store, "a", "v1")
    assert manifests.get(store, "a", digest).digest == manifests.get(store, "a", "v2").digest == digest


def test_deleting_a_digest_takes_its_tags(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """However many tags there are, all go with the digest, and the blobs may be deleted after."""
    names = tuple(f"v{number}" for number in range(120))
    digest = push_manifest("a", image, *names)
    other = push_manifest("a", image + b" ", "other")
    manifests.delete_digest(store, "a", digest)
    with pytest.raises(ManifestUnknown):
        manifests.get(store, "a", digest)
    assert tags.page(store, "a", 1000, "").names == ["other"]
    manifests.delete_digest(store, "a", other)
    assert tags.page(store, "a", 1000, "") == ([], False)
    blobs.delete(store, "a", digests.of(b"layer"))


def test_a_child_of_an_index_stays(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """A manifest that an index lists is not deleted before the index."""
    child = push_manifest("a", image)
    parent = push_manifest("a", index(image), "multi", media_type=OCI_INDEX)
    with pytest.raises(Denied) as caught:
        manifests.delete_digest(store, "a", child)
    assert caught.value.status == 405
    assert caught.value.detail["index"] == str(parent)
    manifests.delete_digest(store, "a", parent)
    manifests.delete_digest(store, "a", child)


def test_an_index_that_was_replaced_protects_nothing(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """Once the tag of an index has moved on, its children may be deleted: clients keep lists of referrers so."""
    child = push_manifest("a", image)
    push_manifest("a", index(image), "list", media_type=OCI_INDEX)
    push_manifest("a", index(), "list", media_type=OCI_INDEX)
    manifests.delete_digest(store, "a", child)
    again = push_manifest("a", image)
    push_manifest("a", index(image, annotations={"by": "digest"}), media_type=OCI_INDEX)
    with pytest.raises(Denied):
        manifests.delete_digest(store, "a", again)


def test_an_index_that_never_came_to_be_protects_nothing(
    store: Store, image: bytes, push_manifest: PushManifest
) -> None:
    """What a push that was killed leaves of an index keeps nobody from deleting its children."""
    child, parent = push_manifest("a", image), index(image)
    parsed = oci_manifest.parse(parent, OCI_INDEX)
    for fact in manifests.derived("a", digests.of(parent), parsed, len(parent)):
        store.storage.write(fact.key, fact.document)
    manifests.delete_digest(store, "a", child)
    with pytest.raises(ManifestUnknown):
        manifests.get(store, "a", child)


def test_a_blob_that_is_named_stays(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """A blob that a manifest names, and a manifest itself, are not deleted as blobs."""
    digest = push_manifest("a", image, "v1")
    for named in (digests.of(b"layer"), digests.of(b"{}"), digest):
        with pytest.raises(Denied) as caught:
            blobs.delete(store, "a", named)
        assert caught.value.status == 405
        assert caught.value.detail["manifest"] == str(digest)


def test_referrers(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """What names a subject is listed with type and annotations, by type if asked, until it is deleted."""
    subject = push_manifest("a", image, "v1")
    named = descriptor(image, "application/vnd.oci.image.manifest.v1+json")
    one = push_manifest("a", manifest(subject=named, artifactType="text/one", annotations={"k": "v"}))
    two = push_manifest("a", manifest(subject=named))
    found = referrers.page(store, "a", subject, frozenset(), "").descriptors
    assert sorted(str(entry["digest"]) for entry in found) == sorted([str(one), str(two)])
    types = {str(entry["digest"]): entry["artifactType"] for entry in found}
    assert types == {str(one): "text/one", str(two): "application/vnd.oci.image.config.v1+json"}
    only = referrers.page(store, "a", subject, frozenset({"text/one"}), "")
    assert [entry["annotations"] for entry in only.descriptors] == [{"k": "v"}]
    manifests.delete_digest(store, "a", one)
    assert len(referrers.page(store, "a", subject, frozenset(), "").descriptors) == 1
    assert referrers.page(store, "nowhere", subject, frozenset(), "") == ([], None)


def test_a_referrer_that_never_came_to_be_is_not_listed(
    store: Store, image: bytes, push_manifest: PushManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that dies between a referrer's place in the list and its manifest leaves no entry that is a 404."""
    subject = push_manifest("a", image, "v1")
    real = type(store.storage).write

    def die(storage: Storage, key: str, *arguments: Any, **named: Any) -> None:
        if "/manifests/" in key:
            raise Unavailable("dead")
        real(storage, key, *arguments, **named)

    body = manifest(subject=descriptor(image, OCI_MANIFEST))
    with monkeypatch.context() as dying:
        dying.setattr(type(store.storage), "write", die)
        with pytest.raises(Unavailable):
            push_manifest("a", body)
    assert list(store.storage.list(paths.referrers("a", subject)))
    assert referrers.page(store, "a", subject, frozenset(), "").descriptors == []
    push_manifest("a", body)
    assert len(referrers.page(store, "a", subject, frozenset(), "").descriptors) == 1


def test_referrers_come_in_pages(
    store: Store, image: bytes, push_manifest: PushManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages follow each other without a gap, and what a fallback tag lists is woven in once."""
    monkeypatch.setattr(referrers, "PAGE", 3)
    subject = push_manifest("a", image, "v1")
    named = descriptor(image, "application/vnd.oci.image.manifest.v1+json")
    pushed = [manifest(subject=named, annotations={"n": str(number)}) for number in range(7)]
    for body in pushed:
        push_manifest("a", body)
    fallback = index(*pushed[:2], b"only in the fallback tag")
    push_manifest("a", fallback, subject.filename, media_type=OCI_INDEX)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = referrers.page(store, "a", subject, frozenset(), after)
        found += [str(entry["digest"]) for entry in page.descriptors]
        after = page.next_after
    expected = [digest_of(body) for body in [*pushed, b"only in the fallback tag"]]
    assert found == sorted(expected)


def test_the_catalogue_is_in_byte_order(store: Store, push_blob: PushBlob) -> None:
    """Repositories are listed in the order of their names' bytes, in pages, from after a name that need not exist."""
    names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a_b", "aa", "b0"]
    for name in reversed(names):
        push_blob(name, b"x")
    assert list(repositories.names(store)) == sorted(names)
    page = repositories.page((name for name in repositories.names(store, "a.") if name != "a/b"), 3)
    assert page == (["a.b", "a/b/c", "a_b"], True)
    assert repositories.page(repositories.names(store), 0) == ([], False)


def test_manifests_have_a_file_of_their_own(store: Store, push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """A manifest shares its content with nothing, even if its bytes came as a blob before, or come after."""
    push_blob("a", b"{}")
    body = manifest(layers=())
    push_blob("a", body)
    push_blob("other", body)
    digest = push_manifest("a", body, "v1")
    push_blob("a", body)
    assert not blobs.mount(store, "b", digest, "a")
    store.storage.update(paths.blob("a", digest), lambda _: b"as another tool may rewrite it in place")
    with blobs.open_blob(store, "other", digest).file as file:
        assert file.read() == body


def test_lost_content_is_not_served(store: Store, image: bytes, push_manifest: PushManifest) -> None:
    """A manifest whose content is gone or of another length is unknown, not half an answer."""
    digest = push_manifest("a", image, "v1")
    store.storage.update(paths.blob("a", digest), lambda _: b"short")
    with pytest.raises(ManifestUnknown):
        manifests.get(store, "a", "v1")
    push_manifest("a", image, "v1")
    assert manifests.get(store, "a", "v1").body == image


def test_a_sparse_store_takes_what_lacks_blobs(store: Store, push_manifest: PushManifest) -> None:
    """Where that was asked for, a manifest may name blobs that are not here, and can be pulled all the same."""
    sparse = replace(store, sparse=True)
    body = manifest()
    manifests.put(sparse, "a", digests.of(body), body, oci_manifest.parse(body, OCI_MANIFEST), ("v1",))
    assert manifests.get(store, "a", "v1").body == body


def test_docker_manifests_are_manifests(push_blob: PushBlob, push_manifest: PushManifest) -> None:
    """Docker's manifests need their blobs as OCI's do."""
    push_blob("a", b"{}")
    body = manifest(mediaType=DOCKER_MANIFEST)
    with pytest.raises(ManifestBlobUnknown):
        push_manifest("a", body, media_type=DOCKER_MANIFEST)


def test_sessions_left_behind_are_swept(store: Store) -> None:
    """Sessions that nobody wrote to since a time are dropped; those that are held, or are younger, stay."""
    old, held = uploads.start(store, "a"), uploads.start(store, "a")
    time.sleep(0.05)
    limit = time.time()
    time.sleep(0.05)
    young = uploads.start(store, "a")
    with store.storage.upload(paths.upload("a", held, "")):
        assert uploads.sweep(store, limit) == 1
    assert uploads.status(store, "a", held) == uploads.status(store, "a", young) == 0
    with pytest.raises(BlobUploadUnknown):
        uploads.status(store, "a", old)


def test_an_index_that_is_tagged_again_protects_its_children(
    store: Store, image: bytes, push_manifest: PushManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that was replaced when a delete looked first, and has its tag again when it holds the lock, is heeded."""
    child = push_manifest("a", image)
    lists_it = index(image)
    for body in (lists_it, index()):
        push_manifest("a", body, "latest", media_type=OCI_INDEX)
    real = manifests._delete_some

    def tagged_again_before(*arguments: Any) -> bool:
        push_manifest("a", lists_it, "latest", media_type=OCI_INDEX)
        return bool(real(*arguments))

    monkeypatch.setattr(manifests, "_delete_some", tagged_again_before)
    with pytest.raises(Denied, match="lists this manifest"):
        manifests.delete_digest(store, "a", child)
    assert manifests.get(store, "a", child).body == image
