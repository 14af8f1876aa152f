"""Scrub finds what is wrong, says which tags suffer, and lets none of it be served."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.gc.conftest import Pushes
from tests.images import OCI_MANIFEST, descriptor
from tests.services import S3Server
from tests.storage.conftest import bucket_driver
from zot.errors import BlobUnknown, ManifestUnknown
from zot.gc.hashing import Hashing
from zot.gc.scrubbing import Scrubbed, Scrubber
from zot.oci import digest as digests
from zot.oci.digest import Digest
from zot.registry import blobs, facts, manifests, paths, referrers
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem
from zot.storage.memory import Memory
from zot.storage.protocol import Content, Damaged, Storage
from zot.storage.s3 import S3, pointers

A = "team/app"
LARGE = b"layer" * 40_000


@pytest.fixture(params=["memory", "filesystem", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each driver; its clock is the machine's."""
    if request.param == "memory":
        yield Store(Memory())
    elif request.param == "filesystem":
        driver = Filesystem(str(tmp_path), private=paths.PRIVATE, commit=False)
        driver.start()
        yield Store(driver)
    else:
        server: S3Server = request.getfixturevalue("moto")
        with bucket_driver(server) as bucket:
            yield Store(bucket)


@pytest.fixture
def push(store: Store) -> Pushes:
    """Push into the store."""
    return Pushes(store)


def scrub(store: Store, name: str = A) -> Scrubbed:
    """Scrub a repository."""
    return Scrubber(store, name, Hashing(0), lambda: None).scrub()


def problems(store: Store, name: str = A) -> dict[Digest, tuple[tuple[str, ...], bool]]:
    """Scrub, and return what was found: the tags of each digest, and whether it was put right; each is said once."""
    done = scrub(store, name)
    assert not done.problems
    return {one.digest: (one.tags, one.mended) for one in done.findings}


def replace_content(storage: Storage, key: str, value: bytes) -> None:
    """Do to content what a bad disk does: change it where it lies, in each place that shares it."""
    if isinstance(storage, Memory):
        storage._keys[key].value = value
    elif isinstance(storage, Filesystem):
        path = Path(storage._path(key))
        times = path.stat()
        with path.open("r+b") as file:
            file.truncate(len(value))
            file.write(value)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        assert isinstance(storage, S3)
        pointer = pointers.of_metadata(storage.bucket.head(key).metadata)
        storage.bucket.put(key if pointer is None else pointer.data, value)


@pytest.mark.parametrize("change", [lambda old: b"L" + old[1:], lambda old: old[:-1], lambda old: old[:0]])
def test_damaged_blobs_are_set_aside(store: Store, push: Pushes, change: Callable[[bytes], bytes]) -> None:
    """A flipped bit, a truncated file and an empty one: found under the tags, served no more, and mended by a push."""
    push.image(A, "v1", layers=(LARGE,))
    image = push.image(A, layers=(LARGE,))
    push.index(A, "multi", children=(image,))
    push.image("other", "v1", layers=(LARGE,))
    layer = push.blob(A, LARGE)
    assert not problems(store)
    replace_content(store.storage, paths.blob(A, layer), change(LARGE))
    assert problems(store) == {layer: (("multi", "v1"), False)}
    with pytest.raises(BlobUnknown):
        blobs.open_blob(store, A, layer)
    push.blob(A, LARGE)
    with blobs.open_blob(store, A, layer).file as file:
        assert file.read() == LARGE, "what is pushed anew is not shared with what is damaged"
    assert not problems(store)


