"""Looking at what changed alone: when it is enough, and when the whole repository is read."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.gc.conftest import Pushes
from tests.gc.worlds import HOUR, Clock
from tests.gc.worlds import NAME as A
from tests.images import OCI_MANIFEST, descriptor, digest_of, manifest
from zot.gc import cleaning
from zot.gc.cleaning import Cleaned
from zot.oci import digest as digests
from zot.registry import changes, manifests, paths
from zot.registry.changes import Change
from zot.registry.store import Store


@pytest.fixture
def push(push: Pushes) -> Pushes:
    """Push into a repository in which two images stay."""
    for number in range(2):
        push.image(A, f"kept{number}", layers=(b"shared", f"own {number}".encode()))
    return push


def clean(store: Store, clock: Clock) -> Cleaned:
    """Clean, some hours later, what was noted as changed."""
    clock.now += 2 * HOUR
    store.gathered.flush(store.storage)
    noted = changes.read(store.storage, A)
    assert noted is not None
    store.storage.delete(paths.changed(A))
    return cleaning.clean(store, A, clock.now, dry_run=False, go_on=lambda: None, about=noted.about)


def removed(done: Cleaned) -> set[str]:
    """Return what went, and see that only a part was looked at."""
    assert not done.plan.is_whole
    return {one.reference for one in done.removed}


def test_a_deleted_image_takes_what_only_it_names(store: Store, push: Pushes, clock: Clock) -> None:
    """By tag and by digest: its manifest and its own blobs go, a layer that another image names stays."""
    for by_digest in (False, True):
        digest = push.image(A, "v1", layers=(b"shared", b"lone"))
        assert not removed(clean(store, clock))
        if by_digest:
            manifests.delete_digest(store, A, digest)
        else:
            manifests.delete_tag(store, A, "v1")
        gone = removed(clean(store, clock))
        assert {str(digest), digest_of(b"lone")} < gone
        assert digest_of(b"shared") not in gone
        # The manifest's fact, if it was not deleted, its content, its config and its layer.
        assert len(gone) == 3


def test_an_index_takes_its_children(store: Store, push: Pushes, clock: Clock) -> None:
    """What it listed goes with it, at whatever depth, but for what another index lists or a tag stands for."""
    images = [push.image(A) for _ in range(3)]
    inner = push.index(A, children=tuple(images))
    push.index(A, "outer", children=(inner,))
    push.index(A, "other", children=(images[0],))
    push.put(A, store.storage.read(paths.blob(A, images[1])), OCI_MANIFEST, "tagged")
    assert not removed(clean(store, clock))
    manifests.delete_tag(store, A, "outer")
    gone = removed(clean(store, clock))
    assert {str(inner), str(images[2])} < gone
    assert gone.isdisjoint({str(images[0]), str(images[1])})


def test_a_subject_is_no_reference(store: Store, push: Pushes, clock: Clock) -> None:
    """A referrer that stays does not keep the image that it is about, nor the image's content."""
    subject = push.image(A, "v1")
    push.image(A, "signature", subject=descriptor(b"", OCI_MANIFEST) | {"digest": str(subject)})
    assert not removed(clean(store, clock))
    manifests.delete_digest(store, A, subject)
    assert str(subject) in removed(clean(store, clock))


def test_a_digest_that_is_spelled_otherwise_counts(store: Store, push: Pushes, clock: Clock) -> None:
    """JSON may spell a digest with escapes: its blob is named all the same."""
    for content in (b"{}", b"layer"):
        push.blob(A, content)
    body = manifest()
    spelled = digest_of(b"layer").encode()
    odd = body.replace(spelled, b"\\u0073" + spelled[1:])
    assert json.loads(odd) == json.loads(body)
    push.put(A, odd, OCI_MANIFEST, "odd")
    assert not removed(clean(store, clock))
    push.blob(A, b"layer")
    assert not removed(clean(store, clock))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store, digest: store.storage.write(paths.blob(A, digest), b"{}"),
        lambda store, digest: store.storage.delete(paths.blob(A, digest)),
        lambda store, digest: store.storage.delete(paths.manifest(A, digest)),
    ],
)
def test_doubt_is_for_the_whole(
    store: Store, push: Pushes, clock: Clock, spoil: Callable[[Store, digests.Digest], None]
) -> None:
    """If another manifest, or its fact, is not what it was, the whole repository is read, and nothing is lost."""
    layer = push.blob(A, b"own 0")
    kept = manifests.describe(store, A, "kept0").digest
    push.image(A, "v1", layers=(b"own 0",))
    manifests.delete_tag(store, A, "v1")
    spoil(store, kept)
    done = clean(store, clock)
    assert done.plan.is_whole
    assert str(layer) not in {one.reference for one in done.removed}


def test_a_damaged_tag_is_for_the_whole(store: Store, push: Pushes, clock: Clock) -> None:
    """A tag that can't be read may stand for what another tag has left: nothing goes."""
    digest = push.image(A, "v1", "v2")
    manifests.delete_tag(store, A, "v1")
    store.storage.write(paths.tag(A, "v2"), b"not a tag")
    done = clean(store, clock)
    assert done.plan.is_whole
    assert str(digest) not in {one.reference for one in done.removed}


def test_marks_add_up(store: Store) -> None:
    """A mark keeps the time of its first change and names all digests, or none when somebody could not say which."""
    one, other = (digests.of(content) for content in (b"one", b"other"))
    storage = store.storage
    changes.note(storage, A, {one}, 1.0)
    changes.note(storage, A, {one}, 2.0)
    assert changes.read(storage, A) == Change(1.0, frozenset({one}))
    changes.note(storage, A, {other}, 3.0)
    assert changes.read(storage, A) == Change(1.0, frozenset({one, other}))
    changes.note(storage, A, None, 4.0)
    changes.note(storage, A, {one}, 5.0)
    assert changes.read(storage, A) == Change(1.0, None)
    storage.write(paths.changed("old"), b"")
    assert changes.read(storage, "old") == Change(0.0, None)
    changes.note(storage, "many", {digests.of(str(number).encode()) for number in range(2001)}, 1.0)
    changes.note(storage, "many", {one}, 1.0)
    assert changes.read(storage, "many") == Change(1.0, None)


def test_old_statistics_do_no_harm(store: Store, push: Pushes, clock: Clock) -> None:
    """A look at a part does not forget the pulls of what it has not looked at."""
    manifests.get(store, A, "kept0")
    push.image(A, "v1")
    manifests.delete_tag(store, A, "v1")
    assert removed(clean(store, clock))
    assert "kept0" in json.loads(store.storage.read(paths.statistics(A)))
