"""A server on S3 that dies at any of the requests that an operation makes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.faults import Fault, FaultProxy, fault_proxy
from tests.images import OCI_MANIFEST, manifest
from tests.services import ACCESS_KEY, SECRET_KEY, S3Server
from zot.errors import RegistryError
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.registry import blobs, manifests, paths, uploads
from zot.registry.store import Store
from zot.storage.protocol import StorageError
from zot.storage.s3 import S3, Settings, locks
from zot.storage.s3 import uploads as s3_uploads

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
# With ZOT_FULL set each request is tried, which takes minutes; otherwise one of five.
EACH = 1 if os.environ.get("ZOT_FULL") else 5
CONFIG, KEPT = b"{}", b"kept " * 20_000


class World:
    """A bucket, a server that will die at some request, and one that comes after it."""

    def __init__(self, server: S3Server, proxy: FaultProxy, stack: ExitStack) -> None:
        self._server = server
        self._proxy = proxy
        self._stack = stack
        self._root = uuid.uuid4().hex
        self.dying, self.after = self._store(proxy.endpoint), self._store(server.endpoint)

    def _store(self, endpoint: str) -> Store:
        settings = Settings(
            self._server.bucket,
            endpoint=endpoint,
            root=self._root,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            part_size=5 * MIB,
        )
        driver = S3(settings, private=paths.PRIVATE)
        self._stack.callback(driver.close)
        return Store(driver)

    def die_after(self, number: int) -> None:
        """Let the server make so many requests more, and reach nothing from then on."""
        made = iter(range(10_000))
        # What is forbidden is not tried again, so this is over as soon as a death is.
        self._proxy.rule = lambda *_: None if next(made) < number else Fault(403)


@pytest.fixture
def world(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty bucket, and nobody waits between tries."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    with ExitStack() as stack:
        yield World(seaweedfs, stack.enter_context(fault_proxy(seaweedfs.endpoint)), stack)


class Image(NamedTuple):
    """An image that no other attempt has: its repository, another one, and two layers."""

    name: str
    other: str
    small: bytes
    large: bytes

    def push(self, store: Store) -> Digest:
        """Push it whole, as v1."""
        for content in (CONFIG, self.small, self.large):
            push(store, self.name, content)
        return tag(store, self.name, self.small, self.large)

    def move(self, store: Store) -> None:
        """Push another image, and let the tag stand for that."""
        self._replace(large=self.large + b"and more").push(store)

    def delete(self, store: Store) -> None:
        """Delete the manifest with its tag, and the layers."""
        manifests.delete_digest(store, self.name, manifests.describe(store, self.name, "v1").digest)
        for content in (self.small, self.large):
            blobs.delete(store, self.name, digests.of(content))

    def mount(self, store: Store) -> None:
        """Mount the layers into the other repository, and push an image of them there."""
        push(store, self.other, CONFIG)
        for content in (self.small, self.large):
            assert blobs.mount(store, self.other, digests.of(content), self.name)
        tag(store, self.other, self.small, self.large)


def push(store: Store, name: str, content: bytes) -> Digest:
    """Push a blob by POST, PATCH and PUT."""
    digest = digests.of(content)
    session = uploads.start(store, name)
    uploads.append(store, name, session, [content], 0)
    uploads.finish(store, name, session, digest, [], None)
    return digest


def tag(store: Store, name: str, *layers: bytes) -> Digest:
    """Push a manifest whose blobs are there, as v1."""
    body = manifest(CONFIG, layers)
    digest = digests.of(body)
    manifests.put(store, name, digest, body, oci_manifest.parse(body, OCI_MANIFEST), ("v1",))
    return digest


def check(store: Store, name: str) -> None:
    """See that every tag of a repository leads to an image that is there whole."""
    for one in store.storage.list(paths.tags(name)):
        found = manifests.get(store, name, one)
        for blob in oci_manifest.parse(found.body, found.media_type).blobs:
            with blobs.open_blob(store, name, blob).file as file:
                assert digests.of_file(file, "sha256") == blob


Step = Callable[[Image, Store], object]


@pytest.mark.parametrize(
    ("before", "operation", "size"),
    [
        (None, Image.push, 70_000),
        (None, Image.push, 6 * MIB),
        (Image.push, Image.move, 70_000),
        (Image.push, Image.delete, 70_000),
        (Image.push, Image.mount, 70_000),
    ],
    ids=["push", "push in parts", "move a tag", "delete", "mount"],
)
def test_death_at_any_request(
    world: World, monkeypatch: pytest.MonkeyPatch, before: Step | None, operation: Step, size: int
) -> None:
    """Whichever request it dies at, no tag dangles, nothing acknowledged is lost, and the same can be done again."""
    kept = Image("kept", "", b"small", KEPT)
    digest = kept.push(world.after)
    for number in range(0, 200, EACH):
        image = Image(f"a{number}", f"b{number}", b"%d" % number, (b"%09d" % number) * (size // 9))
        if before is not None:
            before(image, world.after)
        world.die_after(number)
        died = False
        try:
            operation(image, world.dying)
        except (StorageError, RegistryError, AssertionError):
            died = True
        with monkeypatch.context() as void:
            # What the dead hold counts for nothing.
            void.setattr(locks, "VOID_AFTER", -1.0)
            void.setattr(s3_uploads, "VOID_AFTER", -1.0)
            _check_after(world.after, image, operation)
        if not died:
            assert number > 20
            assert manifests.get(world.after, "kept", "v1").digest == digest
            check(world.after, "kept")
            return
    raise AssertionError("the operation has no end")


def _check_after(store: Store, image: Image, operation: Step) -> None:
    for name in (image.name, image.other):
        check(store, name)
    if operation is Image.delete:
        image.push(store)
    operation(image, store)
    for name in (image.name, image.other):
        check(store, name)
    tags = list(store.storage.list(paths.tags(image.name)))
    assert tags == ([] if operation is Image.delete else ["v1"])
