"""Manifests and indexes: putting, getting and deleting them, by tag and by digest."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from zot.errors import Denied, DigestInvalid, ManifestBlobUnknown, ManifestInvalid, RegistryError, Unavailable
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.oci.manifest import Manifest
from zot.registry import adoption, blobs, facts, paths, repositories, tags
from zot.registry.facts import ManifestFact, TagFact
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound

log = logging.getLogger(__name__)

# A tag may move while it is read; whoever sees it move this often is told to come back.
_READS = 5
# The exclusive lock is held for so many tags at a time, which takes milliseconds.
_BATCH = 50


class Described(NamedTuple):
    """What HEAD tells of a manifest."""

    media_type: str
    digest: Digest
    size: int


class Found(NamedTuple):
    """A manifest as it was pushed."""

    media_type: str
    digest: Digest
    body: bytes


class Put(NamedTuple):
    """What became of a push."""

    digest: Digest
    subject: Digest | None


class Traces(NamedTuple):
    """What there may be of a manifest beside the fact that it belongs here.

    That it refers to its subject, if it has one; which children it lists; and notes of its tags.
    """

    subject: Digest | None
    is_index: bool = True
    is_noted: bool = True


class Derived(NamedTuple):
    """A fact that follows from a manifest's content: about what, and its document."""

    what: str
    key: str
    document: bytes
    new_directory: bool


def describe(store: Store, name: str, reference: Digest | str) -> Described:
    """Describe a manifest. Raises `ManifestUnknown`, or `NameUnknown` if there is no such repository."""
    if isinstance(reference, str):
        tag = tags.read(store, name, reference)
        return Described(tag.media_type, tag.digest, tag.size)
    try:
        fact = facts.decode_manifest(store.storage.read(paths.manifest(name, reference)))
    except NotFound:
        raise tags.unknown(store, name, str(reference)) from None
    return Described(fact.media_type, reference, fact.size)


def get(store: Store, name: str, reference: Digest | str) -> Found:
    """Return a manifest, the bytes as they were pushed. Raises as `describe` does."""
    seen = None
    for _ in range(_READS):
        described = describe(store, name, reference)
        body = _content(store, name, described)
        if body is not None:
            store.gathered.pulled(name, described.digest, reference if isinstance(reference, str) else None)
            return Found(described.media_type, described.digest, body)
        if described == seen:
            log.error("the manifest %s of %s has lost its content", described.digest, name)
            store.on_damage()
            raise tags.unknown(store, name, str(reference))
        seen = described
    raise Unavailable(f"{reference} of {name!r} moves too often to be read", "try again", headers={"Retry-After": "1"})


def put(
    store: Store,
    name: str,
    digest: Digest,
    body: bytes,
    manifest: Manifest,
    new_tags: tuple[str, ...],
    by: str = "",
    update_refused: RegistryError | None = None,
) -> Put:
    """Let a manifest, parsed and checked against its digest, enter the repository, and let the tags stand for it.

    Raises `ManifestBlobUnknown` if config or layers are missing, and `update_refused`, if it is given, for a tag that
    is there already. Content, then facts, then the tags.
    """
    now = time.time()
    storage = store.storage
    fact = ManifestFact(manifest.media_type, len(body), now, by)
    adoption.before_changing(store, name)
    with storage.lock(paths.lock(name), shared=True):
        if update_refused is not None:
            # The swap decides; this only spares what would be written in vain.
            tags.refuse_known(store, name, new_tags, update_refused)
        for tag in new_tags:
            tags.refuse_moving(store, name, tag, digest)
        _check_blobs(store, name, manifest)
        repositories.ensure(store, name)
        repositories.mark(store, name)
        storage.write(paths.blob(name, digest), body, new_directory=digest.algorithm != "sha256")
        for one in derived(name, digest, manifest, len(body)):
            storage.write(one.key, one.document, new_directory=one.new_directory)
        # From here on the manifest can be pulled; what else has to be known of it is there.
        storage.write(paths.manifest(name, digest), fact.encode(), once=True)
        if not new_tags:
            tags.renew(store, name, digest)
            store.gathered.changed(name, digest)
        elif store.retention.of(name).keep_tags:
            # By rules about ranks another tag may have to go now.
            store.gathered.changed(name)
        for tag in new_tags:
            tags.point(store, name, TagFact(tag, manifest.media_type, digest, len(body), now, by), update_refused)
    return Put(digest, manifest.subject)


def derived(name: str, digest: Digest, manifest: Manifest, size: int) -> Iterator[Derived]:
    """Yield the facts that follow from a manifest's content."""
    if manifest.is_index:
        document = facts.encode_children(manifest.children)
        yield Derived("children", paths.index(name, digest), document, new_directory=False)
    if manifest.subject is not None:
        document = facts.encode_referrer(manifest, digest, size)
        yield Derived("subject", paths.referrer(name, manifest.subject, digest), document, new_directory=True)