def test_what_the_disk_does_not_give_back_is_reported(store: Store, push: Pushes) -> None:
    """It stays where it is, as the disk may be mended; the rest of the repository is looked at."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "it does not read")

    push.image(A, "v1", layers=(LARGE,))
    layer, other = push.blob(A, LARGE), push.blob(A, b"other")
    replace_content(store.storage, paths.blob(A, other), b"Other")

    def opened(key: str, start: int = 0) -> Content:
        if key == paths.blob(A, layer):
            return Content(Failing(), len(LARGE))
        return type(store.storage).open(store.storage, key, start)

    store.storage.open = opened  # type: ignore[method-assign]
    found = {one.digest: one.problem for one in scrub(store).findings}
    assert found[layer] == "its content can't be read (Input/output error); see to the disk"
    assert "set aside" in found[other]
    assert blobs.stat(store, A, layer)


def test_a_damaged_manifest_is_set_aside(store: Store, push: Pushes) -> None:
    """A manifest, and an index, whose bytes changed is served no more by a worker that has not read it before."""
    image = push.image(A, "v1")
    index = push.index(A, "multi", children=(image,))
    for digest, tags in ((image, ("multi", "v1")), (index, ("multi",))):
        key = paths.blob(A, digest)
        body = store.storage.read(key)
        store.storage.write(key, body[:-2] + b" }")
        assert problems(store) == {digest: (tags, False)}
        fresh = Store(store.storage)
        with pytest.raises(ManifestUnknown):
            manifests.get(fresh, A, digest)
        store.storage.write(key, body)
        assert manifests.get(fresh, A, digest).body == body


def test_a_missing_blob_is_reported(store: Store, push: Pushes) -> None:
    """With each tag that needs it; where sparse images are accepted, nobody knows that it should be here."""
    push.image(A, "v1", layers=(b"one",))
    push.image(A, "v2")
    layer = push.blob(A, b"one")
    store.storage.remove(paths.blob(A, layer), shared=paths.content(layer))
    assert problems(store) == {layer: (("v1",), False)}
    with pytest.raises(BlobUnknown):
        blobs.open_blob(store, A, layer)
    assert not problems(Store(store.storage, sparse=True))


def test_a_fact_without_content_is_reported(store: Store, push: Pushes) -> None:
    """A manifest that has lost its content answers 404, and is named."""
    image = push.image(A, "v1")
    store.storage.remove(paths.blob(A, image), shared=paths.content(image))
    assert problems(store) == {image: (("v1",), False)}
    with pytest.raises(ManifestUnknown):
        manifests.get(Store(store.storage), A, "v1")


@pytest.mark.parametrize("names_its_type", [True, False])
def test_a_fact_that_can_not_be_read_is_put_right(store: Store, push: Pushes, names_its_type: bool) -> None:
    """It is written anew as the content tells it, or a tag, and the manifest can be asked for by its digest again."""
    digest = push.image(A, "v1", subject=descriptor(b"x", OCI_MANIFEST))
    body = store.storage.read(paths.blob(A, digest))
    if not names_its_type:
        body = json.dumps({key: value for key, value in json.loads(body).items() if key != "mediaType"}).encode()
        digest = push.put(A, body, OCI_MANIFEST, "v1")
    store.storage.write(paths.manifest(A, digest), b"\x00")
    with pytest.raises(Damaged):
        manifests.get(store, A, digest)
    (found,) = scrub(store).findings
    assert (found.digest, found.mended) == (digest, True)
    assert manifests.get(store, A, digest) == (OCI_MANIFEST, digest, body)
    assert not scrub(store).findings


def test_a_wrong_size_in_a_fact_is_put_right(store: Store, push: Pushes) -> None:
    """In the manifest's fact and in the tag's; HEAD tells the right one afterwards."""
    image = push.image(A, "v1")
    size = manifests.describe(store, A, image).size
    fact = facts.decode_manifest(store.storage.read(paths.manifest(A, image)))
    tag = facts.decode_tag(store.storage.read(paths.tag(A, "v1")))
    store.storage.write(paths.manifest(A, image), fact._replace(size=size + 1).encode())
    store.storage.write(paths.tag(A, "v1"), tag._replace(size=size - 1).encode())
    found = scrub(store)
    assert [one.mended for one in found.findings] == [True, True]
    assert manifests.describe(store, A, image).size == manifests.describe(store, A, "v1").size == size
    assert not problems(store)


def test_content_without_a_fact_gets_it_back(store: Store, push: Pushes) -> None:
    """What a tag or an index leads to is a manifest of the repository again, and can be read by its digest."""
    tagged, child = push.image(A, "v1"), push.image(A)
    index = push.index(A, "multi", children=(child,))
    for digest in (tagged, child):
        store.storage.delete(paths.manifest(A, digest))
        with pytest.raises(ManifestUnknown):
            manifests.get(store, A, digest)
    assert problems(store) == {tagged: (("v1",), True), child: (("multi",), True)}
    for digest in (tagged, child, index):
        assert manifests.get(store, A, digest).digest == digest
    assert not problems(store)


def test_derived_facts_are_put_right(store: Store, push: Pushes) -> None:
    """The children of an index and the descriptor of a referrer are written anew from their content."""
    subject = push.image(A, "v1")
    referrer = push.image(A, subject=descriptor(b"", OCI_MANIFEST) | {"digest": str(subject)})
    index = push.index(A, "multi", children=(subject,))
    store.storage.write(paths.index(A, index), json.dumps([]).encode())
    store.storage.delete(paths.referrer(A, subject, referrer))
    assert referrers.page(store, A, subject, frozenset(), "").descriptors == []
    assert problems(store) == {index: (("multi",), True), referrer: ((), True)}
    assert len(referrers.page(store, A, subject, frozenset(), "").descriptors) == 1
    assert not problems(store)


def test_a_blob_that_is_pushed_anew_meanwhile_stays(
    store: Store, push: Pushes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content that was replaced after it was found damaged is looked at again, and not set aside."""
    layer = push.blob(A, LARGE)
    key = paths.blob(A, layer)
    replace_content(store.storage, key, LARGE[:-1])
    check = Hashing.check

    def check_and_push(self: Hashing, *arguments: object) -> tuple[int, bool]:
        found = check(self, *arguments)  # type: ignore[arg-type]
        if not found[1]:
            store.storage.remove(key, shared=paths.content(layer))
            time.sleep(1.1 if isinstance(store.storage, S3) else 0.02)
            push.blob(A, LARGE)
        return found

    monkeypatch.setattr(Hashing, "check", check_and_push)
    assert not problems(store)
    with blobs.open_blob(store, A, layer).file as file:
        assert file.read() == LARGE


def test_what_is_shared_is_read_once(push: Pushes, store: Store) -> None:
    """Two repositories that share a file cost one reading of it."""
    if not isinstance(store.storage, Filesystem):
        return
    for name in (A, "other"):
        push.blob(name, LARGE)
    hashing = Hashing(0)
    sizes = [Scrubber(store, name, hashing, lambda: None).scrub().size for name in (A, "other")]
    assert sizes == [len(LARGE), 0]


def test_reading_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of bytes a second, the pauses are as long as that takes."""
    slept: list[float] = []
    monkeypatch.setattr("zot.gc.hashing.time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append))
    content = Content(io.BytesIO(bytes(3_000_000)), 3_000_000)
    assert Hashing(1e6).check(content, digests.of(bytes(3_000_000)), lambda: None) == (3_000_000, True)
    assert sum(slept) == 3.0
