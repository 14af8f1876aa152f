"""Putting facts right that content can tell; every function's caller holds the repository's lock, exclusively."""

from __future__ import annotations

import time
from collections.abc import Iterator

from zot.oci import manifest as oci_manifest
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.registry import facts, manifests, paths, repositories
from zot.registry.facts import ManifestFact
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound


def manifest(store: Store, name: str, digest: Digest, size: int) -> Iterator[str]:
    """Compare the facts of a manifest with its content, of `size` bytes; say what was put right. Raises `NotFound`."""
    body = store.storage.read(paths.blob(name, digest))
    if len(body) != size:
        return
    key = paths.manifest(name, digest)
    fact = facts.decode_manifest(store.storage.read(key))
    if fact.size != size:
        store.storage.write(key, fact._replace(size=size).encode())
        yield f"its fact said {fact.size} bytes and it has {size}; put right"
    parsed = oci_manifest.parse(body, fact.media_type)
    for derived in manifests.derived(name, digest, parsed, size):
        if _read(store, derived.key) != derived.document:
            store.storage.write(derived.key, derived.document, new_directory=True)
            yield f"what is known of its {derived.what} is not what its content says; put right"


def unreadable(store: Store, name: str, digest: Digest) -> Iterator[str]:
    """Write the fact of a manifest anew that can't be read, as its content or a tag tells it. Raises `NotFound`."""
    try:
        facts.decode_manifest(store.storage.read(paths.manifest(name, digest)))
    except Damaged:
        pass
    else:
        yield "what is known of it and its content do not fit; push it again"
        return
    body = store.storage.read(paths.blob(name, digest))
    told = (
        facts.decode_tag(store.storage.read(paths.tag(name, tag))) for tag in manifests.tags_of(store, name, digest)
    )
    media_type = oci_manifest.media_type_of(body) or next((fact.media_type for fact in told), None)
    if media_type not in media_types.MANIFESTS:
        yield "its fact can't be read, and neither its content nor a tag says what kind of manifest it is"
        return
    _enter(store, name, digest, ManifestFact(media_type, len(body), time.time(), ""))
    yield "its fact could not be read; put right"
    yield from manifest(store, name, digest, len(body))


def tag(store: Store, name: str, tag: str, digest: Digest, size: int) -> Iterator[str]:
    """Compare a tag with the manifest that it stood for, of `size` bytes; say what was put right. Raises `NotFound`."""
    fact = facts.decode_tag(store.storage.read(paths.tag(name, tag)))
    if fact.digest != digest:
        return
    if _read(store, paths.manifest(name, digest)) is None:
        _enter(store, name, digest, ManifestFact(fact.media_type, size, fact.pushed, fact.by))
        yield "its content and a tag are here, and its fact was not; put right"
    if _read(store, f"{paths.tagged(name, digest)}/{tag}") is None:
        store.storage.write(f"{paths.tagged(name, digest)}/{tag}", b"", new_directory=True)
        yield f"it was not noted that it has the tag {tag}; put right"
    if fact.size != size:
        # Nobody moves a tag while the lock is held exclusively.
        store.storage.write(paths.tag(name, tag), fact._replace(size=size).encode())
        yield f"its tag {tag} said {fact.size} bytes and it has {size}; put right"


def child(store: Store, name: str, digest: Digest) -> Iterator[str]:
    """Let the content that an index lists be a manifest of the repository, if it is one. Raises `NotFound`."""
    if _read(store, paths.manifest(name, digest)) is not None:
        return
    body = store.storage.read(paths.blob(name, digest))
    media_type = oci_manifest.media_type_of(body)
    if media_type not in media_types.MANIFESTS:
        yield "an index lists it, and its content does not say what kind of manifest it is; push it again"
        return
    _enter(store, name, digest, ManifestFact(media_type, len(body), time.time(), ""))
    yield "its content and an index that lists it are here, and its fact was not; put right"


def _enter(store: Store, name: str, digest: Digest, fact: ManifestFact) -> None:
    repositories.mark(store, name)
    store.storage.write(paths.manifest(name, digest), fact.encode())


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.storage.read(key)
    except NotFound:
        return None
