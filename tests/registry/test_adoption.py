"""Taking over layouts that another program wrote."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tests.images import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, index, manifest
from tests.layouts import REF_NAME, LayoutWriter, tags_of
from tests.servers import wait_until
from zot.errors import NameUnknown, Unavailable
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.registry import blobs, manifests, paths, referrers, repositories, tags, uploads
from zot.registry.adoption import adopt
from zot.registry.keeping import Keeper
from zot.registry.store import Store
from zot.storage.filesystem import Filesystem

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of the store."""
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Store:
    """An empty store on disk."""
    driver = Filesystem(str(root), private=paths.PRIVATE)
    driver.start()
    return Store(driver, layouts=driver.layouts)


@pytest.fixture
def keeper(store: Store) -> Keeper:
    """Who keeps its layouts."""
    assert store.layouts is not None
    return Keeper(store, store.layouts, None)


@pytest.fixture
def layout(root: Path) -> LayoutWriter:
    """A layout below the root, with nothing in it."""
    return LayoutWriter(root / "a/b")


def listed(store: Store, name: str) -> list[str]:
    """Return the tags of a repository."""
    return tags.page(store, name, 1000, "").names


def test_a_layout_becomes_a_repository(store: Store, layout: LayoutWriter) -> None:
    """Tags, what an index lists, and what has a subject are found by reading, and served as they are."""
    image = layout.image(b"layer", "v1", "v2")
    child = layout.image(b"child")
    multi = layout.multi(child, tag="multi")
    layout.image(b"signature", "signed", subject=descriptor(image, OCI_MANIFEST), artifactType="a/type")
    layout.write()
    assert not repositories.exists(store, "a/b")
    assert adopt(store, "a/b")
    assert adopt(store, "a/b")
    assert listed(store, "a/b") == ["multi", "signed", "v1", "v2"]
    for tag, body in (("v1", image), ("v2", image), ("multi", multi)):
        assert manifests.get(store, "a/b", tag).body == body
    assert manifests.get(store, "a/b", digests.of(child)).body == child
    assert blobs.stat(store, "a/b", digests.of(b"layer")).size == 5
    (referrer,) = referrers.page(store, "a/b", digests.of(image), frozenset(), "").descriptors
    assert referrer["artifactType"] == "a/type"
    with pytest.raises(Exception, match="lists this manifest"):
        manifests.delete_digest(store, "a/b", digests.of(child))


def test_indexes_in_indexes(store: Store, layout: LayoutWriter) -> None:
    """Whatever an index leads to, over any number of steps, is there by its digest; what is missing is passed by."""
    body = layout.image(b"deep")
    inner = layout.blob(index(body, manifest(layers=(b"not here",))))
    outer = layout.blob(json.dumps({"schemaVersion": 2, "manifests": [descriptor(inner, OCI_INDEX)]}).encode())
    layout.add(outer, OCI_INDEX, "v1")
    layout.write()
    assert adopt(store, "a/b")
    for one in (body, inner, outer):
        assert manifests.get(store, "a/b", digests.of(one)).body == one


def test_docker_types(store: Store, layout: LayoutWriter) -> None:
    """Docker's manifests and lists are served in their types, a child in the type that it names itself."""
    image = layout.blob(manifest(layout.blob(b"{}"), (layout.blob(b"layer"),), mediaType=DOCKER_MANIFEST))
    several = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [descriptor(image, DOCKER_MANIFEST)]}
    body = layout.blob(json.dumps(several).encode())
    layout.add(body, DOCKER_LIST, "v1")
    layout.write()
    assert adopt(store, "a/b")
    assert manifests.get(store, "a/b", "v1").media_type == DOCKER_LIST
    assert manifests.get(store, "a/b", digests.of(image)).media_type == DOCKER_MANIFEST


def test_what_is_not_understood_stays(store: Store, layout: LayoutWriter, keeper: Keeper) -> None:
    """Entries that can't be served, what entries and the index say beyond the facts, are projected as they came."""
    body = layout.image(b"layer")
    layout.add(body, OCI_MANIFEST, "v1", platform={"os": "linux"}, annotations={"who": "them"}, extra=[1])
    layout.add(body, OCI_MANIFEST, "v2")
    other = layout.blob(b'{"mediaType": "application/vnd.example+json"}')
    layout.add(other, "application/vnd.example+json", "odd")
    layout.add(manifest(layers=(b"lost",)), OCI_MANIFEST, "lost")
    layout.add(body, OCI_MANIFEST, "docker.io/library/x:1")
    layout.fields |= {"annotations": {"of": "the index"}, "artifactType": "a/type", "unknown": {"x": None}}
    layout.write()
    before = layout.read()
    keeper.attend("a/b")
    after = layout.read()
    assert listed(store, "a/b") == ["v1", "v2"]
    assert after["manifests"][0] == before["manifests"][0]
    assert sorted(map(str, after["manifests"])) == sorted(map(str, before["manifests"]))
    assert after["artifactType"] == "a/type"
    assert after["unknown"] == {"x": None}
    assert after["annotations"].pop("of") == "the index"
    assert len(after["annotations"]) == 1
    # A tag that moves is ours from then on, and an entry whose tag is pushed goes.
    new = manifest(layers=(layout.blob(b"new"),))
    for tag in ("v1", "odd"):
        manifests.put(store, "a/b", digests.of(new), new, oci_manifest.parse(new, OCI_MANIFEST), (tag,))
    keeper.project_dirty()
    moved = layout.read()
    entries = {entry["annotations"][REF_NAME]: entry for entry in moved["manifests"]}
    assert entries["v1"] == descriptor(new, OCI_MANIFEST, annotations={REF_NAME: "v1"})
    assert entries["odd"]["digest"] == digest_of(new)
    assert {"v2", "lost", "docker.io/library/x:1"} <= entries.keys()


