"""Blobs: config, layers, and whatever else a manifest names."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress

from zot.errors import BlobUnknown, Denied, ManifestInvalid, RegistryError
from zot.logs import note_change
from zot.oci import digest as digests
from zot.oci import manifest as oci_manifest
from zot.oci.digest import Digest
from zot.registry import adoption, facts, paths, repositories
from zot.registry.store import Store
from zot.storage.protocol import CannotLink, Content, NotFound, Stat, Upload

log = logging.getLogger(__name__)

# So many seconds of interest are not worth a write.
_RECENT = 10.0


def stat(store: Store, name: str, digest: Digest) -> Stat:
    """Describe a blob. Raises `BlobUnknown`, or `NameUnknown` if there is no such repository."""
    try:
        found = store.storage.stat(paths.blob(name, digest))
    except NotFound:
        raise _unknown(store, name, digest) from None
    if found.suspect:
        open_blob(store, name, digest).file.close()
    return found


def ask(store: Store, name: str, digest: Digest) -> Stat:
    """Describe a blob to a client that may be about to push what names it: the time it is kept begins anew.

    Raises as `stat` does. That time is renewed under the lock, so that the blob is not removed in between.
    """
    found = stat(store, name, digest)
    if time.time() - found.modified < _RECENT:
        return found
    with store.storage.lock(paths.lock(name), shared=True):
        try:
            store.storage.touch(paths.blob(name, digest))
        except NotFound:
            raise _unknown(store, name, digest) from None
    return found


def open_blob(store: Store, name: str, digest: Digest, start: int = 0) -> Content:
    """Open a blob from byte `start`. Raises as `stat` does.

    A blob that another program may have altered is hashed first, once; if it is not what was pushed it is set aside,
    and unknown from then on, so that a client pushes it anew.
    """
    key = paths.blob(name, digest)
    try:
        found = store.storage.open(key, start)
    except NotFound:
        raise _unknown(store, name, digest) from None
    if found.suspect:
        _examine(store, name, digest, found)
        found.file.seek(start)
    return found


def _examine(store: Store, name: str, digest: Digest, found: Content) -> None:
    """Vouch for a blob whose content is right after all; raises `BlobUnknown` for one that is damaged."""
    key = paths.blob(name, digest)
    found.file.seek(0)
    if digests.of_file(found.file, digest.algorithm) == digest:
        store.storage.vouch(key)
        return
    found.file.close()
    log.error("%s of %s was damaged behind our back; it is set aside and served no more", digest, name)
    store.on_damage()
    with suppress(NotFound):
        store.storage.set_aside(key, shared=paths.content(digest))
        note_change("zot", "DELETE", f"/v2/{name}/blobs/{digest}", name, "set aside", "its content is damaged")
    raise BlobUnknown(
        f"the blob {digest} of {name!r} was damaged on the server and has been set aside",
        "push it again",
        detail={"name": name, "digest": str(digest)},
    )


def add(store: Store, name: str, digest: Digest, upload: Upload) -> None:
    """Let a finished upload, whose digest was checked, be a blob of the repository.

    With dedupe the repository shares what others have pushed already, or others will share this.
    """
    adoption.before_changing(store, name)
    with store.storage.lock(paths.lock(name), shared=True):
        repositories.ensure(store, name)
        shared = paths.content(digest) if store.dedupe else None
        store.storage.put(paths.blob(name, digest), upload, shared=shared, new_directory=digest.algorithm != "sha256")
    store.gathered.changed(name, digest)


def mount(store: Store, name: str, digest: Digest, source: str | None) -> bool:
    """Let a blob of another repository, or one that any repository holds, be a blob of this one too.

    False if it is not there or can't be shared; the client then uploads it.
    """
    if not store.dedupe:
        return False
    if source is not None:
        adoption.before_changing(store, source)
        if _is_manifest(store, source, digest):
            return False
    storage, shared = store.storage, paths.content(digest)
    origin = None if source is None else paths.blob(source, digest)
    if not (storage.is_shared(shared) if origin is None else _is_here(store, origin)):
        return False
    adoption.before_changing(store, name)
    try:
        with storage.lock(paths.lock(name), shared=True):
            repositories.ensure(store, name)
            other = digest.algorithm != "sha256"
            storage.link(paths.blob(name, digest), origin, shared=shared, new_directory=other)
    except (NotFound, CannotLink):
        return False
    store.gathered.changed(name, digest)
    return True


def delete(store: Store, name: str, digest: Digest) -> None:
    """Take a blob out of the repository. Raises `BlobUnknown`, and `Denied` (405) while a manifest here names it.

    Manifests are read without a lock; under the exclusive one only those are read that have come since.
    """
    adoption.before_changing(store, name)
    repositories.require(store, name)
    stat(store, name, digest)
    seen: set[str] = set()
    _refuse_if_named(store, name, digest, seen)
    with store.storage.lock(paths.lock(name), shared=False):
        stat(store, name, digest)
        _refuse_if_named(store, name, digest, seen)
        store.storage.remove(paths.blob(name, digest), shared=paths.content(digest))
    store.gathered.changed(name, digest)


def missing(store: Store, name: str, wanted: Iterable[Digest]) -> list[Digest]:
    """Return those of the blobs that are not in the repository."""
    return [digest for digest in wanted if not _is_here(store, paths.blob(name, digest))]


def references(store: Store, name: str, digest: Digest) -> frozenset[str]:
    """Return the digests that a manifest of the repository names, from memory or from its content.

    Raises `NotFound` if the content is gone.
    """
    known = store.references.get(str(digest))
    if known is not None:
        return known
    fact = facts.decode_manifest(store.storage.read(paths.manifest(name, digest)))
    body = store.storage.read(paths.blob(name, digest))
    parsed = oci_manifest.parse(body, fact.media_type)
    named = frozenset(str(one) for one in (*parsed.blobs, *parsed.children))
    store.references.keep(str(digest), named, weight=len(named) + 1)
    return named


def _refuse_if_named(store: Store, name: str, digest: Digest, seen: set[str]) -> None:
    """Raise `Denied` if a manifest that is not in `seen` is this blob or names it; add those read to `seen`."""
    by = _first_naming(store, name, digest, seen)
    if by is not None:
        raise Denied(
            f"the manifest {by} of {name!r} needs this blob",
            "delete the manifests that name it first",
            status=405,
            detail={"digest": str(digest), "manifest": by},
        )


def _first_naming(store: Store, name: str, digest: Digest, seen: set[str]) -> str | None:
    wanted = str(digest)
    for filename in store.storage.list(paths.manifests(name)):
        if filename in seen:
            continue
        holder = digests.from_filename(filename)
        try:
            named = references(store, name, holder)
        except (NotFound, ManifestInvalid) as error:
            log.error("the manifest %s of %s can't be read: %s", holder, name, error)
            store.on_damage()
            continue
        if wanted == str(holder) or wanted in named:
            return str(holder)
        seen.add(filename)
    return None


def _is_here(store: Store, key: str) -> bool:
    try:
        store.storage.stat(key)
    except NotFound:
        return False
    return True


def _is_manifest(store: Store, name: str, digest: Digest) -> bool:
    """Tell whether a blob is a manifest too: those are never hard-linked, as other tools rewrite them in place."""
    return _is_here(store, paths.manifest(name, digest))


def _unknown(store: Store, name: str, digest: Digest) -> RegistryError:
    repositories.require(store, name)
    return BlobUnknown(
        f"{name!r} has no blob {digest}", "push it, or check the digest", detail={"name": name, "digest": str(digest)}
    )