def check_digest(body: bytes, reference: Digest | str) -> Digest:
    """Return the digest by which a body is stored: its reference, or the sha256 of what is pushed by tag.

    Raises `DigestInvalid` if the body's digest is another than the reference.
    """
    if isinstance(reference, str):
        return digests.of(body)
    found = digests.of(body, reference.algorithm)
    if found != reference:
        raise DigestInvalid(
            f"the manifest has the digest {found}", "push it under that digest", detail={"digest": str(reference)}
        )
    return found


def delete_tag(store: Store, name: str, tag: str) -> None:
    """Take a tag away; its manifest stays. Raises `ManifestUnknown` or `NameUnknown`."""
    with suppress(Damaged):
        tags.read(store, name, tag)
    with store.storage.lock(paths.lock(name), shared=False):
        tags.refuse_moving(store, name, tag)
        try:
            fact = tags.read(store, name, tag)
        except Damaged:
            # What it stood for is not known; a note that it leaves is checked against the tag when it is used.
            with repositories.removing(store, name):
                store.storage.delete(paths.tag(name, tag))
            store.gathered.changed(name)
        else:
            tags.renew(store, name, fact.digest)
            with repositories.removing(store, name):
                untag(store, name, tag, fact.digest)
            store.gathered.changed(name, fact.digest)


def untag(store: Store, name: str, tag: str, digest: Digest) -> None:
    """Take a tag, which stands for this digest, away; the caller is `repositories.removing`."""
    note = paths.tagged(name, digest)
    store.storage.delete(paths.tag(name, tag), f"{note}/{tag}", f"{note}/")


def forget(store: Store, name: str, going: Mapping[Digest, Traces]) -> None:
    """Take manifests without tags away, but for their content; the caller is `repositories.removing`.

    All of them together, as a directory is then synced once.
    """
    storage = store.storage
    for digest, traces in going.items():
        if traces.is_noted:
            notes = paths.tagged(name, digest)
            storage.delete(*(f"{notes}/{tag}" for tag in list(storage.list(notes))))
    storage.delete(*_facts_of(name, going))


def delete_digest(store: Store, name: str, digest: Digest, *, refuse_several_tags: bool = False) -> None:
    """Take a manifest away with all its tags. Raises `ManifestUnknown`, and `Denied` (405) for a child of an index.

    With `refuse_several_tags` it raises `ManifestInvalid` (409) for a manifest that more than one tag stands for.

    Its content stays until garbage collection, as blobs do: another manifest may name the same bytes as a layer.
    """
    describe(store, name, digest)
    seen: set[str] = set()
    _refuse_child(store, name, digest, seen)
    lost = _lost_with(store, name, digest)
    for tag in tags_of(store, name, digest):
        tags.refuse_moving(store, name, tag)
    while not _delete_some(store, name, digest, seen, refuse_several_tags):
        log.debug("deleted %d tags of %s in %s", _BATCH, digest, name)
    store.gathered.changed(name, *lost)


def _lost_with(store: Store, name: str, digest: Digest) -> list[Digest]:
    """Return what may be garbage without a manifest: itself and what it names; nothing if that is not known."""
    try:
        return [digest, *map(digests.parse, blobs.references(store, name, digest))]
    except (NotFound, Damaged, ManifestInvalid):
        return []


def _delete_some(store: Store, name: str, digest: Digest, seen: set[str], refuse_several_tags: bool) -> bool:
    """Delete up to `_BATCH` tags of a manifest and, after the last, the manifest; True when that is done."""
    storage, notes = store.storage, paths.tagged(name, digest)
    with storage.lock(paths.lock(name), shared=False):
        describe(store, name, digest)
        _refuse_child(store, name, digest, seen)
        if refuse_several_tags:
            _refuse_several_tags(store, name, digest)
        noted, more = repositories.page(storage.list(notes), _BATCH)
        standing = [tag for tag in noted if _stands_for(store, name, tag, digest)]
        for tag in standing:
            tags.refuse_moving(store, name, tag)
        with repositories.removing(store, name):
            storage.delete(*(paths.tag(name, tag) for tag in standing))
            storage.delete(*(f"{notes}/{tag}" for tag in noted))
            if not more:
                storage.delete(*_facts_of(name, {digest: Traces(_subject(store, name, digest))}))
    return not more


def tags_of(store: Store, name: str, digest: Digest) -> list[str]:
    """Return the tags that stand for a manifest, in byte order."""
    return [tag for tag in store.storage.list(paths.tagged(name, digest)) if _stands_for(store, name, tag, digest)]