def test_manifests_that_share_their_file_get_their_own(store: Store, root: Path) -> None:
    """A manifest that Go zot's deduplication has linked into two repositories is copied; blobs stay linked."""
    one, two = LayoutWriter(root / "one"), LayoutWriter(root / "two")
    body = one.image(b"layer", "v1")
    for content in (body, b"{}", b"layer"):
        os.link(one.path(content), two.path(content))
    two.add(body, OCI_MANIFEST, "v1")
    for layout in (one, two):
        layout.write()
        assert adopt(store, layout.root.name)
    assert one.path(body).stat().st_nlink == two.path(body).stat().st_nlink == 1
    assert one.path(b"layer").stat().st_nlink == 2
    assert manifests.get(store, "two", "v1").body == body


def test_blobs_get_their_masters_when_they_are_shared(store: Store, layout: LayoutWriter) -> None:
    """The first mount out of a layout makes its file the one that all others share."""
    layout.image(b"layer", "v1")
    layout.write()
    digest = digests.of(b"layer")
    assert blobs.mount(store, "c", digest, "a/b")
    assert blobs.mount(store, "d", digest, None)
    assert repositories.exists(store, "a/b")
    assert layout.path(b"layer").stat().st_nlink == 4


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"manifests": {"a": 1}}', '{"manifests": [1]}', '{"annotations": []}']
)
def test_an_index_that_is_none(store: Store, layout: LayoutWriter, content: str) -> None:
    """A damaged index makes no repository, and stays as it is."""
    layout.index.write_text(content)
    done = adopt(store, "a/b")
    assert done is (content == '{"annotations": []}')
    assert layout.index.read_text() == content


def test_what_is_no_layout(store: Store, layout: LayoutWriter) -> None:
    """Without oci-layout or index.json there is nothing to take over."""
    assert not adopt(store, "a/b")
    layout.image(b"layer", "v1")
    layout.write()
    (layout.root / "oci-layout").unlink()
    assert not adopt(store, "a/b")
    with pytest.raises(NameUnknown):
        tags.read(store, "a/b", "v1")


def test_an_empty_layout_is_an_empty_repository(store: Store, layout: LayoutWriter) -> None:
    """A layout without manifests is a repository without tags, also if its list is null."""
    layout.index.write_text('{"schemaVersion": 2, "manifests": null}')
    assert adopt(store, "a/b")
    assert listed(store, "a/b") == []


def test_a_push_takes_the_layout_over_first(store: Store, layout: LayoutWriter) -> None:
    """Whoever pushes into a layout finds what is there, and adds to it."""
    layout.image(b"layer", "v1")
    layout.write()
    body = manifest(layers=(b"pushed",))
    for content in (b"{}", b"pushed"):
        uploads.push(store, "a/b", digests.of(content), [content])
    manifests.put(store, "a/b", digests.of(body), body, oci_manifest.parse(body, OCI_MANIFEST), ("v2",))
    assert listed(store, "a/b") == ["v1", "v2"]


def test_an_adoption_that_broke_off_is_begun_anew(store: Store, layout: LayoutWriter) -> None:
    """What a crash has left of an adoption is no part of the next, if the layout was changed in between."""
    body = layout.image(b"layer", "v1", "gone")
    layout.multi(body, tag="multi")
    layout.image(b"signature", "signed", subject=descriptor(body, OCI_MANIFEST))
    layout.write()
    assert adopt(store, "a/b")
    # As if the catalogue's key had not been written.
    store.storage.write(paths.adopting("a/b"), b"")
    store.storage.delete(paths.repository("a/b"))
    with pytest.raises(Unavailable), store.storage.lock(paths.lock("a/b"), shared=True):
        repositories.ensure(store, "a/b")
    for tag in ("gone", "multi", "signed"):
        layout.remove(tag)
    layout.write()
    assert adopt(store, "a/b")
    assert listed(store, "a/b") == ["v1"]
    assert referrers.page(store, "a/b", digests.of(body), frozenset(), "").descriptors == []
    assert list(store.storage.list(paths.indexes("a/b"))) == []
    with store.storage.lock(paths.lock("a/b"), shared=True):
        repositories.ensure(store, "a/b")


def test_few_wait_for_an_adoption(store: Store, layout: LayoutWriter) -> None:
    """While a layout is taken over some requests wait for it, and more are told to come again."""
    layout.image(b"layer", "v1")
    layout.write()
    done: list[object] = []

    def touch() -> None:
        try:
            done.append(adopt(store, "a/b"))
        except Unavailable:
            done.append("later")

    threads = [threading.Thread(target=touch) for _ in range(20)]
    with store.storage.lock(paths.layout_lock("a/b"), shared=False):
        for thread in threads:
            thread.start()
        wait_until(lambda: len(done) == 12, "more are told to come again")
        assert done == ["later"] * 12
    for thread in threads:
        thread.join()
    assert done.count(True) == 8


def test_nested_layouts_and_what_is_passed_by(store: Store, root: Path, keeper: Keeper) -> None:
    """The walk finds `a` and `a/b`, and nothing in blobs, in hidden directories or under names that can't be."""
    for name in ("a", "a/b", "foo-blobs", "a/blobs/x", "_trivy/db", ".hidden/x", "a/.sync/x", "Upper"):
        layout = LayoutWriter(root / name)
        layout.image(name.encode(), "v1")
        layout.write()
    keeper.look()
    assert list(repositories.names(store)) == ["a", "a/b", "foo-blobs"]
    for name in ("a", "a/b"):
        assert blobs.stat(store, name, digests.of(name.encode())).size == len(name)
        assert set(tags_of(json.loads((root / name / "index.json").read_bytes()))) == {"v1"}
