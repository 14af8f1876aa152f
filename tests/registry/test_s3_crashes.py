"""A server on S3 that dies at any of the requests that an operation makes, and what a sweep leaves of that."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.faults import Fault, FaultProxy, fault_proxy
from tests.images import OCI_MANIFEST, manifest
from tests.services import ACCESS_KEY, SECRET_KEY, S3Server
from zot.errors import RegistryError
from zot.gc import passes
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.registry import blobs, manifests, paths, repositories, uploads
from zot.registry.retention import Retention
from zot.registry.store import Store
from zot.storage.protocol import StorageError
from zot.storage.s3 import S3, Settings, locks
from zot.storage.s3 import uploads as s3_uploads

# With ZOT_FULL a test takes minutes, and on a busy machine more than a test may otherwise.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

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
        root = uuid.uuid4().hex
        self.dying, self.after = self._store(proxy.endpoint, root), self._store(server.endpoint, root)

    def fresh(self) -> Store:
        """Return a store that nobody has used."""
        return self._store(self._server.endpoint, uuid.uuid4().hex)

    def _store(self, endpoint: str, root: str) -> Store:
        settings = Settings(
            self._server.bucket,
            endpoint=endpoint,
            root=root,
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


def keys(store: Store) -> Counter[str]:
    """Return all keys of a bucket, those that are chosen by chance without what chance chose."""
    assert isinstance(store.storage, S3)
    bucket = store.storage.bucket
    assert list(bucket.unfinished("")) == []
    return Counter(re.sub(r"(/data/|/links/.*/[0-9a-f]{32}-).*", r"\1", one.key) for one in bucket.walk(""))


class Patient:
    """Somebody who watches a pass and never stops it."""

    def go_on(self) -> None:
        """Let it go on."""

    def cleaned(self, done: object) -> None:
        """Be told."""

    def apart(self, name: str) -> AbstractContextManager[None]:
        """Pass on what fails."""
        return nullcontext()

    def scrubbed(self, done: object) -> None:
        """Be told."""

    def dropped(self, what: str, size: int) -> None:
        """Be told."""


def collect(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect garbage as if all were old."""
    later = time.time() + 30 * 24 * 3600
    with monkeypatch.context() as future:
        future.setattr("time.time", lambda: later)
        passes.over_all(replace(store, retention=Retention()), passes.Settings(), Patient(), resume=False)


def rebuilt(store: Store, into: Store) -> Store:
    """Push all that the tags of a store lead to into another one."""
    for name in repositories.names(store):
        for one in store.storage.list(paths.tags(name)):
            found = manifests.get(store, name, one)
            parsed = oci_manifest.parse(found.body, found.media_type)
            for digest in parsed.blobs:
                with blobs.open_blob(store, name, digest).file as file:
                    uploads.push(into, name, digest, [file.read()])
            manifests.put(into, name, found.digest, found.body, parsed, (one,))
    return into


def check(store: Store, name: str) -> None:
    """See that every tag of a repository leads to an image that is there whole."""
    for one in store.storage.list(paths.tags(name)):
        found = manifests.get(store, name, one)
        for blob in oci_manifest.parse(found.body, found.media_type).blobs:
            with blobs.open_blob(store, name, blob).file as file:
                assert digests.of_file(file, "sha256") == blob


Step = Callable[[Image, Store], object]


def deaths(world: World, before: Step | None, operation: Step, size: int) -> Iterator[tuple[int, Image, bool]]:
    """Let an operation die after each number of requests; yield that, what it was about, and whether it did die."""
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
        yield number, image, died


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
    for number, image, died in deaths(world, before, operation, size):
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


@pytest.mark.parametrize(
    ("before", "operation", "size"),
    [
        (None, Image.push, 70_000),
        (None, Image.push, 6 * MIB),
        (Image.push, Image.delete, 70_000),
        (Image.push, Image.mount, 70_000),
    ],
    ids=["push", "push in parts", "delete", "mount"],
)
def test_nothing_is_left_of_a_death_at_any_request(
    world: World, monkeypatch: pytest.MonkeyPatch, before: Step | None, operation: Step, size: int
) -> None:
    """Whichever request it dies at, a collection leaves what a new bucket with the same images has, and no key more."""
    for _, image, died in deaths(world, before, operation, size):
        with monkeypatch.context() as void:
            void.setattr(locks, "VOID_AFTER", -1.0)
            void.setattr(s3_uploads, "VOID_AFTER", -1.0)
            collect(world.after, monkeypatch)
        for name in (image.name, image.other):
            check(world.after, name)
        if not died:
            break
    assert keys(world.after) == keys(rebuilt(world.after, world.fresh()))
