"""Tags: the only pointers that move."""

from __future__ import annotations

import logging
from contextlib import suppress

from zot.errors import Denied, ManifestUnknown, NameUnknown, RegistryError, Unsupported
from zot.oci.digest import Digest
from zot.registry import facts, paths, repositories
from zot.registry.facts import TagFact
from zot.registry.repositories import Page
from zot.registry.store import Store
from zot.storage.protocol import Damaged, NotFound

log = logging.getLogger(__name__)


def read(store: Store, name: str, tag: str) -> TagFact:
    """Return what a tag stands for. Raises `ManifestUnknown`, or `NameUnknown` if there is no such repository.

    A record that can't be read is `Damaged`: pushing the tag again mends it, deleting it takes it away.
    """
    try:
        fact = facts.decode_tag(store.storage.read(paths.tag(name, tag)))
    except NotFound:
        raise unknown(store, name, tag) from None
    except Damaged:
        store.on_damage()
        raise
    if fact.name != tag:
        # A file system that ignores case has answered for another tag.
        raise unknown(store, name, tag)
    return fact


def refuse_known(store: Store, name: str, tags: tuple[str, ...], refused: RegistryError) -> None:
    """Raise the error if one of the tags is there."""
    for tag in tags:
        try:
            store.storage.read(paths.tag(name, tag))
        except NotFound:
            continue
        raise refused


def point(store: Store, name: str, fact: TagFact, update_refused: RegistryError | None = None) -> None:
    """Let a tag stand for a manifest, by compare-and-swap; the caller holds the repository's lock, shared.

    Which tags a digest has is noted first, so that a delete of the digest finds them all. Raises `Denied` for a tag
    that is immutable and stands for something else already, and `update_refused`, if it is given, for a tag that is
    there: whether it is, is known only in the swap.
    """
    stood_for: list[Digest] = []

    def change(before: bytes | None) -> bytes:
        stood_for.clear()
        if before is None:
            return fact.encode()
        if update_refused is not None:
            raise update_refused
        try:
            known = facts.decode_tag(before)
        except Damaged as error:
            log.error("the tag %s of %s is pushed anew: %s", fact.name, name, error)
            return fact.encode()
        if known.name != fact.name:
            raise Unsupported(
                f"the tag {known.name!r} is there already, and this storage does not tell upper from lower case",
                "choose another tag",
                status=409,
            )
        if known.digest == fact.digest:
            return before
        if store.retention.of(name).forbids_moving(fact.name):
            raise _immutable(name, fact.name, is_push=True)
        stood_for.append(known.digest)
        return fact.encode()

    note = f"{paths.tagged(name, fact.digest)}/{fact.name}"
    store.storage.write(note, b"", new_directory=True)
    store.storage.update(paths.tag(name, fact.name), change)
    for digest in stood_for:
        renew(store, name, digest)
        store.gathered.changed(name, digest)


def renew(store: Store, name: str, digest: Digest) -> None:
    """Let the time that a manifest without a tag is kept begin now, if it is here."""
    with suppress(NotFound):
        store.storage.touch(paths.manifest(name, digest))


def refuse_moving(store: Store, name: str, tag: str, digest: Digest | None = None) -> None:
    """Raise `Denied` for an immutable tag that stands for another manifest than this; None means for any."""
    if not store.retention.of(name).forbids_moving(tag):
        return
    try:
        known = read(store, name, tag)
    except (ManifestUnknown, NameUnknown, Damaged):
        return
    if known.digest != digest:
        raise _immutable(name, tag, is_push=digest is not None)


def settle(store: Store, name: str, fact: TagFact, before: Digest | None) -> None:
    """Let a tag that is not there, or stands for `before`, stand for a manifest; another stays as it is.

    The caller holds the repository's lock.
    """

    def change(document: bytes | None) -> bytes:
        if document is None:
            return fact.encode()
        return fact.encode() if facts.decode_tag(document).digest == before else document

    store.storage.write(f"{paths.tagged(name, fact.digest)}/{fact.name}", b"", new_directory=True)
    store.storage.update(paths.tag(name, fact.name), change)


def take_away(store: Store, name: str, tag: str, digest: Digest) -> None:
    """Take a tag away if it stands for this manifest; the caller holds the repository's lock exclusively."""
    try:
        fact = facts.decode_tag(store.storage.read(paths.tag(name, tag)))
    except NotFound:
        return
    if fact.digest == digest and fact.name == tag:
        note = paths.tagged(name, digest)
        store.storage.delete(paths.tag(name, tag), f"{note}/{tag}", f"{note}/")


def page(store: Store, name: str, limit: int, last: str) -> Page:
    """Return up to `limit` tags after `last` in byte order. Raises `NameUnknown`."""
    found = repositories.page(store.storage.list(paths.tags(name), last), limit)
    if not found.names:
        repositories.require(store, name)
    return found


def unknown(store: Store, name: str, reference: str) -> ManifestUnknown:
    """Return the error for a manifest that is not in the repository; raises `NameUnknown` if there is none."""
    repositories.require(store, name)
    return ManifestUnknown(
        f"{name!r} has no manifest {reference}",
        "check the tag or digest, or push it",
        detail={"name": name, "reference": reference},
    )


def _immutable(name: str, tag: str, *, is_push: bool) -> Denied:
    change = "change the rule immutable in the retention policy of this repository"
    return Denied(
        f"the tag {tag!r} of {name!r} is immutable",
        f"push under another tag, or {change}" if is_push else change,
        status=409,
        detail={"name": name, "tag": tag},
    )