def let_go(store: Store, name: str, digest: Digest) -> bool:
    """Take a manifest's facts away, unless a tag stands for it or an index lists it; False if so.

    The caller holds the repository's lock exclusively, and brings the index in step.
    """
    if tags_of(store, name, digest):
        return False
    try:
        _refuse_child(store, name, digest, set())
    except Denied:
        return False
    forget(store, name, {digest: Traces(_subject(store, name, digest))})
    return True


def _facts_of(name: str, going: Mapping[Digest, Traces]) -> list[str]:
    """Return the keys of manifests' facts, those by which they are found last, then prefixes that may be left."""
    about = [(traces.subject, digest) for digest, traces in going.items() if traces.subject is not None]
    return [
        *(paths.referrer(name, subject, digest) for subject, digest in about),
        *(paths.index(name, digest) for digest, traces in going.items() if traces.is_index),
        *(paths.manifest(name, digest) for digest in going),
        *(f"{paths.tagged(name, digest)}/" for digest, traces in going.items() if traces.is_noted),
        *{f"{paths.referrers(name, subject)}/" for subject, _ in about},
    ]


def _subject(store: Store, name: str, digest: Digest) -> Digest | None:
    """Return a manifest's subject: from its content, or if that is lost, from where it is listed as a referrer."""
    body = _read(store, paths.blob(name, digest))
    document = _read(store, paths.manifest(name, digest))
    if body is not None and document is not None:
        return oci_manifest.parse(body, facts.decode_manifest(document).media_type).subject
    for filename in store.storage.list(paths.subjects(name)):
        subject = digests.from_filename(filename)
        if _read(store, paths.referrer(name, subject, digest)) is not None:
            return subject
    return None


def _stands_for(store: Store, name: str, tag: str, digest: Digest) -> bool:
    document = _read(store, paths.tag(name, tag))
    with suppress(Damaged):
        return document is not None and facts.decode_tag(document).digest == digest
    return False


def _refuse_child(store: Store, name: str, digest: Digest, seen: set[str]) -> None:
    """Raise `Denied` if an index that is not in `seen` lists the manifest; add those read to `seen`."""
    for filename in store.storage.list(paths.indexes(name)):
        if filename in seen:
            continue
        document = _read(store, f"{paths.indexes(name)}/{filename}")
        index = digests.from_filename(filename)
        if document is None or str(digest) not in facts.decode_children(document):
            seen.add(filename)
            continue
        # One that is superseded now may be tagged again before the lock is held: it is looked at each time. So is one
        # that is not here: a crash left its fact, or it is being pushed.
        if _read(store, paths.manifest(name, index)) is not None and not _is_superseded(store, name, index):
            raise Denied(
                f"the index {index} of {name!r} lists this manifest",
                "delete that index first",
                status=405,
                detail={"digest": str(digest), "index": str(index)},
            )


def _refuse_several_tags(store: Store, name: str, digest: Digest) -> None:
    standing = (tag for tag in store.storage.list(paths.tagged(name, digest)) if _stands_for(store, name, tag, digest))
    tagged = list(islice(standing, 2))
    if len(tagged) > 1:
        raise ManifestInvalid(
            f"several tags of {name!r} stand for this manifest, {tagged[0]!r} and {tagged[1]!r} among them",
            "delete the tags one by one, or ask for a policy without detectManifestCollision",
            status=409,
            detail={"digest": str(digest), "tags": tagged},
        )


def _is_superseded(store: Store, name: str, digest: Digest) -> bool:
    """Tell whether all tags that a manifest once had have moved on, so that nobody comes to it any more.

    A manifest that was pushed by digest, or whose tags were deleted, has no notes of tags and is not superseded.
    """
    noted = list(store.storage.list(paths.tagged(name, digest)))
    return bool(noted) and not any(_stands_for(store, name, tag, digest) for tag in noted)


def _check_blobs(store: Store, name: str, manifest: Manifest) -> None:
    if store.sparse:
        return
    missing = [str(digest) for digest in blobs.missing(store, name, manifest.blobs)]
    if missing:
        raise ManifestBlobUnknown(
            f"{name!r} lacks {len(missing)} of the blobs that the manifest names",
            "push or mount them, then push the manifest again",
            detail={"digests": missing, "digest": missing[0]},
        )


def _content(store: Store, name: str, described: Described) -> bytes | None:
    """Return a manifest's content, which is never served if it is not what was pushed."""
    key = str(described.digest)
    body = store.manifests.get(key)
    if body is None:
        body = _read(store, paths.blob(name, described.digest))
        if body is None or digests.of(body, described.digest.algorithm) != described.digest:
            return None
        store.manifests.keep(key, body, weight=len(body))
    return body


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.storage.read(key)
    except NotFound:
        return None
